"""Ranking asks an index nothing but what the contract says: other forms of it give the same answers, bit by bit."""

from typing import Any

import pytest
from contracts.naive_index import NaiveIndex
from contracts.split_index import SplitIndex
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.worlds import (
    ANY_WEIGHTS,
    CIRCUMSTANCES,
    DATES,
    DOCUMENTS,
    ENCODER,
    QUERIES,
    TODAY,
    VERSIONS,
    crowd,
    document,
    snapshot_of,
)

from matching_service.index.filters import Filters
from matching_service.index.snapshot import Snapshot
from matching_service.ranking import ranker
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.ranking.structured import Circumstances

FILTERS = st.builds(
    Filters,
    kinds=st.frozensets(st.sampled_from(["expert", "team"]), max_size=1),
    region_prefixes=st.lists(st.sampled_from(["44", "4406"]), max_size=1).map(tuple),
    candidates=st.one_of(st.none(), st.frozensets(st.sampled_from("abcdefghx"))),
    exclude=st.frozensets(st.sampled_from("abx"), max_size=2),
    available_on=DATES,
)


OPTIONS = st.fixed_dictionaries({"filters": FILTERS, "weights": ANY_WEIGHTS, "circumstances": CIRCUMSTANCES})


@settings(deadline=None, max_examples=100)
@given(DOCUMENTS, QUERIES, OPTIONS, st.sampled_from([1, 2, 5, 500]), st.integers(1, 5))
def test_every_form_of_an_index_gives_the_same_list(documents, query, options, n, n_parts):
    """Also where only a few passages are looked at."""
    prepared = prepare(query, ENCODER)
    forms: list[Any] = [
        NaiveIndex.build(documents, VERSIONS),
        NaiveIndex.build(documents[::-1], VERSIONS),
        SplitIndex.build(Snapshot.build, documents, VERSIONS, n_parts=n_parts),
        SplitIndex.build(NaiveIndex.build, documents, VERSIONS, n_parts=n_parts),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranker, "_N_CANDIDATES", n)
        for top_k in (1, 3):
            expected = rank(prepared, snapshot_of(*documents), top_k=top_k, **options)
            for form in forms:
                assert rank(prepared, form, top_k=top_k, **options) == expected


WORDS = st.sampled_from(["泵", "铝", "柔轮", "机器视觉", "PLC", "测试", "谐波减速器", "harmonic drive", "！"])
QUERIES_WITH_TOPICS = st.builds(
    Query,
    title=st.lists(WORDS, min_size=1, max_size=3).map("".join),
    must_have=st.lists(WORDS, max_size=2).map(tuple),
    nice_to_have=st.lists(WORDS, max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), QUERIES_WITH_TOPICS, ANY_WEIGHTS, st.sampled_from([2, 6, 16]), st.integers(1, 5))
def test_the_same_few_of_many_are_looked_at(seed, query, weights, n, n_parts):
    documents = crowd(seed, 40)
    prepared, options = prepare(query, ENCODER), {"weights": weights, "circumstances": Circumstances(TODAY)}
    forms: list[Any] = [NaiveIndex.build(documents, VERSIONS)]
    forms += [SplitIndex.build(Snapshot.build, documents, VERSIONS, n_parts=n_parts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranker, "_N_CANDIDATES", n)
        for top_k in (1, 3):
            expected = rank(prepared, snapshot_of(*documents), top_k=top_k, **options)
            for form in forms:
                assert rank(prepared, form, top_k=top_k, **options) == expected


def test_twins_of_two_parts_are_by_id():
    twins = [document(profile_id, "谐波减速器的柔轮") for profile_id in "hgfedcba"]
    split: Any = SplitIndex.build(Snapshot.build, twins, VERSIONS, n_parts=3)
    assert all(part.n_profiles for part in split.parts)
    ranked = rank(prepare(Query("谐波减速器"), ENCODER), split, top_k=5, circumstances=Circumstances(TODAY))
    assert [profile.profile_id for profile in ranked] == list("abcde")
