"""A snapshot that was moved on by changes answers as one that is built at once, bit by bit; and comes back from files.

What every form of an index must do is tested in ``contracts``; here are segments, arrays and files.
"""

import json
import os
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.worlds import N_DIMENSIONS, TERMS, VECTORS, VERSIONS, WEIGHTS, documents, in_order, vector

from matching_service.index import segment, snapshot
from matching_service.index.contract import Document, Facts, Passage, ProfileFacts, Removal, SavedIndexRefused
from matching_service.index.frequencies import Frequencies
from matching_service.index.snapshot import Snapshot, SnapshotBuilder, best_rows
from matching_service.index.vectors import Vectors

few = settings(deadline=None, max_examples=40)
CHANGES = st.one_of(documents(), st.builds(Removal, st.sampled_from("abcdefghz")))
STEPS = st.lists(st.lists(CHANGES, max_size=5), max_size=6)
ARRIVALS = st.dictionaries(st.sampled_from([11, 12, 13, 99]), st.one_of(st.none(), VECTORS), max_size=4)
SMALL = st.booleans()
"""Whether segments are so small, and so seldom merged, that a few documents fill several."""


@contextmanager
def small_segments(*, are_small):
    with pytest.MonkeyPatch.context() as patch:
        if are_small:
            patch.setattr(segment, "MAX_ROWS", 9)
            patch.setattr(snapshot, "_MERGE_AT_ONCE", 0)
        yield


def grow(steps, *, are_small=False):
    """The snapshot after all steps, and what should be in it."""
    grown, model = Snapshot.empty(VERSIONS), {}
    with small_segments(are_small=are_small):
        for as_of, changes in enumerate(steps, start=1):
            grown = grown.apply(changes, as_of=as_of)
            for change in changes:
                if isinstance(change, Document):
                    model[change.profile_id] = change
                else:
                    model.pop(change.profile_id, None)
    return grown, model


def names_of(found, rows):
    """The ids of each row's profile and work."""
    ids = found.profile_ids(found.profile_rows[rows]).tolist(), found.work_ids(rows).tolist()
    return [(profile_id.decode(), work_id.decode()) for profile_id, work_id in zip(*ids, strict=True)]


def rows_in_order(found):
    """The rows that are there, in the order of profiles and works."""
    rows = np.flatnonzero(found.alive_rows)
    keys = names_of(found, rows)
    assert len(set(keys)) == len(keys)
    return np.array([row for _, row in sorted(zip(keys, rows.tolist(), strict=True))], dtype=np.int64)


def best(found, scores, k):
    """The best passages as ids, with their scores."""
    rows = best_rows(scores, k=k, allowed=found.alive_rows)
    return sorted(zip(names_of(found, rows), scores[rows].tolist(), strict=True))


def assert_same(found, other):
    """The two hold the same profiles and answer with the same bits, however they lie in segments."""
    rows, others = rows_in_order(found), rows_in_order(other)
    profiles, other_profiles = found.profile_rows[rows], other.profile_rows[others]
    assert found.profile_ids(profiles).tolist() == other.profile_ids(other_profiles).tolist()
    assert (found.n_profiles, found.n_passages, found.n_pending) == (
        other.n_profiles,
        other.n_passages,
        other.n_pending,
    )
    everyone, everyone_there = ([one.profile_id(int(p)) for p in one.find(list("abcdefghz"))] for one in (found, other))
    assert sorted(everyone) == sorted(everyone_there)
    for profile_id in everyone:
        assert found.facts_of(found.find([profile_id])) == other.facts_of(other.find([profile_id]))
    for read in ("languages", "years"):
        one, another = getattr(found, read)(rows), getattr(other, read)(others)
        assert one.tolist() == another.tolist()
        assert one.dtype == another.dtype
    assert sorted(found.awaited(100)) == sorted(other.awaited(100))
    for term in TERMS:
        np.testing.assert_array_equal(found.containing([term])[rows], other.containing([term])[others])
    assert_same_scores(found, other, found.frequencies.weigh({"水泵": 2, "plc": 1, "泵": 3}), vector(3))


