import dataclasses
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching_service.index.snapshot import (
    Document,
    Facts,
    Passage,
    Removal,
    Snapshot,
    SnapshotMismatch,
    Versions,
)

N_DIMENSIONS = 4
VERSIONS = Versions(lexicon="lexicon-1", encoder="encoder-1", n_dimensions=N_DIMENSIONS)
TERMS = ("泵", "水泵", "plc", "~泵", "~水泵")
FILES = (
    "CURRENT",
    "manifest.json",
    "terms.json",
    "profile_rows.npy",
    "languages.npy",
    "years.npy",
    "impacts.npz",
    "vectors.npy",
)


def vector(seed):
    drawn = np.random.default_rng(seed).normal(size=N_DIMENSIONS)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


TERM_COUNTS = st.dictionaries(st.sampled_from(TERMS), st.integers(1, 5), max_size=4)
VECTORS = st.one_of(st.none(), st.integers(0, 9).map(vector))
LANGUAGES = st.sampled_from(["zh", "en", "ja", "qqq"])
YEARS = st.sampled_from([None, 1987, 2024])
DATES = st.sampled_from([None, date(2025, 1, 31), date(2099, 12, 31)])
FACTS = st.builds(
    Facts,
    kind=st.sampled_from(["expert", "team", "社"]),
    region=st.sampled_from([None, "440600", "440605"]),
    country=st.sampled_from(["CN", "DE"]),
    clusters=st.sampled_from([(), ("新材料",), ("新材料", "装备制造")]),
    fields=st.sampled_from([(), ("机械", "电气")]),
    organization_id=st.sampled_from([None, "o1"]),
    title=st.sampled_from([None, "教授"]),
    honours=st.sampled_from([(), ("院士",)]),
    capacity=st.sampled_from([None, 0, 3]),
    available_from=DATES,
    available_until=DATES,
)


@st.composite
def documents(draw):
    works = draw(st.lists(st.sampled_from(["w1", "w2", "w3", "w4"]), unique=True, max_size=3))
    passages = tuple(
        Passage(work_id, draw(TERM_COUNTS), draw(VECTORS), draw(LANGUAGES), draw(YEARS)) for work_id in (None, *works)
    )
    return Document(draw(st.sampled_from("abcdef")), draw(FACTS), tuple(draw(st.permutations(passages))))


CHANGES = st.one_of(documents(), st.builds(Removal, st.sampled_from("abcdefg")))
STEPS = st.lists(st.lists(CHANGES, max_size=5), max_size=5)


def grow(steps):
    """The snapshot after all steps, and what should be in it."""
    snapshot, model = Snapshot.empty(VERSIONS), {}
    for as_of, changes in enumerate(steps, start=1):
        snapshot = snapshot.apply(changes, as_of=as_of)
        for change in changes:
            if isinstance(change, Document):
                model[change.profile_id] = change
            else:
                model.pop(change.profile_id, None)
    return snapshot, model


def impacts_by_term(snapshot):
    """float32, shape (n_passages, n_terms): every stored impact, by public means."""
    every = np.arange(len(snapshot.sparse), dtype=np.int64)
    return np.stack([snapshot.sparse.scores({term: 1.0}, every) for term in TERMS], axis=1)


