"""What every form of an index must do. Subclass ``IndexContract`` and ``FormContract`` and override their one fixture.

Each answer is held against that of ``NaiveIndex``, bit by bit. Handles are an index's own, so answers are compared by
the ids that they stand for.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from contracts.naive_index import NaiveIndex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index.worlds import (
    DOCUMENTS,
    FILTERS,
    QUERIES,
    TERMS,
    VECTORS,
    VERSIONS,
    documents,
    vector,
)

from matching_service.index.contract import (
    CandidatePassages,
    Document,
    Facts,
    Handles,
    Index,
    IndexForm,
    IndexQuery,
    KeptIndex,
    Passage,
    ProfileFacts,
    Removal,
    SavedIndexRefused,
)
from matching_service.index.filters import NO_FILTERS, Filters

MakeIndex = Callable[..., Index]
"""From documents of different profiles and versions, with ``as_of``."""

CHANGES = st.one_of(documents(), st.builds(Removal, st.sampled_from("abcdefghz")))
STEPS = st.lists(st.lists(CHANGES, max_size=5), max_size=5)
ARRIVALS = st.dictionaries(st.sampled_from([11, 12, 13, 99]), st.one_of(st.none(), VECTORS), max_size=4)
EVERYONE = Filters(candidates=frozenset("abcdefgh"))
EVERY_TOPIC = tuple(((term,),) for term in TERMS)
ALL = 1000

# One test runs in several subclasses, one per form of the index.
some = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.differing_executors])


class FormContract:
    """What every ``IndexForm`` must do, so that a process can keep its indexes up to date."""

    @pytest.fixture(scope="class")
    @classmethod
    def form(cls) -> IndexForm[KeptIndex]:
        raise NotImplementedError

    @some
    @given(DOCUMENTS, QUERIES, st.integers(0, 8))
    def test_documents_may_come_in_portions(self, form, documents, query, n_first):
        builder = form.builder(VERSIONS)
        builder.add(documents[:n_first])
        builder.add(documents[n_first:])
        built = builder.finish(as_of=7)
        assert built.as_of == 7
        assert_same_answers(built, NaiveIndex.build(documents, VERSIONS), query, NO_FILTERS, 3)

    @some
    @given(DOCUMENTS, STEPS, QUERIES)
    def test_what_is_saved_is_loaded_and_goes_on(self, form, tmp_path_factory, documents, steps, query):
        folder = tmp_path_factory.mktemp("index") / "saved"
        assert form.stamp(folder) is None
        index = grown(form, documents)
        index.save(folder)
        assert form.stamp(folder) is not None
        loaded = form.load(folder, VERSIONS)
        assert (loaded.as_of, loaded.version, loaded.n_unsaved(index)) == (index.as_of, index.version, 0)
        assert_same_answers(loaded, index, query, NO_FILTERS, 3)
        for seq, changes in enumerate(steps, start=9):
            loaded, index = loaded.apply(changes, as_of=seq), index.apply(changes, as_of=seq)
        assert_same_answers(loaded, index, query, NO_FILTERS, 3)
        assert_same_answers(loaded.recounted(), index.recounted(), query, NO_FILTERS, 3)

    def test_nothing_and_other_versions_are_refused(self, form, tmp_path):
        with pytest.raises(SavedIndexRefused) as refused:
            form.load(tmp_path, VERSIONS)
        assert not refused.value.is_damage
        grown(form, [document("a")]).save(tmp_path)
        with pytest.raises(SavedIndexRefused) as refused:
            form.load(tmp_path, replace(VERSIONS, lexicon="another"))
        assert refused.value.is_damage

    def test_changed_profiles_are_not_saved_yet(self, form):
        index = grown(form, [document("a"), document("b")])
        changed = index.apply([document("c")], as_of=9)
        assert 0 < len(document("c").passages) <= changed.n_unsaved(index) <= changed.n_passages

    @some
    @given(DOCUMENTS, ARRIVALS)
    def test_awaited_vectors_are_named_with_their_owners_until_they_come(self, form, documents, arrivals):
        index, plain = grown(form, documents), NaiveIndex.build(documents, VERSIONS)
        for each in (index, plain), (index.with_vectors(arrivals), plain.with_vectors(arrivals)):
            keys, expected = (sorted(one.awaited(ALL)) for one in each)
            assert keys == expected
            owners_of_each = [sorted(one.owners_of_awaited(set(expected))) for one in each]
            assert owners_of_each[0] == owners_of_each[1]
            assert each[0].n_pending == len(keys) >= len(each[0].awaited(1))

    def test_the_empty_index_answers_nothing(self, form):
        index = form.empty(VERSIONS)
        assert (index.n_profiles, index.n_passages, index.as_of, index.awaited(1)) == (0, 0, 0, [])
        assert len(index.candidates(IndexQuery({"水泵": 1.0}), NO_FILTERS, 5)) == 0


def grown(form: IndexForm[KeptIndex], documents: Sequence[Document]) -> KeptIndex:
    builder = form.builder(VERSIONS)
    builder.add(documents)
    return builder.finish(as_of=8)


class IndexContract:
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> MakeIndex:
        """``make(documents, versions, as_of=0)`` gives an index of them."""
        raise NotImplementedError

    # What a question finds

    @some
    @given(DOCUMENTS, QUERIES, FILTERS, st.integers(1, 12))
    def test_candidates_are_those_of_a_plain_reading(self, make, documents, query, filters, n):
        assert_same_answers(make(documents, VERSIONS), NaiveIndex.build(documents, VERSIONS), query, filters, n)

    @some
    @given(DOCUMENTS, QUERIES, st.integers(1, 12), st.randoms())
    def test_they_do_not_depend_on_the_order_of_the_documents(self, make, documents, query, n, random):
        shuffled = documents.copy()
        random.shuffle(shuffled)
        assert_same_answers(make(shuffled, VERSIONS), make(documents, VERSIONS), query, NO_FILTERS, n)

    @some
    @given(DOCUMENTS, QUERIES, FILTERS)
    def test_the_passages_of_a_profile_stand_together_by_their_works_ids(self, make, documents, query, filters):
        index = make(documents, VERSIONS)
        passages = index.candidates(query, filters, 2)
        names = list(zip(owners(index, passages.profiles), passages.work_ids.tolist(), strict=True))
        changes = [owner for place, (owner, _) in enumerate(names) if place == 0 or names[place - 1][0] != owner]
        assert len(changes) == len(set(changes))
        assert all(one[1] < next_[1] for one, next_ in pairwise(names) if one[0] == next_[0])

    def test_columns_have_their_types_and_one_value_per_passage(self, make):
        index = make([document("a"), document("b")], VERSIONS)
        for filters in (NO_FILTERS, Filters(candidates=frozenset("a")), Filters(candidates=frozenset("z"))):
            passages = index.candidates(IndexQuery({"水泵": 1.0}, vector(1), EVERY_TOPIC[:2]), filters, 5)
            n = len(passages)
            assert (passages.words.dtype, passages.cosines.dtype) == (np.float32, np.float32)
            assert (passages.years.dtype, passages.topics.dtype) == (np.int16, np.bool_)
            assert (passages.work_ids.dtype.kind, passages.languages.dtype.kind) == ("S", "U")
            assert passages.topics.shape == (2, n)
            for column in (passages.words, passages.cosines, passages.years, passages.work_ids, passages.languages):
                assert column.shape == (n,)

    def test_all_that_tie_with_the_last_are_there(self, make):
        twins = [document(name) for name in "hgfedcba"]
        better = Document("z", Facts("expert"), (Passage(None, {"水泵": 1}, None),))
        index = make([*twins, better], VERSIONS)
        query = IndexQuery({"水泵": 1.0})
        assert {owner for owner, _ in answers(index, index.candidates(query, NO_FILTERS, 1))} == {"z"}
        passages = index.candidates(query, NO_FILTERS, 2)
        assert {owner for owner, _ in answers(index, passages)} == set("abcdefghz")

    def test_a_few_profiles_with_many_works_leave_places_for_others(self, make):
        crowded = Document("a", Facts("expert"), tuple(Passage(f"w{n:03}", {"水泵": 2}, None) for n in range(100)))
        others = [
            Document(f"b{n}", Facts("expert"), (Passage(None, {"水泵": 1, "plc": n + 1}, None),)) for n in range(9)
        ]
        index = make([crowded, *others], VERSIONS)
        found = {owner for owner, _ in answers(index, index.candidates(IndexQuery({"水泵": 1.0}), NO_FILTERS, 20))}
        assert found == {"a", *(f"b{n}" for n in range(9))}

    def test_a_profile_with_a_topic_comes_with_all_its_passages(self, make):
        better = [Document(f"a{n}", Facts("expert"), (Passage(None, {"水泵": 1}, None),)) for n in range(9)]
        able = Document(
            "z",
            Facts("expert"),
            (Passage(None, {"=3db": 1}, None), Passage("w1", {"plc": 1, "水泵": 1, "泵": 9}, None)),
        )
        index = make([*better, able], VERSIONS)
        terms = {"水泵": 1.0}
        assert ("z", "") not in answers(index, index.candidates(IndexQuery(terms), NO_FILTERS, 2))
        found = answers(index, index.candidates(IndexQuery(terms, topics=((("plc",),),)), NO_FILTERS, 2))
        assert {name for name in found if name[0] == "z"} == {("z", ""), ("z", "w1")}
        assert [topics for *_, topics in (found["z", ""], found["z", "w1"])] == [[False], [True]]

    # Named profiles

    @some
    @given(DOCUMENTS, QUERIES, st.frozensets(st.sampled_from([*"abcdexyz", "", "x" * 36, "x" * 37, "\ud800"])))
    def test_named_profiles_come_with_all_passages_and_unknown_ids_with_none(self, make, documents, query, names):
        index = make(documents, VERSIONS)
        found = answers(index, index.candidates(query, Filters(candidates=names), 1))
        assert set(found) == {
            (each.profile_id, passage.work_id or "")
            for each in documents
            if each.profile_id in names
            for passage in each.passages
        }

    @some
    @given(DOCUMENTS, QUERIES, st.integers(1, 8))
    def test_a_passage_scores_the_same_alone_and_among_many(self, make, documents, query, n):
        index = make(documents, VERSIONS)
        named = answers(index, index.candidates(query, EVERYONE, 1))
        for name, scores in answers(index, index.candidates(query, NO_FILTERS, n)).items():
            assert named[name] == scores
            alone = index.candidates(query, Filters(candidates=frozenset({name[0]})), 1)
            assert answers(index, alone)[name] == scores

    @some
    @given(DOCUMENTS, QUERIES, st.data())
    def test_evidence_is_all_that_some_profiles_say(self, make, documents, query, data):
        index = make(documents, VERSIONS)
        everyone = index.candidates(query, EVERYONE, 1)
        handles = np.unique(everyone.profiles)
        some_places = data.draw(
            st.lists(st.sampled_from(range(len(handles))), unique=True) if len(handles) else st.just([])
        )
        chosen = handles[np.array(some_places, dtype=np.int64)]
        evidence = index.all_passages(query, chosen)
        found = sorted(
            zip(
                owners(index, evidence.profiles),
                (name.decode() for name in evidence.work_ids.tolist()),
                evidence.words.tolist(),
                known(evidence.cosines),
                evidence.languages.tolist(),
                evidence.years.tolist(),
                evidence.topics.T.tolist(),
                strict=True,
            ),
            key=str,
        )
        names = set(owners(index, chosen))
        expected = [
            (owner, work_id, *scores) for (owner, work_id), scores in answers(index, everyone).items() if owner in names
        ]
        assert found == sorted(expected, key=str)

    @some
    @given(DOCUMENTS, st.randoms())
    def test_facts_are_those_of_the_documents_in_the_order_asked_for(self, make, documents, random):
        index = make(documents, VERSIONS)
        handles = np.unique(index.candidates(IndexQuery(), EVERYONE, 1).profiles).tolist()
        random.shuffle(handles)
        facts = {each.profile_id: each.facts for each in documents}
        dtype = index.candidates(IndexQuery(), EVERYONE, 1).profiles.dtype
        read = index.facts_of(np.array(handles, dtype=dtype))
        assert [profile.profile_id for profile in read] == [
            owners(index, np.array([h], dtype=dtype))[0] for h in handles
        ]
        assert read == [ProfileFacts(profile.profile_id, facts[profile.profile_id]) for profile in read]
        assert sorted(profile.profile_id for profile in read) == sorted(facts)

    # Little and nothing

    def test_an_empty_index_has_nothing(self, make):
        index = make([], VERSIONS)
        assert (index.n_profiles, index.n_pending, index.as_of, len(index.frequencies)) == (0, 0, 0, 0)
        for filters in (NO_FILTERS, EVERYONE, Filters(exclude=frozenset("a"))):
            passages = index.candidates(IndexQuery({"水泵": 1.0}, vector(1), EVERY_TOPIC), filters, 5)
            assert len(passages) == 0
            assert passages.topics.shape == (len(TERMS), 0)
            assert index.facts_of(passages.profiles) == []
            evidence = index.all_passages(IndexQuery(vector=vector(1), topics=EVERY_TOPIC), passages.profiles)
            assert len(evidence.profiles) == 0
            assert evidence.topics.shape == (len(TERMS), 0)

    def test_an_empty_question_finds_nobody_but_those_it_names(self, make):
        index = make([document("a"), document("b")], VERSIONS)
        assert len(index.candidates(IndexQuery(), NO_FILTERS, 5)) == 0
        named = index.candidates(IndexQuery(), Filters(candidates=frozenset("b")), 5)
        assert owners(index, named.profiles) == ["b", "b"]
        assert named.words.tolist() == [0.0, 0.0]
        assert np.isnan(named.cosines).all()
        assert named.topics.shape == (0, 2)

    def test_an_index_of_words_alone_has_no_cosines(self, make):
        versions = replace(VERSIONS, encoder="none", n_dimensions=0)
        bare = [Document(name, Facts("expert"), (Passage(None, {"水泵": 1}, None),)) for name in "ab"]
        index = make(bare, versions)
        passages = index.candidates(IndexQuery({"水泵": 1.0}), NO_FILTERS, 5)
        assert sorted(owners(index, passages.profiles)) == ["a", "b"]
        assert np.isnan(passages.cosines).all()

    def test_a_profile_without_passages_is_counted_and_never_found(self, make):
        index = make([Document("a", Facts("expert"), ()), document("b")], VERSIONS)
        assert index.n_profiles == 2
        for filters in (NO_FILTERS, EVERYONE):
            passages = index.candidates(IndexQuery({"水泵": 1.0}, vector(1)), filters, 5)
            assert set(owners(index, passages.profiles)) == {"b"}

    # How it becomes the next one

    @some
    @given(STEPS, QUERIES, FILTERS, st.integers(1, 12))
    def test_an_index_that_grew_answers_as_one_that_is_built_at_once(self, make, steps, query, filters, n):
        """With the frequencies as they were counted last."""
        grown, naive = grow(make([], VERSIONS), steps), grow(NaiveIndex.build([], VERSIONS), steps)
        assert isinstance(naive, NaiveIndex)
        assert_same_answers(grown, naive, query, filters, n)
        assert_same_answers(grown, replace(naive, documents=naive.documents[::-1]), query, filters, n)
        assert (grown.n_profiles, grown.n_pending, grown.as_of) == (naive.n_profiles, naive.n_pending, len(steps))

    def test_who_is_removed_is_not_found_and_may_come_back(self, make):
        index = make([document("a"), document("b")], VERSIONS)
        gone = index.apply([Removal("a")], as_of=1)
        assert names(gone) == ["b"]
        assert names(gone.apply([document("a")], as_of=2)) == ["a", "b"]
        assert names(gone.apply([Removal("b")], as_of=2)) == []
        assert names(index) == ["a", "b"]

    def test_removing_a_stranger_changes_nothing_but_as_of(self, make):
        index = make([document("a")], VERSIONS, as_of=3)
        after = index.apply([Removal("z")], as_of=4)
        assert (names(after), after.version, after.as_of) == (["a"], index.version, 4)

    def test_the_last_change_of_a_profile_counts(self, make):
        changes = [
            document("a", region="100000"),
            Removal("a"),
            document("a", region="200000"),
            document("b"),
            Removal("b"),
        ]
        index = make([], VERSIONS).apply(changes, as_of=1)
        assert index.n_profiles == 1
        (profile,) = index.facts_of(index.candidates(IndexQuery(), EVERYONE, 1).profiles[:1])
        assert profile.facts.region == "200000"

    @some
    @given(DOCUMENTS, st.lists(CHANGES, min_size=1, max_size=5), ARRIVALS, QUERIES)
    def test_a_change_leaves_the_index_it_starts_from_as_it_was(self, make, documents, changes, vectors, query):
        index = make(documents, VERSIONS, as_of=3)
        before = answers(index, index.candidates(query, EVERYONE, 1)), index.version, index.n_profiles, index.n_pending
        index.apply(changes, as_of=9).with_vectors(vectors)
        after = answers(index, index.candidates(query, EVERYONE, 1)), index.version, index.n_profiles, index.n_pending
        assert after == before
        assert index.as_of == 3

    @some
    @given(DOCUMENTS, ARRIVALS, QUERIES)
    def test_a_vector_that_came_later_is_as_if_it_had_been_there(self, make, documents, vectors, query):
        index, naive = make(documents, VERSIONS, as_of=3), NaiveIndex.build(documents, VERSIONS)
        assert index.n_pending == naive.n_pending
        later = index.with_vectors(vectors)
        assert_same_answers(later, naive.with_vectors(vectors), query, EVERYONE, 1)
        assert_same_answers(later, naive.with_vectors(vectors), query, NO_FILTERS, 3)
        assert later.n_pending == naive.with_vectors(vectors).n_pending
        assert (later.as_of, later.version) == (3, index.version)

    # Frequencies and versions

    @some
    @given(STEPS)
    def test_frequencies_stay_as_counted_until_there_are_twice_as_many_passages_or_half(self, make, steps):
        index, naive = make([], VERSIONS), NaiveIndex.build([], VERSIONS)
        for as_of, changes in enumerate(steps, start=1):
            before, counted = index, len(index.frequencies)
            index, naive = index.apply(changes, as_of=as_of), naive.apply(changes, as_of=as_of)
            n = sum(len(each.passages) for each in naive.documents)
            assert weights_by(index) == weights_by(naive)
            if counted / 2 <= n <= 2 * counted:
                assert (index.version, weights_by(index)) == (before.version, weights_by(before))
            else:
                assert len(index.frequencies) == n

    @some
    @given(DOCUMENTS, DOCUMENTS)
    def test_equal_versions_mean_equal_frequencies(self, make, one, other):
        indexes = [make(documents, VERSIONS) for documents in (one, other)]
        counts = [each.frequencies for each in indexes]
        are_equal = (
            len(counts[0]) == len(counts[1])
            and np.array_equal(counts[0].terms, counts[1].terms)
            and np.array_equal(counts[0].counts, counts[1].counts)
        )
        assert (indexes[0].version == indexes[1].version) == are_equal

    def test_another_lexicon_or_encoder_is_another_version(self, make):
        versions = [VERSIONS, replace(VERSIONS, lexicon="2"), replace(VERSIONS, encoder="2")]
        assert len({make([document("a")], each).version for each in versions}) == 3


def document(profile_id: str, **facts: Any) -> Document:
    passages = (
        Passage(None, {"水泵": 1, "plc": 1}, vector(1)),
        Passage("w1", {"plc": 2}, None, "en", 2024, awaits=11),
    )
    return Document(profile_id, Facts(kind="expert", **facts), passages)


def grow(index: Index, steps: list[list[Document | Removal]]) -> Index:
    for as_of, changes in enumerate(steps, start=1):
        index = index.apply(changes, as_of=as_of)
    return index


def names(index: Index) -> list[str]:
    """The profiles that are found by their names."""
    passages = index.candidates(IndexQuery(), EVERYONE, 1)
    return sorted(set(owners(index, passages.profiles)))


def owners(index: Index, handles: Handles) -> list[str]:
    """The ids that handles stand for; an index is asked for each once."""
    different, place_of = np.unique(handles, return_inverse=True)
    ids = [profile.profile_id for profile in index.facts_of(different)]
    return [ids[place] for place in place_of.tolist()]


def known(scores: np.ndarray) -> list[float | None]:
    return [None if np.isnan(score) else score for score in scores.tolist()]


def answers(index: Index, passages: CandidatePassages) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Per passage, by the ids of profile and work, all that the answer says."""
    ids = zip(owners(index, passages.profiles), (name.decode() for name in passages.work_ids.tolist()), strict=True)
    columns = zip(
        passages.words.tolist(),
        known(passages.cosines),
        passages.languages.tolist(),
        passages.years.tolist(),
        passages.topics.T.tolist(),
        strict=True,
    )
    found = dict(zip(ids, columns, strict=True))
    assert len(found) == len(passages), "a passage stands in an answer once"
    return found


def assert_same_answers(index: Index, other: Index, query: IndexQuery, filters: Filters, n: int) -> None:
    expected = answers(other, other.candidates(query, filters, n))
    assert answers(index, index.candidates(query, filters, n)) == expected


def weights_by(index: Index) -> dict[str, float]:
    """What the index's frequencies make of a text."""
    return index.frequencies.weigh(dict.fromkeys((*TERMS, "unseen"), 1))