def assert_same_scores(found, other, weights, query):
    rows, others = rows_in_order(found), rows_in_order(other)
    words, other_words = (one.word_scores(weights, one.alive_rows) for one in (found, other))
    cosines, other_cosines = (one.cosines(query, one.alive_rows) for one in (found, other))
    np.testing.assert_array_equal(words[rows], other_words[others])
    np.testing.assert_array_equal(cosines[rows], other_cosines[others])
    np.testing.assert_array_equal(found.word_scores_of(weights, rows), words[rows])
    np.testing.assert_array_equal(found.cosines_of(query, rows), cosines[rows])
    for k in (1, 3, 100):
        assert best(found, words, k) == best(other, other_words, k)
        assert best(found, cosines, k) == best(other, other_cosines, k)


class TestGrowing:
    @settings(deadline=None, max_examples=150)
    @given(STEPS, SMALL, WEIGHTS, VECTORS)
    def test_a_snapshot_that_grew_is_the_one_that_is_built_at_once(self, steps, are_small, weights, query):
        """With the same frequencies: those stay as they were counted."""
        grown, model = grow(steps, are_small=are_small)
        built = replace(Snapshot.build(model.values(), VERSIONS), frequencies=grown.frequencies)
        assert_same(grown, built)
        assert_same_scores(grown, built, weights, query)
        assert grown.as_of == len(steps)

    @few
    @given(STEPS, SMALL)
    def test_it_holds_the_last_state_of_every_profile(self, steps, are_small):
        grown, model = grow(steps, are_small=are_small)
        rows, expected = rows_in_order(grown), in_order(model.values())
        passages = [passage for _, passage in expected]
        assert [grown.profile_id(int(p)) for p in grown.profile_rows[rows]] == [owner for owner, _ in expected]
        assert grown.work_ids(rows).tolist() == [(passage.work_id or "").encode() for passage in passages]
        assert grown.languages(rows).tolist() == [passage.language for passage in passages]
        assert grown.years(rows).tolist() == [passage.year or 0 for passage in passages]
        assert (grown.n_profiles, grown.n_passages) == (len(model), len(passages))
        assert grown.n_pending == sum(passage.awaits != 0 for passage in passages)
        for profile_id, document in model.items():
            (profile,) = grown.find([profile_id])
            assert grown.profile_id(int(profile)) == profile_id
            assert grown.facts_of(np.array([profile])) == [ProfileFacts(profile_id, document.facts)]
            own = grown.passages_of(np.array([profile]))
            assert grown.work_ids(own).tolist() == sorted((p.work_id or "").encode() for p in document.passages)
            assert set(grown.profile_rows[own].tolist()) <= {int(profile)}

    @few
    @given(STEPS, SMALL, st.lists(st.sampled_from([*"abcdefgh", "", "x" * 36, "x" * 37, "\ud800"]), unique=True))
    def test_profiles_are_found_by_their_ids(self, steps, are_small, asked):
        grown, model = grow(steps, are_small=are_small)
        found = grown.find(asked)
        assert sorted(grown.profile_id(int(profile)) for profile in found) == sorted(set(asked) & model.keys())
        assert (np.diff(found) > 0).all()
        assert (
            grown.passages_of(found).tolist()
            == np.flatnonzero(np.isin(grown.profile_rows, found) & grown.alive_rows).tolist()
        )

    @few
    @given(STEPS, st.lists(CHANGES, min_size=1, max_size=5), ARRIVALS, SMALL)
    def test_changes_leave_the_snapshot_they_start_from_as_it_was(self, steps, changes, vectors, are_small):
        before, twin = (grow(steps, are_small=are_small)[0] for _ in range(2))
        after = before.apply(changes, as_of=99).with_vectors(vectors)
        assert_same(before, twin)
        assert (before.as_of, before.version, after.as_of) == (len(steps), twin.version, 99)

    def test_removing_what_is_not_there_is_harmless(self, saved):
        assert_same(saved.apply([Removal("zz")], as_of=8), saved)

    def test_it_cannot_be_changed_in_place(self, saved):
        with pytest.raises(FrozenInstanceError):
            saved.as_of = 8

    def test_a_profile_without_passages_is_kept(self, tmp_path):
        made = Snapshot.build([Document("a", Facts("expert"), ()), document("b")], VERSIONS)
        assert made.n_profiles == 2
        assert made.passages_of(made.find(["a"])).tolist() == []
        made.save(tmp_path)
        assert_same(Snapshot.load(tmp_path, VERSIONS), made)

    def test_documents_may_come_in_any_portions(self):
        everyone = [document(name) for name in "abcdefgh"]
        builder = SnapshotBuilder(VERSIONS)
        with small_segments(are_small=True):
            for start in (0, 3, 4):
                builder.add(everyone[start : {0: 3, 3: 4, 4: 8}[start]])
            built = builder.finish(as_of=0)
        assert [part.segment.n_passages for part in built.parts] == [8, 8]
        assert_same(built, Snapshot.build(everyone, VERSIONS))


