import math

import numpy as np
import pytest
from contracts.index_contract import IndexContract, IndexKind, all_scores, contract, rows
from hypothesis import given
from hypothesis import strategies as st

from matching_service.index.contract import RowChanges
from matching_service.index.sparse import (
    BIGRAM_WEIGHT,
    CHARACTER_WEIGHT,
    LATIN_WEIGHT,
    SYNONYM_WEIGHT,
    WORD_WEIGHT,
    SparseIndex,
    impacts,
    unit,
)
from matching_service.text.terms import NGRAM_MARK, SYNONYM_MARK

TERMS = (
    "泵",
    "水泵",
    "plc",
    "谐波减速器",
    "=3db",
    f"{SYNONYM_MARK}伺服",
    f"{NGRAM_MARK}泵",
    f"{NGRAM_MARK}水泵",
    f"{NGRAM_MARK}水",
)
COUNTS = st.dictionaries(st.sampled_from(TERMS), st.integers(1, 9), max_size=len(TERMS))
QUERY_COUNTS = st.dictionaries(st.sampled_from((*TERMS, "unseen")), st.sampled_from([1, 2, 4.0, 7.5]), max_size=5)
WEIGHTS = st.dictionaries(st.sampled_from((*TERMS, "unseen")), st.sampled_from([0.0, 0.1, 0.25, 0.3]), max_size=4)


class TestSparseIndexKeepsTheContract(IndexContract):
    kind = IndexKind(
        build=SparseIndex.build,
        entries=COUNTS,
        queries=WEIGHTS,
        nothing={},
        found_by=({"水泵": 2, "plc": 1}, {"水泵": 1.0}),
    )


RARITY = st.dictionaries(st.sampled_from(TERMS), st.sampled_from([1.0, 1.5, 4.0]), max_size=4)


def naive_weight(term, count):
    """Sqrt of the family's weight times a logarithmic count."""
    kinds = {
        "plc": LATIN_WEIGHT,
        f"{SYNONYM_MARK}伺服": SYNONYM_WEIGHT,
        f"{NGRAM_MARK}泵": CHARACTER_WEIGHT,
        f"{NGRAM_MARK}水": CHARACTER_WEIGHT,
        f"{NGRAM_MARK}水泵": BIGRAM_WEIGHT,
        "unseen": LATIN_WEIGHT,
    }
    family = kinds.get(term, WORD_WEIGHT)
    return math.sqrt(family) * (1 + math.log(count))


def naive_unit(weights):
    length = math.sqrt(sum(weight**2 for weight in weights.values()))
    return {term: weight / length for term, weight in weights.items()} if length else {}


def naive_idf(term, passages):
    return math.log((len(passages) + 1) / (sum(term in passage for passage in passages) + 1)) + 1


@contract
@given(passages=st.lists(COUNTS, max_size=10), counts=QUERY_COUNTS, rarity=RARITY)
def test_scores_are_those_of_a_plain_loop(passages, counts, rarity):
    index = SparseIndex.build(passages)
    query = naive_unit({t: naive_weight(t, n) * naive_idf(t, passages) * rarity.get(t, 1.0) for t, n in counts.items()})
    assert index.weigh(counts, rarity) == pytest.approx(query, rel=1e-9)
    assert {term: index.idf(term) for term in TERMS} == pytest.approx({t: naive_idf(t, passages) for t in TERMS})
    expected = []
    for passage in passages:
        impact = naive_unit({term: naive_weight(term, count) for term, count in passage.items()})
        assert impacts(passage) == pytest.approx(impact, rel=1e-9)
        expected.append(sum(query[term] * impact[term] for term in query if term in impact))
    assert all_scores(index, index.weigh(counts, rarity)).tolist() == pytest.approx(expected, abs=1e-6)


