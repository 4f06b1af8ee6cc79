"""First places by origin and levels by language, counted on lists that can be read."""

from collections.abc import Sequence

import pytest

from matching_service.quality.origins import Lists, Places, Reliability, places_of, reliability_of
from matching_service.ranking.calibrate import DEFAULT_FLOORS
from matching_service.ranking.ranker import RankedProfile
from matching_service.store.profiles import ProfileRow

COUNTRIES = {"c1": "CN", "c2": "CN", "c3": "CN", "d1": "DE", "k1": "KR", "s1": "SG"}
LANGUAGES = {"d1": "de", "k1": "ko"}
SUPPLY = [ProfileRow(id=i, country=country, language=LANGUAGES.get(i, "zh")) for i, country in COUNTRIES.items()]


def ranked(*ids: str) -> Sequence[RankedProfile]:
    """Profiles with falling scores from 0.6."""
    scores = [0.6 - 0.1 * place for place in range(len(ids))]
    return [
        RankedProfile(i, score, DEFAULT_FLOORS.level_of(score), (), (None, None), (None,), (), ())
        for i, score in zip(ids, scores, strict=True)
    ]


def test_first_places_stand_beside_the_supply() -> None:
    lists: Lists = {"a": ranked("c1", "d1"), "b": ranked("d1", "c1"), "c": ranked("k1"), "d": ranked()}
    judgements = {"a": {"c1": 3}, "b": {"d1": 2, "c1": 1}, "c": {"k1": 1}, "d": {"c1": 3}}
    places = places_of("all", lists, judgements, SUPPLY)
    assert places.supply_share == 0.5
    assert places.first_share == pytest.approx(2 / 3)
    assert (places.right_overseas, places.right_home) == (0.5, 1.0)
    assert places.n_unjudged == 1


@pytest.mark.parametrize(
    ("ids", "grades", "counted"),
    [
        (["d1", "c1"], {"d1": 0, "c1": 3}, (1, 1)),
        (["d1", "c1"], {"c1": 2}, (1, 1)),  # without a judgement it counts as wrong
        (["s1", "c1"], {"s1": 1, "c1": 2}, (1, 1)),  # overseas is a country, not a language
        (["d1", "c1"], {"d1": 2, "c1": 3}, (0, 1)),
        (["c2", "c1"], {"c2": 0, "c1": 3}, (0, 1)),
        (["c1", "d1"], {"d1": 0, "c1": 3}, (0, 1)),
        (["c1", "d1", "c2"], {"c1": 3, "d1": 0, "c2": 3}, (0, 1)),  # the best right one counts
        (["d1", "c1"], {"d1": 0, "c1": 1}, (0, 0)),
        (["d1"], {"d1": 0, "c1": 3}, (0, 0)),
    ],
)
def test_a_wrong_overseas_profile_before_the_best_right_one_of_china(
    ids: list[str], grades: dict[str, int], counted: tuple[int, int]
) -> None:
    places = places_of("all", {"a": ranked(*ids)}, {"a": grades}, SUPPLY)
    assert (places.n_wrong_before_right, places.n_demands) == counted


def test_nothing_is_divided_by_nothing() -> None:
    assert places_of("all", {}, {}, []) == Places("all", 0.0, 0.0, None, None, 0, 0, 0)
    assert reliability_of({}, {}, []) == []


def test_levels_are_counted_by_language_and_together() -> None:
    lists: Lists = {"a": ranked("c1", "d1", "k1"), "b": ranked("d1", "s1")}
    judgements = {"a": {"c1": 3, "d1": 2}, "b": {"d1": 1, "s1": 2}}
    assert reliability_of(lists, judgements, SUPPLY) == [
        Reliability("zh", "strong", 1, 1, 1),
        Reliability("zh", "related", 1, 1, 1),
        Reliability("de", "strong", 1, 1, 0),
        Reliability("de", "related", 1, 1, 1),
        Reliability("ko", "related", 1, 0, 0),
        Reliability("others", "strong", 1, 1, 0),
        Reliability("others", "related", 2, 1, 1),
    ]