def assert_same(snapshot, other):
    """The two hold the same arrays and answer with the same bits."""
    assert list(snapshot.profile_ids) == list(other.profile_ids)
    assert list(snapshot.facts) == list(other.facts)
    assert list(snapshot.work_ids) == list(other.work_ids)
    np.testing.assert_array_equal(snapshot.profile_rows, other.profile_rows)
    assert snapshot.profile_rows.dtype == other.profile_rows.dtype == np.int64
    for name in ("languages", "years"):
        np.testing.assert_array_equal(getattr(snapshot, name), getattr(other, name))
        assert getattr(snapshot, name).dtype == getattr(other, name).dtype
    np.testing.assert_array_equal(impacts_by_term(snapshot), impacts_by_term(other))
    assert [snapshot.sparse.idf(term) for term in TERMS] == [other.sparse.idf(term) for term in TERMS]
    every = np.arange(len(snapshot.work_ids), dtype=np.int64)
    counts = {"水泵": 2, "plc": 1, "~泵": 3}
    query = snapshot.sparse.weigh(counts)
    assert query == other.sparse.weigh(counts)
    np.testing.assert_array_equal(snapshot.sparse.scores(query, every), other.sparse.scores(query, every))
    np.testing.assert_array_equal(snapshot.dense.scores(vector(3), every), other.dense.scores(vector(3), every))
    for k in (1, 3, 100):
        for hits, expected in (
            (snapshot.sparse.search(query, k=k), other.sparse.search(query, k=k)),
            (snapshot.dense.search(vector(3), k=k), other.dense.search(vector(3), k=k)),
        ):
            np.testing.assert_array_equal(hits.rows, expected.rows)
            np.testing.assert_array_equal(hits.scores, expected.scores)


@settings(deadline=None, max_examples=80)
@given(STEPS, st.randoms())
def test_a_snapshot_that_grew_is_the_one_that_is_built_at_once(steps, random):
    grown, model = grow(steps)
    shuffled = list(model.values())
    random.shuffle(shuffled)
    assert_same(grown, Snapshot.empty(VERSIONS).apply(shuffled, as_of=9))
    assert grown.as_of == len(steps)


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_a_snapshot_holds_the_last_state_of_every_profile_in_order(steps):
    snapshot, model = grow(steps)
    assert list(snapshot.profile_ids) == sorted(model)
    assert list(snapshot.facts) == [model[profile_id].facts for profile_id in sorted(model)]
    keys = [
        (snapshot.profile_ids[row], work or "")
        for row, work in zip(snapshot.profile_rows, snapshot.work_ids, strict=True)
    ]
    assert keys == sorted((d.profile_id, passage.work_id or "") for d in model.values() for passage in d.passages)
    assert len(snapshot.sparse) == len(snapshot.dense) == len(snapshot.languages) == len(snapshot.years) == len(keys)
    passages = {(d.profile_id, passage.work_id or ""): passage for d in model.values() for passage in d.passages}
    assert snapshot.languages.tolist() == [passages[key].language for key in keys]
    assert snapshot.years.tolist() == [passages[key].year or 0 for key in keys]
    for row, profile_id in enumerate(snapshot.profile_ids):
        assert snapshot.profile_row_of[profile_id] == row
        expected = [i for i, (owner, _) in enumerate(keys) if owner == profile_id]
        assert snapshot.passage_rows(row).tolist() == expected


@settings(deadline=None, max_examples=40)
@given(STEPS, st.lists(CHANGES, min_size=1, max_size=5))
def test_changes_leave_the_snapshot_they_start_from_as_it_was(steps, changes):
    before, twin = grow(steps)[0], grow(steps)[0]
    after = before.apply(changes, as_of=99)
    assert_same(before, twin)
    assert (before.as_of, after.as_of) == (len(steps), 99)
    assert after.version != before.version


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_facts_are_given_by_column(steps):
    snapshot, _ = grow(steps)
    columns = snapshot.columns
    assert columns.kinds.tolist() == [facts.kind for facts in snapshot.facts]
    assert columns.regions.tolist() == [facts.region or "" for facts in snapshot.facts]
    assert columns.organization_ids.tolist() == [facts.organization_id or "" for facts in snapshot.facts]
    assert columns.available_from.tolist() == [facts.available_from for facts in snapshot.facts]
    assert columns.available_until.tolist() == [facts.available_until for facts in snapshot.facts]


