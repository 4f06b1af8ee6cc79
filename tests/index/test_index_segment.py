"""A segment holds what it was built from, in the order of ids, whether it was built at once or merged."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.worlds import DOCUMENTS, N_DIMENSIONS, in_order, vector

from matching_service.index.contract import Document, Facts, Passage
from matching_service.index.rounding import round_vector
from matching_service.index.segment import Ragged, Segment, arrays_of, columns_from, text_key

some = settings(deadline=None, max_examples=60)


def build(documents):
    return Segment.build(documents, n_dimensions=N_DIMENSIONS)


def assert_same(segment, other):
    arrays, expected = arrays_of(segment), arrays_of(other)
    assert list(arrays) == list(expected)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert array.dtype == expected[name].dtype, name


@some
@given(DOCUMENTS)
def test_profiles_and_passages_stand_in_the_order_of_ids(documents):
    segment, rows = build(documents), in_order(documents)
    by_id = {document.profile_id: document for document in documents}
    assert segment.profiles.ids.tolist() == [profile_id.encode() for profile_id in sorted(by_id)]
    assert [segment.profiles.facts_of(row) for row in range(segment.n_profiles)] == [
        by_id[profile_id].facts for profile_id in sorted(by_id)
    ]
    owners = segment.profiles.ids[segment.passages.profile_rows]
    assert owners.tolist() == [profile_id.encode() for profile_id, _ in rows]
    passages = [passage for _, passage in rows]
    assert segment.passages.work_ids.tolist() == [(passage.work_id or "").encode() for passage in passages]
    assert segment.passages.languages.tolist() == [passage.language.encode() for passage in passages]
    assert segment.passages.years.tolist() == [passage.year or 0 for passage in passages]
    assert segment.passages.awaits.tolist() == [passage.awaits for passage in passages]
    assert (segment.n_profiles, segment.n_passages) == (len(documents), len(rows))
    for row, passage in enumerate(passages):
        if passage.vector is None:
            assert np.isnan(segment.vectors.scales[row])
        else:
            np.testing.assert_array_equal(segment.vectors.directions[row], round_vector(passage.vector))


@some
@given(DOCUMENTS)
def test_facts_are_given_by_column(documents):
    columns = build(documents).profiles
    facts = [document.facts for document in sorted(documents, key=lambda document: document.profile_id)]
    assert columns.kinds.tolist() == [text_key(f.kind) for f in facts]
    assert columns.regions.tolist() == [int(f.region) if f.region else -1 for f in facts]
    assert columns.organizations.tolist() == [text_key(f.organization_id) for f in facts]
    assert [columns.clusters[row].tolist() for row in range(len(facts))] == [
        [text_key(cluster) for cluster in f.clusters] for f in facts
    ]
    assert columns.available_from.tolist() == [f.available_from for f in facts]
    assert columns.available_until.tolist() == [f.available_until for f in facts]


def test_nothing_has_no_key_and_everything_else_has_its_own():
    assert text_key(None) == 0
    assert len({text_key(text) for text in (None, "", "expert", "新材料")}) == 4


@some
@given(DOCUMENTS, st.randoms())
def test_it_does_not_depend_on_the_order_of_documents(documents, random):
    shuffled = documents.copy()
    random.shuffle(shuffled)
    assert_same(build(shuffled), build(documents))


@some
@given(st.lists(DOCUMENTS, min_size=1, max_size=4), st.data())
def test_merged_segments_are_the_one_built_of_those_who_are_left(groups, data):
    left: dict[str, Document] = {}
    alive = []
    for group in groups:
        ids = sorted(document.profile_id for document in group)
        kept = data.draw(st.sets(st.sampled_from(ids)) if ids else st.just(set())) - left.keys()
        left |= {document.profile_id: document for document in group if document.profile_id in kept}
        alive.append(np.array([profile_id in kept for profile_id in ids], dtype=np.bool_))
    segments = [build(group) for group in groups]
    before = [{name: array.copy() for name, array in arrays_of(segment).items()} for segment in segments]
    merged = Segment.merge(segments, alive)
    assert_same(merged, build(left.values()))
    assert merged.name not in {segment.name for segment in segments}
    for segment, arrays in zip(segments, before, strict=True):
        for name, array in arrays_of(segment).items():
            np.testing.assert_array_equal(array, arrays[name])


class TestVectorsThatCome:
    @some
    @given(
        DOCUMENTS, st.dictionaries(st.sampled_from([11, 12, 13, 99]), st.sampled_from([None, *map(vector, range(3))]))
    )
    def test_they_are_in_the_rows_that_awaited_them(self, documents, vectors):
        segment = build(documents)
        then = segment.with_vectors(vectors)
        expected = [
            dataclasses.replace(
                document,
                passages=tuple(
                    dataclasses.replace(passage, awaits=0, vector=vectors[passage.awaits])
                    if passage.awaits in vectors
                    else passage
                    for passage in document.passages
                ),
            )
            for document in documents
        ]
        assert_same(then, build(expected))
        assert_same(segment, build(documents))
        assert (then is segment) == (then.name == segment.name)
        assert (then is segment) == vectors.keys().isdisjoint(segment.passages.awaits.tolist())

    def test_nobody_awaits_the_vector_of_no_text(self):
        segment = build([Document("a", Facts("expert"), (Passage(None, {}, None),))])
        assert segment.with_vectors({0: vector(1)}) is segment


class TestArrays:
    @some
    @given(DOCUMENTS)
    def test_they_cannot_be_changed(self, documents):
        for array in arrays_of(build(documents)).values():
            assert not array.flags.writeable

    @some
    @given(DOCUMENTS)
    def test_a_segment_can_be_made_of_them(self, documents):
        segment = build(documents)
        again = columns_from(Segment, arrays_of(segment), name="other")
        assert_same(again, segment)
        assert again.name == "other"

    def test_one_that_is_missing_is_named(self):
        arrays = arrays_of(build([]))
        for name in arrays:
            with pytest.raises(KeyError, match=name):
                columns_from(Segment, {other: array for other, array in arrays.items() if other != name}, name="x")

    @some
    @given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6), st.data())
    def test_rows_of_different_lengths_are_kept_apart(self, rows, data):
        ragged = Ragged.build(rows, np.uint64)
        assert [ragged[number].tolist() for number in range(len(rows))] == rows
        taken = data.draw(st.lists(st.sampled_from(range(len(rows))), max_size=8)) if rows else []
        some_rows = ragged.take(np.array(taken, dtype=np.int64))
        assert [some_rows[number].tolist() for number in range(len(taken))] == [rows[number] for number in taken]


class TestIds:
    def test_one_of_36_bytes_is_kept_and_a_longer_one_refused_rather_than_cut(self):
        long, longer = "x" * 36, "x" * 37
        assert build([Document(long, Facts("expert"), ())]).profiles.ids.tolist() == [long.encode()]
        work = Passage(longer, {}, None)
        for document in (Document(longer, Facts("expert"), ()), Document("a", Facts("expert"), (work,))):
            with pytest.raises(ValueError, match="37 bytes"):
                build([document])

    def test_a_profile_without_passages_is_kept(self):
        segment = build([Document("b", Facts("expert"), ()), Document("a", Facts("team"), ())])
        assert segment.profiles.ids.tolist() == [b"a", b"b"]
        assert segment.n_passages == 0