class TestScores:
    @few
    @given(STEPS, SMALL, WEIGHTS, VECTORS, st.data())
    def test_a_segment_in_which_nothing_is_allowed_is_passed_over(self, steps, are_small, weights, query, data):
        grown, _ = grow(steps, are_small=are_small)
        n_rows = grown.row_offsets[-1]
        allowed = np.array(data.draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows)), dtype=np.bool_)
        every = np.ones(n_rows, dtype=np.bool_)
        np.testing.assert_array_equal(
            grown.word_scores(weights, allowed)[allowed], grown.word_scores(weights, every)[allowed]
        )
        np.testing.assert_array_equal(grown.cosines(query, allowed)[allowed], grown.cosines(query, every)[allowed])
        nobody = np.zeros(n_rows, dtype=np.bool_)
        assert not grown.word_scores(weights, nobody).any()
        assert np.isnan(grown.cosines(query, nobody)).all()

    @few
    @given(STEPS, SMALL, st.lists(st.sampled_from((*TERMS, "unseen")), max_size=4))
    def test_passages_contain_every_term_that_is_asked_for(self, steps, are_small, terms):
        grown, model = grow(steps, are_small=are_small)
        present = grown.containing(terms)[rows_in_order(grown)]
        assert present.tolist() == [set(terms) <= passage.terms.keys() for _, passage in in_order(model.values())]

    @settings(deadline=None, max_examples=100)
    @given(
        st.lists(
            st.tuples(st.sampled_from([float("nan"), 0.0, 0.1, 0.25, 0.25, 0.5, 1.0]), st.booleans()), max_size=20
        ),
        st.integers(1, 22),
    )
    def test_the_best_rows_are_the_k_best_and_all_that_tie_with_the_last(self, scores, k):
        values = np.array([score for score, _ in scores], dtype=np.float32)
        allowed = np.array([is_allowed for _, is_allowed in scores], dtype=np.bool_)
        candidates = sorted((score for score, is_allowed in scores if is_allowed and score > 0), reverse=True)
        least = candidates[:k][-1] if candidates else 1
        expected = [row for row, (score, is_allowed) in enumerate(scores) if is_allowed and score >= least]
        rows = best_rows(values, k=k, allowed=allowed)
        assert rows.dtype == np.int64
        assert rows.tolist() == expected

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 10**6), st.integers(0, 4000), st.integers(1, 600), st.sampled_from([3, 100, 10**6]))
    def test_the_best_of_thousands_are_those_of_a_sort(self, seed, n, k, n_different):
        """With few different scores and many, some unknown, most allowed."""
        generator = np.random.default_rng(seed)
        scores = (generator.integers(0, n_different, n) / n_different).astype(np.float32)
        scores[generator.random(n) < 0.1] = np.nan
        allowed = generator.random(n) < 0.8
        found = np.flatnonzero(allowed & (scores > 0))
        least = np.sort(scores[found])[-k:].min(initial=2.0)
        assert best_rows(scores, k=k, allowed=allowed).tolist() == found[scores[found] >= least].tolist()