@settings(deadline=None, max_examples=40)
@given(STEPS, st.lists(CHANGES, max_size=4))
def test_a_saved_snapshot_is_loaded_as_it_was(steps, later):
    snapshot, _ = grow(steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "not" / "yet" / "there"
        snapshot.save(folder)
        loaded = Snapshot.load(folder, VERSIONS)
    assert_same(loaded, snapshot)
    assert (loaded.version, loaded.as_of, loaded.versions) == (snapshot.version, snapshot.as_of, VERSIONS)
    assert_same(loaded.apply(later, as_of=50), snapshot.apply(later, as_of=50))


def document(profile_id="a", **facts):
    passages = (Passage(None, {"水泵": 1, "~水泵": 1}, vector(1)), Passage("w1", {"plc": 2}, None, "en", 2024))
    return Document(profile_id, Facts(kind="expert", **facts), passages)


@pytest.fixture
def snapshot():
    return Snapshot.empty(VERSIONS).apply(
        [document("a", region="440600", clusters=("新材料",)), document("b")], as_of=7
    )


def test_an_empty_snapshot_has_nothing_and_can_be_saved(tmp_path):
    empty = Snapshot.empty(VERSIONS)
    assert (len(empty.profile_ids), len(empty.sparse), len(empty.dense), empty.as_of) == (0, 0, 0, 0)
    empty.save(tmp_path)
    assert_same(Snapshot.load(tmp_path, VERSIONS), empty)


def test_the_last_change_of_a_profile_counts():
    changes = [document("a", region="1"), Removal("a"), document("a", region="2"), document("b"), Removal("b")]
    snapshot = Snapshot.empty(VERSIONS).apply(changes, as_of=1)
    assert list(snapshot.profile_ids) == ["a"]
    assert snapshot.facts[0].region == "2"


def test_removing_what_is_not_there_is_harmless(snapshot):
    assert_same(snapshot.apply([Removal("zz")], as_of=8), snapshot)


def test_a_profile_without_passages_is_kept(tmp_path):
    snapshot = Snapshot.empty(VERSIONS).apply([Document("a", Facts(kind="expert"), ()), document("b")], as_of=1)
    assert list(snapshot.profile_ids) == ["a", "b"]
    assert snapshot.passage_rows(0).tolist() == []
    assert snapshot.passage_rows(1).tolist() == [0, 1]
    snapshot.save(tmp_path)
    assert_same(Snapshot.load(tmp_path, VERSIONS), snapshot)


def test_a_snapshot_cannot_be_changed_in_place(snapshot):
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.as_of = 8


def test_a_later_save_replaces_the_earlier_and_clears_it_away_when_nobody_can_be_loading_it(snapshot, tmp_path):
    snapshot.save(tmp_path)
    later = snapshot.apply([Removal("a")], as_of=8)
    later.save(tmp_path)
    assert_same(Snapshot.load(tmp_path, VERSIONS), later)
    assert {path.name for path in tmp_path.iterdir()} == {"CURRENT", snapshot.version, later.version}
    long_ago = time.time() - 7200
    os.utime(tmp_path / snapshot.version, (long_ago, long_ago))
    later.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"CURRENT", later.version}


