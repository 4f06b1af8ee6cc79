"""What changed between two lists of one demand, stored without names and read in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching_service.foundation.clock import now
from matching_service.shortlists.changes import (
    MOVED_AT_LEAST,
    Cause,
    ChangedList,
    Moves,
    compare_lists,
    profile_ids_of,
    read_changes,
)

OF = ChangedList("d", "减速器", "r", now())
RANKS = st.lists(st.sampled_from("abcdefgh"), unique=True).map(lambda ids: {i: n for n, i in enumerate(ids, start=1)})


@pytest.mark.parametrize("ranks", [{}, {"a": 1, "b": 2}])
def test_nothing_changed(ranks: dict[str, int]) -> None:
    assert not compare_lists(ranks, dict(ranks))


def test_small_moves_are_noise() -> None:
    assert not compare_lists({"a": 1, "b": 2, "c": 3}, {"c": 1, "a": 2, "b": 3})


def test_who_came_went_and_moved_far() -> None:
    moves = compare_lists({"a": 1, "b": 2, "c": 3, "x": 4, "y": 5}, {"n": 1, "y": 2, "c": 3, "m": 4, "b": 5})
    assert moves == Moves(entered=[(1, "n"), (4, "m")], left=[(1, "a"), (4, "x")], moved=[(5, 2, "y"), (2, 5, "b")])


def test_the_places_of_deleted_profiles_are_told() -> None:
    moves = compare_lists({"a": 2, "b": 3}, {"b": 1}, n_before=5)
    assert moves.left == [(1, None), (2, "a"), (4, None), (5, None)]
    assert (moves.entered, moves.moved) == ([], [])


@given(RANKS, RANKS)
def test_the_change_is_told_in_full_and_backwards_alike(before: dict[str, int], after: dict[str, int]) -> None:
    moves, back = compare_lists(before, after), compare_lists(after, before)
    if not moves:
        assert not back
        assert set(before) == set(after)
        return
    assert {key: rank for rank, key in moves.entered} == {i: n for i, n in after.items() if i not in before}
    assert moves.entered == back.left
    assert moves.left == back.entered
    assert sorted((b, a, key) for a, b, key in moves.moved) == sorted(back.moved)
    for from_rank, to_rank, key in moves.moved:
        assert (before[key], after[key]) == (from_rank, to_rank)
        assert abs(from_rank - to_rank) >= MOVED_AT_LEAST


STORED = compare_lists({"a": 1, "b": 2, "x": 6}, {"n": 1, "x": 2, "b": 3}, n_before=3).stored(
    entered=lambda _id: [Cause("new_profile")],
    left=lambda profile_id: [Cause("hidden" if profile_id else "deleted")],
    moved=lambda _id: [Cause("profile_changed", ("summary", "works"), ("柔轮{疲劳}",)), Cause("weights_changed")],
)


def test_what_is_stored_is_json_and_names_nobody() -> None:
    assert json.loads(json.dumps(STORED)) == STORED
    assert sorted(profile_ids_of(STORED)) == ["a", "n", "x"]
    assert STORED["left"] == [
        {"profile_id": "a", "rank": 1, "causes": [{"code": "hidden"}]},
        {"profile_id": None, "rank": 3, "causes": [{"code": "deleted"}]},
    ]


def test_it_is_read_with_names_and_in_words() -> None:
    changes = read_changes(OF, STORED, {"a": "甲", "n": "新", "x": "某"})
    (entered,), (left, deleted), (moved,) = changes.entered, changes.left, changes.moved
    assert (entered.profile_id, entered.name, entered.rank) == ("n", "新", 1)
    assert (entered.causes[0].code, entered.causes[0].zh, entered.causes[0].en) == (
        "new_profile", "新增画像。", "A new profile.",
    )  # fmt: skip
    assert (left.name, deleted.profile_id, deleted.name) == ("甲", None, None)
    assert (moved.profile_id, moved.from_rank, moved.to_rank) == ("x", 6, 2)
    changed = moved.causes[0]
    assert (changed.fields, changed.works) == (["summary", "works"], ["柔轮{疲劳}"])
    assert changed.zh == "画像有改动：简介、成果《柔轮{疲劳}》。"
    assert changed.en == "The profile changed: summary, the work “柔轮{疲劳}”."
    assert moved.causes[1].code == "weights_changed"


def test_of_a_profile_that_is_gone_only_the_place_is_told() -> None:
    (moved,) = read_changes(OF, STORED, {}).moved
    assert moved.name is None
    assert moved.causes[0].works == []
    assert "柔轮" not in moved.model_dump_json()
    assert moved.causes[0].zh == "画像有改动：简介、成果。"


def test_a_cause_needs_words_and_keeps_five_titles() -> None:
    with pytest.raises(ValueError, match="luck"):
        Cause("luck")
    titles = tuple("abcdefgh")
    assert Cause("profile_changed", works=titles).stored()["works"] == list("abcde")
