"""The postings give what a plain loop over impacts gives, and the same bits however the passages lie."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.worlds import COUNTS, TERMS, WEIGHTS, random_counts
from scipy import sparse

from matching_service.index import kernels, postings
from matching_service.index.postings import (
    BIGRAM_WEIGHT,
    CHARACTER_WEIGHT,
    LATIN_WEIGHT,
    MAX_COUNT,
    MAX_ROWS,
    SYNONYM_WEIGHT,
    WORD_WEIGHT,
    Postings,
    TermQuery,
    family_factors,
    impacts,
    located,
    term_key,
    term_keys,
    unit,
)
from matching_service.text.terms import NGRAM_MARK, SYNONYM_MARK

some = settings(deadline=None, max_examples=60)
FAMILIES = {
    "泵": WORD_WEIGHT,
    "谐波减速器": WORD_WEIGHT,
    "=3db": WORD_WEIGHT,
    "plc": LATIN_WEIGHT,
    "plc控制": WORD_WEIGHT,
    "12": WORD_WEIGHT,
    f"{SYNONYM_MARK}伺服": SYNONYM_WEIGHT,
    f"{SYNONYM_MARK}plc": SYNONYM_WEIGHT,
    f"{NGRAM_MARK}泵": CHARACTER_WEIGHT,
    f"{NGRAM_MARK}水泵": BIGRAM_WEIGHT,
}


def scores(built, weights):
    out = np.full(len(built.scales), 9, dtype=np.float32)
    built.scores(TermQuery.of(weights), out)
    return out


def scores_of(built, weights, rows):
    return built.scores_of(TermQuery.of(weights), np.array(rows, dtype=np.int64))


def naive_impacts(counts):
    families = FAMILIES | {f"{NGRAM_MARK}水": CHARACTER_WEIGHT, "水泵": WORD_WEIGHT}
    raw = {term: math.sqrt(families[term]) * (1 + math.log(min(n, 255))) for term, n in counts.items()}
    length = math.sqrt(sum(weight**2 for weight in raw.values()))
    return {term: weight / length for term, weight in raw.items()} if length else {}


class TestScores:
    @some
    @given(st.lists(COUNTS, max_size=10), WEIGHTS)
    def test_they_are_those_of_a_plain_loop(self, passages, weights):
        expected = [sum(w * impacts(p)[t] for t, w in weights.items() if t in p) for p in passages]
        found = scores(Postings.build(passages), weights)
        assert found.dtype == np.float32
        assert found.tolist() == pytest.approx(expected, abs=1e-6)

    @some
    @given(st.lists(COUNTS, min_size=1, max_size=10), WEIGHTS, st.data())
    def test_some_rows_have_the_bits_of_all(self, passages, weights, data):
        built = Postings.build(passages)
        rows = data.draw(st.lists(st.sampled_from(range(len(passages))), max_size=12))
        np.testing.assert_array_equal(scores_of(built, weights, rows), scores(built, weights)[rows])

    @some
    @given(st.lists(COUNTS, min_size=1, max_size=8), WEIGHTS, st.integers(0, 8))
    def test_a_passage_has_the_same_bits_in_any_company(self, passages, weights, cut):
        together = scores(Postings.build(passages), weights)
        halves = [scores(Postings.build(half), weights) for half in (passages[:cut], passages[cut:])]
        alone = [scores(Postings.build([passage]), weights) for passage in passages]
        np.testing.assert_array_equal(together, np.concatenate(halves))
        np.testing.assert_array_equal(together, np.concatenate(alone))

    @some
    @given(COUNTS, WEIGHTS, st.randoms())
    def test_the_order_of_terms_does_not_matter(self, passage, weights, random):
        counted, asked = list(passage.items()), list(weights.items())
        random.shuffle(counted)
        random.shuffle(asked)
        one, other = scores(Postings.build([passage, dict(counted)]), weights)
        assert one == other
        assert scores(Postings.build([passage]), dict(asked)) == one

    @some
    @given(st.lists(COUNTS, max_size=8), st.lists(COUNTS, max_size=8), WEIGHTS, st.randoms())
    def test_postings_made_of_entries_in_any_order_are_the_same(self, first, second, weights, random):
        """As when segments are merged."""
        one, other, whole = Postings.build(first), Postings.build(second), Postings.build(first + second)
        parts = [one.entries(), other.entries()]
        terms = np.concatenate([terms for terms, _, _ in parts])
        rows = np.concatenate([parts[0][1], parts[1][1] + np.uint16(len(first))])
        counts = np.concatenate([counts for _, _, counts in parts])
        order = np.array(random.sample(range(len(terms)), len(terms)), dtype=np.int64)
        merged = Postings.from_entries(terms[order], rows[order], counts[order], len(first) + len(second))
        for name in ("terms", "counts", "starts", "rows", "scales"):
            np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
            assert getattr(merged, name).dtype == getattr(whole, name).dtype
        np.testing.assert_array_equal(scores(merged, weights), scores(whole, weights))

    def test_they_lie_between_0_and_1(self):
        counts = {f"term{n}": n + 1 for n in range(50)}
        (score,) = scores(Postings.build([counts]), impacts(counts))
        assert score == pytest.approx(1)
        assert score <= 1
        assert scores(Postings.build([counts]), {"unseen": 1.0}).tolist() == [0]

    def test_a_few_rows_are_looked_up_and_many_are_counted_through(self, monkeypatch):
        """Two ways, chosen by their cost, with the same bits."""
        generator = np.random.default_rng(7)
        built = Postings.build(random_counts(generator, 3000, 500))
        weights = {f"term{n}": float(generator.random()) for n in range(1, 9)}
        rows = np.sort(generator.choice(3000, size=40, replace=False))
        monkeypatch.setattr(postings, "_SEARCH_COST", 0)
        looked_up = scores_of(built, weights, rows)
        monkeypatch.setattr(postings, "_SEARCH_COST", 1 << 20)
        counted_through = scores_of(built, weights, rows)
        np.testing.assert_array_equal(looked_up, counted_through)
        np.testing.assert_array_equal(looked_up, scores(built, weights)[rows])
        assert (looked_up > 0).any()

    @pytest.mark.parametrize("seed", range(3))
    def test_the_best_are_those_of_a_matrix_product(self, seed):
        """Thousands of passages and terms against scipy, with the same float32 sums taken by another hand."""
        generator = np.random.default_rng(seed)
        passages = random_counts(generator, 4000, 6000)
        terms = sorted({term for passage in passages for term in passage})
        column = {term: number for number, term in enumerate(terms)}
        entries = [(row, column[t], w) for row, p in enumerate(passages) for t, w in impacts(p).items()]
        rows, columns, values = zip(*entries, strict=True)
        matrix = sparse.csr_array((values, (rows, columns)), shape=(len(passages), len(terms)))
        built = Postings.build(passages)
        assert len(np.unique(built.terms)) == len(terms) > 2048, "more terms than the first table of numbers holds"
        every = np.ones(len(passages), dtype=np.bool_)
        for _ in range(10):
            some_terms = generator.choice(terms, size=30, replace=False)
            weights = unit(dict(zip(some_terms.tolist(), generator.random(30).tolist(), strict=True)))
            dense = np.zeros(len(terms))
            dense[[column[term] for term in weights]] = list(weights.values())
            expected, found = matrix @ dense, scores(built, weights)
            np.testing.assert_allclose(found, expected, atol=1e-6)
            for k in (1, 10, 100):
                best = kernels.best(found, every, k)
                sure = np.flatnonzero(expected > np.sort(expected)[-k] + 1e-6)  # float32 may order equals otherwise
                assert set(sure) <= set(best)
                assert len(best) >= min(k, (expected > 0).sum())
                assert expected[best].min() >= np.sort(expected)[-k] - 1e-6


class TestContaining:
    @some
    @given(st.lists(COUNTS, max_size=8), st.sets(st.sampled_from((*TERMS, "unseen")), max_size=4))
    def test_it_says_which_passages_use_every_term(self, passages, terms):
        present = Postings.build(passages).containing(term_keys(terms))
        assert present.dtype == np.bool_
        assert present.tolist() == [terms <= passage.keys() for passage in passages]


class TestEntries:
    @some
    @given(st.lists(COUNTS, max_size=8))
    def test_every_posting_is_kept(self, passages):
        built = Postings.build(passages)
        names = {term_key(term): term for term in TERMS}
        kept = {(names[int(t)], int(row), int(n)) for t, row, n in zip(*built.entries(), strict=True)}
        assert kept == {(t, row, min(n, 255)) for row, passage in enumerate(passages) for t, n in passage.items()}
        lists = list(zip(built.terms.tolist(), built.counts.tolist(), strict=True))
        assert lists == sorted(set(lists))
        for start, end in zip(built.starts[:-1], built.starts[1:], strict=True):
            assert (np.diff(built.rows[start:end].astype(int)) > 0).all()

    @some
    @given(st.lists(COUNTS, max_size=8), st.data())
    def test_documents_are_counted_among_those_that_are_there(self, passages, data):
        built = Postings.build(passages)
        alive = data.draw(st.lists(st.booleans(), min_size=len(passages), max_size=len(passages)))
        counts = built.document_counts(np.array(alive, dtype=np.bool_))
        for term in TERMS:
            n = sum(term in passage for passage, there in zip(passages, alive, strict=True) if there)
            assert counts[built.terms == term_key(term)].sum() == n

    def test_more_occurrences_than_a_byte_holds_count_as_255(self):
        assert MAX_COUNT == 255
        many, enough, fewer = ({"泵": n, "plc": 3} for n in (1000, 255, 254))
        assert impacts(many) == impacts(enough)
        found = scores(Postings.build([many, enough, fewer]), {"泵": 1.0})
        assert found[0] == found[1] > found[2]
        assert found.tolist() == pytest.approx([impacts(p)["泵"] for p in (many, enough, fewer)], abs=1e-6)

    def test_an_empty_passage_is_a_row_without_a_score(self):
        built = Postings.build([{}, {"泵": 1}, {}])
        assert scores(built, {"泵": 1.0}).tolist() == [0, 1, 0]
        assert scores_of(built, {"泵": 1.0}, [2, 1]).tolist() == [0, 1]
        assert built.containing(term_keys([])).tolist() == [True] * 3
        assert impacts({}) == {}

    def test_no_passages_are_postings_too(self):
        built = Postings.build([])
        assert scores(built, {"泵": 1.0}).shape == scores_of(built, {"泵": 1.0}, []).shape == (0,)
        assert built.containing(term_keys(["泵"])).shape == (0,)
        assert built.document_counts(np.zeros(0, dtype=np.bool_)).shape == (0,)

    def test_a_segment_holds_65536_rows_and_no_more(self):
        passages = [{"泵": 1}] * (MAX_ROWS - 1) + [{"plc": 1}]
        built = Postings.build(passages)
        assert MAX_ROWS == len(passages) == 65536
        assert np.flatnonzero(scores(built, {"plc": 1.0})).tolist() == [65535]
        assert scores(built, {"泵": 1.0}).sum() == 65535
        with pytest.raises(ValueError, match="65537 rows"):
            Postings.build([*passages, {"泵": 1}])


class TestWeights:
    @pytest.mark.parametrize(("term", "weight"), FAMILIES.items())
    def test_a_term_weighs_what_its_family_weighs(self, term, weight):
        assert family_factors(term_keys([term])).tolist() == pytest.approx([math.sqrt(weight)])

    @some
    @given(COUNTS)
    def test_impacts_are_those_of_the_formula(self, counts):
        assert impacts(counts) == pytest.approx(naive_impacts(counts), rel=1e-9)
        assert sum(value**2 for value in impacts(counts).values()) == pytest.approx(1 if counts else 0)

    def test_a_character_weighs_more_than_a_bigram_and_that_more_than_a_word(self):
        weights = impacts({"水泵": 1, f"{NGRAM_MARK}泵": 1, f"{NGRAM_MARK}水泵": 1})
        assert weights[f"{NGRAM_MARK}泵"] > weights[f"{NGRAM_MARK}水泵"] > weights["水泵"] > 0
        assert weights[f"{NGRAM_MARK}泵"] / weights["水泵"] == pytest.approx((CHARACTER_WEIGHT / WORD_WEIGHT) ** 0.5)

    def test_the_unit_of_nothing_is_nothing(self):
        assert unit({}) == unit({"泵": 0.0}) == {}
        assert unit({"泵": 3.0, "plc": 4.0}) == pytest.approx({"泵": 0.6, "plc": 0.8})


class TestKeys:
    def test_terms_have_keys_of_their_own_in_every_process(self):
        terms = [f"{mark}{n}" for mark in ("", "词", NGRAM_MARK, SYNONYM_MARK, "=") for n in range(5000)]
        assert len(np.unique(term_keys(terms))) == len(terms)
        assert term_key("水泵") == 3736573545463439306, "keys are written in files"

    @some
    @given(
        st.lists(st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**63, 2**64 - 1])), max_size=40),
        st.lists(st.sampled_from([0, 1, 5, 2**62, 2**63, 2**64 - 1]), max_size=6),
        st.integers(1, 3),
    )
    def test_they_are_located_wherever_they_lie(self, terms, absent, n_times):
        """Also where they do not lie evenly, as hashes do."""
        rising = np.sort(np.repeat(np.array(terms, dtype=np.uint64), n_times))
        keys = np.array([*terms, *absent], dtype=np.uint64)
        firsts, lasts = located(rising, keys)
        assert firsts.tolist() == np.searchsorted(rising, keys).tolist()
        assert lasts.tolist() == np.searchsorted(rising, keys, side="right").tolist()

    def test_any_text_has_one(self):
        assert term_keys(["", "\ud800", "\x00", "😀" * 1000]).dtype == np.uint64
        assert term_keys([]).shape == (0,)