@contract
@given(counts=COUNTS.filter(bool))
def test_impacts_and_query_weights_are_of_unit_length(counts):
    assert sum(value**2 for value in impacts(counts).values()) == pytest.approx(1)
    assert sum(value**2 for value in SparseIndex.build([counts, {}]).weigh(counts).values()) == pytest.approx(1)


@pytest.mark.parametrize("n_terms", range(10, 110, 10))
def test_the_order_in_which_terms_were_counted_does_not_matter(n_terms):
    counts = {f"term{number}": number * number % 7 + 1 for number in range(n_terms)}
    index = SparseIndex.build([counts, dict(reversed(counts.items()))])
    one, other = all_scores(index, index.weigh({term: number % 5 + 1 for number, term in enumerate(counts)}))
    assert one == other


@contract
@given(passages=st.lists(COUNTS, max_size=8), data=st.data())
def test_contains_says_which_passages_use_every_term(passages, data):
    index = SparseIndex.build(passages)
    some = data.draw(st.lists(st.sampled_from(range(len(passages))), max_size=8)) if passages else []
    terms = data.draw(st.lists(st.sampled_from((*TERMS, "unseen")), max_size=4))
    present = index.contains(rows(some), terms)
    assert present.dtype == np.bool_
    assert present.tolist() == [all(term in passages[row] for term in terms) for row in some]


@contract
@given(passages=st.lists(COUNTS, max_size=6), added=st.lists(COUNTS, max_size=4))
def test_what_left_the_index_leaves_the_document_frequencies_too(passages, added):
    changed = SparseIndex.build(passages).apply(RowChanges(rows([]), added, rows(range(len(added)))))
    built = SparseIndex.build(added)
    assert [changed.idf(term) for term in TERMS] == [built.idf(term) for term in TERMS]


def test_nothing_weighs_nothing():
    index = SparseIndex.build([{"泵": 1}])
    assert index.weigh({}) == {}
    assert impacts({}) == {}
    assert index.search({}, k=3).rows.tolist() == []


def test_a_rare_term_weighs_more_than_a_common_one():
    index = SparseIndex.build([{"泵": 1, "plc": 1}, {"泵": 1}, {"泵": 1}])
    weights = index.weigh({"泵": 1, "plc": 1})
    assert weights["plc"] > weights["泵"]
    assert index.idf("unseen") > index.idf("plc") > index.idf("泵") > 0


def test_a_query_that_the_passages_hardly_cover_scores_low():
    index = SparseIndex.build([{"泵": 1}, {"plc": 1}])
    (covered,) = index.search(index.weigh({"泵": 1}), k=1).scores
    (hardly,) = index.search(index.weigh({"泵": 1, "unseen": 1, "other": 1}), k=1).scores
    assert covered == pytest.approx(1)
    assert hardly < 0.5


def test_a_character_weighs_more_than_a_bigram_and_that_more_than_a_word():
    weights = impacts({"水泵": 1, f"{NGRAM_MARK}泵": 1, f"{NGRAM_MARK}水泵": 1})
    assert weights[f"{NGRAM_MARK}泵"] > weights[f"{NGRAM_MARK}水泵"] > weights["水泵"] > 0
    assert weights[f"{NGRAM_MARK}泵"] / weights["水泵"] == pytest.approx((CHARACTER_WEIGHT / WORD_WEIGHT) ** 0.5)


def test_a_rarer_term_takes_weight_from_the_others():
    index = SparseIndex.build([{"泵": 1, "plc": 1}])
    even, uneven = index.weigh({"泵": 1, "plc": 1}), index.weigh({"泵": 1, "plc": 1}, {"plc": 2.0})
    assert uneven["plc"] / uneven["泵"] == pytest.approx(2 * even["plc"] / even["泵"])


def test_the_unit_of_nothing_is_nothing():
    assert unit({}) == unit({"泵": 0.0}) == {}
    assert unit({"泵": 3.0, "plc": 4.0}) == pytest.approx({"泵": 0.6, "plc": 0.8})