class TestFrequencies:
    @few
    @given(STEPS, SMALL)
    def test_they_stay_as_counted_until_the_snapshot_has_outgrown_them(self, steps, are_small):
        grown = Snapshot.empty(VERSIONS)
        for n in range(1, len(steps) + 1):
            before, (grown, model) = grown, grow(steps[:n], are_small=are_small)
            passages = [passage.terms for _, passage in in_order(model.values())]
            assert not grown.has_outgrown_frequencies
            if len(before.frequencies) / 2 <= len(passages) <= 2 * len(before.frequencies):
                assert grown.version == before.version
                assert same_frequencies(grown.frequencies, before.frequencies)
            else:
                assert same_frequencies(grown.frequencies, Frequencies.count(passages))

    @few
    @given(STEPS, SMALL)
    def test_counted_anew_they_are_those_of_a_full_build_and_so_is_the_version(self, steps, are_small):
        grown, model = grow(steps, are_small=are_small)
        recounted, built = grown.recounted(), Snapshot.build(model.values(), VERSIONS)
        assert same_frequencies(recounted.frequencies, built.frequencies)
        assert recounted.version == built.version
        assert_same(recounted, built)
        assert recounted.as_of == grown.as_of

    def test_a_new_profile_moves_no_other_profile_s_score(self):
        """Until they are counted anew: scores do not creep."""
        before = Snapshot.build([document(name) for name in "abcd"], VERSIONS)
        after = before.apply([Document("e", Facts("expert"), (Passage(None, {"水泵": 9}, None),))], as_of=2)
        weights = after.frequencies.weigh({"水泵": 1, "plc": 1})
        assert weights == before.frequencies.weigh({"水泵": 1, "plc": 1})
        rows = before.passages_of(before.find(list("abcd")))
        np.testing.assert_array_equal(
            after.word_scores_of(weights, after.passages_of(after.find(list("abcd")))),
            before.word_scores_of(weights, rows),
        )
        assert after.recounted().frequencies.weigh({"水泵": 1, "plc": 1}) != weights


def same_frequencies(one, other):
    return (
        len(one) == len(other) and np.array_equal(one.terms, other.terms) and np.array_equal(one.counts, other.counts)
    )


