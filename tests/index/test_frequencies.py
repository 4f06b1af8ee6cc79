import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.worlds import COUNTS, TERMS

from matching_service.index.frequencies import Frequencies
from matching_service.index.postings import Postings, Terms, impacts

some = settings(deadline=None, max_examples=60)
QUERY_COUNTS = st.dictionaries(st.sampled_from((*TERMS, "unseen")), st.sampled_from([1, 2, 4.0, 7.5]), max_size=5)
RARITY = st.dictionaries(st.sampled_from(TERMS), st.sampled_from([1.0, 1.5, 4.0]), max_size=4)


def naive_idf(term, passages):
    return math.log((len(passages) + 1) / (sum(term in passage for passage in passages) + 1)) + 1


def assert_same(frequencies, other):
    np.testing.assert_array_equal(frequencies.terms, other.terms)
    np.testing.assert_array_equal(frequencies.counts, other.counts)
    assert len(frequencies) == len(other)


@some
@given(st.lists(COUNTS, max_size=10))
def test_idf_is_that_of_the_formula_and_defined_for_a_term_never_seen(passages):
    frequencies = Frequencies.count(passages)
    expected = {term: naive_idf(term, passages) for term in (*TERMS, "unseen")}
    assert frequencies.idfs(expected).tolist() == pytest.approx(list(expected.values()))
    assert [frequencies.idf(term) for term in expected] == frequencies.idfs(expected).tolist()
    assert frequencies.idf("unseen") == pytest.approx(math.log(len(passages) + 1) + 1)
    assert len(frequencies) == len(passages)


@some
@given(st.lists(COUNTS, max_size=8), QUERY_COUNTS, RARITY)
def test_a_query_s_weights_are_those_of_the_formula_at_unit_length(passages, counts, rarity):
    impact = impacts(counts)  # the weight of a count beside the others, as in a passage
    raw = {t: impact[t] * naive_idf(t, passages) * rarity.get(t, 1.0) for t in counts}
    length = math.sqrt(sum(weight**2 for weight in raw.values()))
    frequencies = Frequencies.count(passages)
    found = frequencies.weigh(counts, rarity)
    assert found == pytest.approx({term: weight / length for term, weight in raw.items()}, rel=1e-9)
    terms = Terms.of(counts)
    factors = np.array([rarity.get(name, 1.0) for name in terms.names])
    assert frequencies.weights(terms, factors).tolist() == [found[name] for name in terms.names]


@some
@given(st.lists(COUNTS, max_size=8), QUERY_COUNTS, RARITY, st.randoms())
def test_the_order_of_terms_does_not_matter(passages, counts, rarity, random):
    shuffled = list(counts.items())
    random.shuffle(shuffled)
    frequencies = Frequencies.count(passages)
    assert frequencies.weigh(dict(shuffled), rarity) == frequencies.weigh(counts, rarity)


@some
@given(st.lists(COUNTS, max_size=10), st.integers(0, 10), st.data())
def test_counts_of_parts_are_counts_of_the_whole(passages, cut, data):
    """Also where some passages of a part are gone: a term that only they used is one never seen."""
    alive = data.draw(st.lists(st.booleans(), min_size=len(passages), max_size=len(passages)))
    parts = [(passages[:cut], alive[:cut]), (passages[cut:], alive[cut:])]
    lists = []
    for texts, there in parts:
        built = Postings.build(texts)
        lists.append((built.terms, built.document_counts(np.array(there, dtype=np.bool_))))
    left = [passage for passage, there in zip(passages, alive, strict=True) if there]
    assert_same(Frequencies.of(lists, len(left)), Frequencies.count(left))


def test_of_nothing_every_term_weighs_alike():
    frequencies = Frequencies.of([], 0)
    assert len(frequencies) == 0
    assert frequencies.idf("泵") == 1
    assert frequencies.weigh({}) == {}
    assert_same(frequencies, Frequencies.count([]))


def test_a_rare_term_weighs_more_than_a_common_one():
    frequencies = Frequencies.count([{"泵": 1, "plc": 1}, {"泵": 1}, {"泵": 1}])
    weights = frequencies.weigh({"泵": 1, "plc": 1})
    assert weights["plc"] > weights["泵"]
    assert frequencies.idf("unseen") > frequencies.idf("plc") > frequencies.idf("泵") > 0


def test_a_query_that_the_passages_hardly_cover_weighs_little_where_it_does():
    frequencies = Frequencies.count([{"泵": 1}, {"plc": 1}])
    assert frequencies.weigh({"泵": 1}) == {"泵": 1}
    assert frequencies.weigh({"泵": 1, "unseen": 1, "other": 1})["泵"] < 0.5


def test_a_rarer_term_takes_weight_from_the_others():
    frequencies = Frequencies.count([{"泵": 1, "plc": 1}])
    even, uneven = frequencies.weigh({"泵": 1, "plc": 1}), frequencies.weigh({"泵": 1, "plc": 1}, {"plc": 2.0})
    assert uneven["plc"] / uneven["泵"] == pytest.approx(2 * even["plc"] / even["泵"])