def test_several_processes_may_save_at_once(snapshot, tmp_path):
    snapshots = [snapshot.apply([], as_of=as_of) for as_of in range(10, 18)]
    with ThreadPoolExecutor(4) as pool:
        for one in snapshots * 3:
            pool.submit(one.save, tmp_path).add_done_callback(lambda done: done.result())
    assert Snapshot.load(tmp_path, VERSIONS).as_of in range(10, 18)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_crash_while_saving_leaves_the_earlier_snapshot(snapshot, tmp_path, monkeypatch):
    snapshot.save(tmp_path)

    def crash(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(type(snapshot.dense), "save", crash)
    with pytest.raises(OSError, match="disk full"):
        snapshot.apply([Removal("a")], as_of=8).save(tmp_path)
    assert_same(Snapshot.load(tmp_path, VERSIONS), snapshot)


def test_a_loaded_snapshot_knows_every_fact(tmp_path):
    facts = {
        "region": "440605",
        "country": "DE",
        "clusters": ("新材料",),
        "fields": ("机械", "电气"),
        "organization_id": "o1",
        "title": "教授",
        "honours": ("院士", "长江学者"),
        "capacity": 0,
        "available_from": date(2025, 1, 31),
        "available_until": date(2099, 12, 31),
    }
    Snapshot.empty(VERSIONS).apply([document("a", **facts)], as_of=1).save(tmp_path)
    loaded = Snapshot.load(tmp_path, VERSIONS)
    assert dataclasses.asdict(loaded.facts[0]) == facts | {"kind": "expert"}
    assert loaded.languages.tolist() == ["zh", "en"]
    assert loaded.years.tolist() == [0, 2024]


def test_there_may_be_no_snapshot(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SnapshotMismatch, match="no snapshot"):
            Snapshot.load(folder, VERSIONS)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(VERSIONS, lexicon="lexicon-2"),
        dataclasses.replace(VERSIONS, encoder="encoder-2"),
        dataclasses.replace(VERSIONS, n_dimensions=N_DIMENSIONS + 1),
    ],
    ids=["lexicon", "encoder", "n_dimensions"],
)
def test_a_snapshot_of_another_lexicon_or_encoder_is_refused(snapshot, tmp_path, other):
    snapshot.save(tmp_path)
    with pytest.raises(SnapshotMismatch, match="made with"):
        Snapshot.load(tmp_path, other)


def find(folder, name):
    (found,) = folder.rglob(name)
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_snapshot_with_a_missing_file_is_refused(snapshot, tmp_path, name):
    snapshot.save(tmp_path)
    find(tmp_path, name).unlink()
    with pytest.raises(SnapshotMismatch):
        Snapshot.load(tmp_path, VERSIONS)


@pytest.mark.parametrize(
    "contents", [b"", b"\xff\xfe\x00garbage", b"1", b"null"], ids=["empty", "garbage", "1", "null"]
)
@pytest.mark.parametrize("name", FILES)
def test_a_snapshot_with_an_overwritten_file_is_refused(snapshot, tmp_path, name, contents):
    snapshot.save(tmp_path)
    find(tmp_path, name).write_bytes(contents)
    with pytest.raises(SnapshotMismatch):
        Snapshot.load(tmp_path, VERSIONS)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", FILES)
def test_a_snapshot_with_a_cut_file_is_refused(snapshot, tmp_path, name, share):
    snapshot.save(tmp_path)
    path = find(tmp_path, name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(SnapshotMismatch):
        Snapshot.load(tmp_path, VERSIONS)


@pytest.mark.parametrize("name", ["profile_rows.npy", "languages.npy", "years.npy", "impacts.npz", "vectors.npy"])
def test_a_snapshot_with_a_part_of_another_is_refused(snapshot, tmp_path, name):
    snapshot.save(tmp_path / "this")
    snapshot.apply([Removal("a")], as_of=8).save(tmp_path / "other")
    find(tmp_path / "this", name).write_bytes(find(tmp_path / "other", name).read_bytes())
    with pytest.raises(SnapshotMismatch, match="damaged"):
        Snapshot.load(tmp_path / "this", VERSIONS)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"format": "1"},
        {"versions": None},
        {"versions": {}},
        {"facts": [{}]},
        {"facts": 3},
        {"facts": [{"kind": "expert", "clusters": [], "fields": [], "honours": []}]},
        {"facts": [dataclasses.asdict(Facts("expert")) | {"available_from": "soon"}] * 2},
        {"facts": [dataclasses.asdict(Facts("expert")) | {"language": "zh"}] * 2},
        {"work_ids": []},
    ],
    ids=str,
)
def test_a_snapshot_of_another_form_is_refused(snapshot, tmp_path, change):
    snapshot.save(tmp_path)
    manifest = find(tmp_path, "manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(SnapshotMismatch):
        Snapshot.load(tmp_path, VERSIONS)