class TestParts:
    @pytest.mark.parametrize("seed", range(2))
    def test_their_number_stays_small_through_thousands_of_changes(self, seed, monkeypatch):
        """Segments of 256 rows, 1,000 profiles, each changed about ten times, some removed and made again."""
        monkeypatch.setattr(segment, "MAX_ROWS", 256)
        monkeypatch.setattr(snapshot, "_MERGE_AT_ONCE", 4)
        generator = np.random.default_rng(seed)

        def one(number):
            return Document(f"{number:04}", Facts("expert"), (Passage(None, {"泵": 1, f"t{number % 7}": 1}, None),))

        grown = Snapshot.build([one(number) for number in range(1000)], VERSIONS)
        most, model = 0, set(range(1000))
        for step in range(600):
            changed = generator.choice(1000, size=int(generator.integers(1, 33)), replace=False).tolist()
            removed = set(changed[: len(changed) // 8])
            model = model - removed | (set(changed) - removed)
            changes = [Removal(f"{n:04}") if n in removed else one(n) for n in changed]
            grown = grown.apply(changes, as_of=step)
            most = max(most, len(grown.parts))
            for part in grown.parts:
                assert part.segment.n_passages <= 256
                assert part.alive.mean() >= 0.75
        assert most <= 16, "four full segments and their like, and halves of halves of one"
        ids = sorted(grown.profile_id(int(p)) for p in grown.profile_rows[rows_in_order(grown)])
        assert ids == [f"{n:04}" for n in sorted(model)]

    def test_profiles_that_come_one_by_one_gather_in_one_segment(self):
        grown = Snapshot.empty(VERSIONS)
        for n in range(100):
            grown = grown.apply([Document(f"{n:03}", Facts("expert"), (Passage(None, {"泵": 1}, None),))], as_of=n)
        assert [part.segment.n_passages for part in grown.parts] == [100]

    def test_a_segment_of_which_nobody_is_left_is_dropped(self):
        built = Snapshot.build([document("a")], VERSIONS)
        assert built.apply([Removal("a")], as_of=2).parts == ()


class TestPendingVectors:
    @few
    @given(STEPS, ARRIVALS, SMALL)
    def test_what_came_is_as_if_it_had_been_there(self, steps, vectors, are_small):
        grown, model = grow(steps, are_small=are_small)
        then = grown.with_vectors(vectors)
        expected = [
            replace(
                each,
                passages=tuple(
                    replace(p, awaits=0, vector=vectors[p.awaits]) if p.awaits in vectors else p for p in each.passages
                ),
            )
            for each in model.values()
        ]
        assert_same(then, replace(Snapshot.build(expected, VERSIONS), frequencies=grown.frequencies))
        assert (then.as_of, then.version) == (grown.as_of, grown.version)

    @few
    @given(STEPS, SMALL, st.integers(0, 12), st.sets(st.sampled_from([11, 12, 13, 99])))
    def test_what_is_awaited_is_named_with_its_owners(self, steps, are_small, n, keys):
        grown, model = grow(steps, are_small=are_small)
        awaited = [passage.awaits for _, passage in in_order(model.values()) if passage.awaits]
        assert sorted(grown.awaited(10_000)) == sorted(awaited)
        assert grown.awaited(n) == grown.awaited(10_000)[:n]
        owners = {d.profile_id for d in model.values() if any(p.awaits in keys for p in d.passages)}
        assert sorted(grown.owners_of_awaited(keys)) == sorted(owners)


def document(profile_id="a", **facts):
    passages = (
        Passage(None, {"水泵": 1, "~水泵": 1}, vector(1)),
        Passage("w1", {"plc": 2}, None, "en", 2024, awaits=11),
    )
    return Document(profile_id, Facts(kind="expert", **facts), passages)


@pytest.fixture
def saved():
    """With a segment in which somebody is gone, and another."""
    with small_segments(are_small=True):
        built = Snapshot.build([document(name, region="440600", clusters=("新材料",)) for name in "abcd"], VERSIONS)
        changed = built.apply([document("d", region="440605"), document("e")], as_of=7)
    assert [part.alive.tolist() for part in changed.parts] == [[True, True, True, False], [True, True]]
    return changed


def names(folder):
    return {path.name for path in folder.iterdir()}


def files_of(found):
    return {f"{found.version}.frequencies", *(f"{part.segment.name}.segment" for part in found.parts)}


class TestFiles:
    @few
    @given(STEPS, SMALL, st.lists(CHANGES, max_size=4))
    def test_what_was_saved_is_loaded_as_it_was(self, steps, are_small, later):
        """And is moved on as what was saved would be."""
        grown, _ = grow(steps, are_small=are_small)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "not" / "yet" / "there"
            grown.save(folder)
            loaded = Snapshot.load(folder, VERSIONS)
            assert_same(loaded, grown)
            assert (loaded.version, loaded.as_of, loaded.versions) == (grown.version, grown.as_of, VERSIONS)
            assert same_frequencies(loaded.frequencies, grown.frequencies)
            assert len(loaded.parts) == len(grown.parts)
            assert_same(loaded.apply(later, as_of=50), grown.apply(later, as_of=50))
            loaded.apply(later, as_of=50).save(folder)
            assert_same(Snapshot.load(folder, VERSIONS), grown.apply(later, as_of=50))

    def test_an_empty_snapshot_has_nothing_and_can_be_saved(self, tmp_path):
        empty = Snapshot.empty(VERSIONS)
        assert (empty.n_profiles, empty.n_passages, empty.n_pending, empty.as_of) == (0, 0, 0, 0)
        empty.save(tmp_path)
        assert_same(Snapshot.load(tmp_path, VERSIONS), empty)

    def test_arrays_lie_in_the_pages_of_the_files(self, saved, tmp_path):
        saved.save(tmp_path)
        loaded = Snapshot.load(tmp_path, VERSIONS)
        for part in loaded.parts:
            for array in segment.arrays_of(part.segment).values():
                assert not array.flags.owndata
                assert not array.flags.writeable

    def test_a_segment_is_written_once(self, saved, tmp_path, monkeypatch):
        saved.save(tmp_path)
        written = []

        def write_arrays(path, arrays):
            written.append(path.name)
            return 0

        monkeypatch.setattr(snapshot, "write_arrays", write_arrays)
        replace(saved, as_of=8).save(tmp_path)
        assert written == [f"{saved.version}.frequencies"]

    def test_a_later_save_clears_away_what_nobody_can_be_loading(self, saved, tmp_path):
        saved.save(tmp_path)
        later = saved.apply([Removal(name) for name in "abc"], as_of=8)
        later.save(tmp_path)
        assert names(tmp_path) == {"CURRENT", *files_of(saved), *files_of(later)}
        (tmp_path / ".half.segment-1").write_bytes(b"a crash")
        (tmp_path / "ENCODING").write_bytes(b"")
        long_ago = (tmp_path / "CURRENT").stat().st_mtime - 7200
        for path in tmp_path.iterdir():
            os.utime(path, (long_ago, long_ago))
        later.save(tmp_path)
        assert names(tmp_path) == {"CURRENT", "ENCODING", *files_of(later)}, "a lock may be held for hours"
        assert_same(Snapshot.load(tmp_path, VERSIONS), later)

    def test_several_processes_may_save_at_once(self, saved, tmp_path):
        snapshots = [saved.apply([document(f"z{n}")], as_of=n) for n in range(10, 18)]
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(one.save, tmp_path) for one in snapshots * 3]:
                done.result()
        loaded = Snapshot.load(tmp_path, VERSIONS)
        assert_same(loaded, snapshots[loaded.as_of - 10])
        assert not [name for name in names(tmp_path) if name.startswith(".")]

    def test_old_files_may_be_cleared_away_by_several_at_once(self, saved, tmp_path, monkeypatch):
        monkeypatch.setattr(snapshot, "_KEPT_S", -60)
        snapshots = [saved.apply([document(f"z{n}")], as_of=n) for n in range(10, 14)]
        for one in snapshots:
            one.save(tmp_path)
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(snapshot._remove_old, tmp_path, files_of(saved)) for _ in range(40)]:
                done.result()
        assert names(tmp_path) <= {"CURRENT", *files_of(saved)}

    def test_the_stamp_changes_with_what_is_saved(self, saved, tmp_path):
        assert Snapshot.stamp(tmp_path) is Snapshot.stamp(tmp_path / "nowhere") is None
        saved.save(tmp_path)
        first = Snapshot.stamp(tmp_path)
        assert first == Snapshot.stamp(tmp_path)
        os.utime(tmp_path / "CURRENT", (1, 1))  # the file system's clock may be coarse
        assert Snapshot.stamp(tmp_path) != first

    @pytest.mark.parametrize("n_written", range(4))
    def test_a_crash_while_saving_leaves_the_earlier_snapshot(self, saved, tmp_path, monkeypatch, n_written):
        saved.save(tmp_path)
        left = n_written

        def replace_or_crash(path, target, *, original=Path.replace):
            nonlocal left
            if left == 0:
                raise OSError("disk full")
            left -= 1
            return original(path, target)

        later = Snapshot.build([document("x")], VERSIONS, as_of=9).apply([document("y")], as_of=10)
        monkeypatch.setattr(Path, "replace", replace_or_crash)
        if n_written < 3:  # a segment, the frequencies, what points to them
            with pytest.raises(OSError, match="disk full"):
                later.save(tmp_path)
            assert_same(Snapshot.load(tmp_path, VERSIONS), saved)
        else:
            later.save(tmp_path)
            assert_same(Snapshot.load(tmp_path, VERSIONS), later)


class TestRefusal:
    def test_there_may_be_no_snapshot(self, tmp_path):
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(SavedIndexRefused, match="no snapshot") as refused:
                Snapshot.load(folder, VERSIONS)
            assert not refused.value.is_damage

    @pytest.mark.parametrize("name", ["lexicon", "encoder", "n_dimensions"])
    def test_another_lexicon_or_encoder_is_refused(self, saved, tmp_path, name):
        saved.save(tmp_path)
        another: Any = N_DIMENSIONS + 1 if name == "n_dimensions" else "another"
        other = replace(VERSIONS, **{name: another})
        with pytest.raises(SavedIndexRefused, match=f"made with .*expected .*{other.lexicon}"):
            Snapshot.load(tmp_path, other)

    def test_a_segment_with_vectors_of_another_length_is_refused(self, saved, tmp_path):
        parts = tuple(
            replace(
                part,
                segment=replace(
                    part.segment, vectors=Vectors.build([None] * part.segment.n_passages, n_dimensions=N_DIMENSIONS + 1)
                ),
            )
            for part in saved.parts
        )
        replace(saved, parts=parts).save(tmp_path)
        with pytest.raises(SavedIndexRefused, match=f"{N_DIMENSIONS + 1} dimensions, expected {N_DIMENSIONS}"):
            Snapshot.load(tmp_path, VERSIONS)

    def test_another_format_is_refused(self, saved, tmp_path, monkeypatch):
        saved.save(tmp_path)
        monkeypatch.setattr(snapshot, "FORMAT_VERSION", snapshot.FORMAT_VERSION + 1)
        with pytest.raises(SavedIndexRefused, match="format"):
            Snapshot.load(tmp_path, VERSIONS)

    @pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage", "null", "one bit"])
    def test_any_file_that_is_damaged_or_missing_is_found(self, saved, tmp_path, damage):
        saved.save(tmp_path)
        assert len(names(tmp_path)) == 4
        for path in tmp_path.iterdir():
            content = path.read_bytes()
            damaged = {
                "empty": b"",
                "cut": content[: len(content) // 2],
                "garbage": b"\xff\xfe\x00garbage" * 20,
                "null": b"null",
                "one bit": content[:-1] + bytes([content[-1] ^ 1]),
            }
            path.write_bytes(damaged[damage]) if damage != "missing" else path.unlink()
            with pytest.raises(SavedIndexRefused):
                Snapshot.load(tmp_path, VERSIONS)
            path.write_bytes(content)
        assert_same(Snapshot.load(tmp_path, VERSIONS), saved)

    def test_a_part_of_another_snapshot_is_found(self, saved, tmp_path):
        other = Snapshot.build([document("x")], VERSIONS)
        saved.save(tmp_path)
        other.save(tmp_path / "other")
        for suffix in (".segment", ".frequencies"):
            path, theirs = (next(folder.glob(f"*{suffix}")) for folder in (tmp_path, tmp_path / "other"))
            content = path.read_bytes()
            path.write_bytes(theirs.read_bytes())
            with pytest.raises(SavedIndexRefused, match="damaged"):
                Snapshot.load(tmp_path, VERSIONS)
            path.write_bytes(content)

    @pytest.mark.parametrize(
        "change",
        [
            {"format": None},
            {"versions": None},
            {"versions": {}},
            {"as_of": None},
            {"segments": None},
            {"segments": [{}]},
            {"segments": [{"name": "nowhere", "checksum": 0, "gone": None}]},
            {"frequencies": None},
            {"version": "\0"},
        ],
        ids=str,
    )
    def test_what_points_to_something_else_is_refused(self, saved, tmp_path, change):
        """As a program of another time might write it, its checksum right."""
        saved.save(tmp_path)
        path = tmp_path / "CURRENT"
        manifest = json.dumps(json.loads(path.read_bytes().partition(b"\n")[2]) | change).encode()
        path.write_bytes(f"{zlib.crc32(manifest):08x}\n".encode() + manifest)
        with pytest.raises(SavedIndexRefused):
            Snapshot.load(tmp_path, VERSIONS)

    @pytest.mark.parametrize("suffix", [".segment", ".frequencies"])
    def test_what_is_built_and_saved_after_damage_can_be_loaded(self, saved, tmp_path, suffix):
        """Also where the frequencies, and so the name of their file, are the same as before."""
        saved = saved.recounted()
        saved.save(tmp_path)
        next(tmp_path.glob(f"*{suffix}")).write_bytes(b"")
        with pytest.raises(SavedIndexRefused):
            Snapshot.load(tmp_path, VERSIONS)
        documents_again = [document(name, region="440600", clusters=("新材料",)) for name in "abc"]
        rebuilt = Snapshot.build([*documents_again, document("d", region="440605"), document("e")], VERSIONS)
        assert rebuilt.version == saved.version
        rebuilt.save(tmp_path)
        assert_same(Snapshot.load(tmp_path, VERSIONS), rebuilt)
