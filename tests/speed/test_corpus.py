"""The benchmarks' corpus is what it says: sums of sentences, the same at every size, and indexed as the service does."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from benchmarks import ours
from benchmarks.corpus import ALL, WORDS, Corpus, demands, rare_word, real_demands
from matching_service.text.terms import count_terms, is_ngram


@pytest.mark.parametrize("tokens", [ALL, WORDS])
def test_counts_are_those_of_the_joined_text(tokens):
    corpus = Corpus(60, tokens)
    vocabulary = corpus.vocabulary
    for text, (ids, numbers) in zip(corpus.texts(), corpus.counts().rows(), strict=True):
        expected = {term: n for term, n in count_terms(text).items() if tokens == ALL or not is_ngram(term)}
        assert Counter(dict(zip((vocabulary[i] for i in ids), numbers.tolist(), strict=True))) == expected


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one():
    assert list(Corpus(20).texts()) == list(islice(Corpus(50).texts(), 20))
    small, large = Corpus(20).counts(), Corpus(50).counts()
    assert (small.counts == large.counts[: len(small.counts)]).all()


def test_texts_have_the_promised_length_and_rare_words():
    texts = list(Corpus(300).texts())
    lengths = np.array([len(text) for text in texts])
    assert lengths.min() >= 100
    assert 200 < np.median(lengths) < 450
    frequent = rare_word(0)
    assert 0 < sum(frequent in text for text in texts) < len(texts)


def test_rare_words_differ():
    assert len({rare_word(number) for number in range(1_000_000)}) == 1_000_000


def test_demands_are_real_ones_first_and_then_recombined():
    real = real_demands()
    more = demands(len(real) + 30)
    assert more[: len(real)] == real
    assert not any(demand.is_real for demand in more[len(real) :])
    assert all(demand.counts(WORDS).keys() <= demand.counts().keys() for demand in more[-30:])
    assert all(demand.counts(WORDS) for demand in more)


def test_our_side_finds_what_a_plain_product_of_matrices_finds():
    corpus = Corpus(400)
    index = ours.build(corpus)
    vocabulary = corpus.vocabulary
    matrix = ours.impact_matrix(corpus)
    for demand in demands(20):
        terms = ours.terms_of(demand.counts())
        weights = ours.weights_of(index, terms)
        product = matrix @ np.array([weights.get(term, 0.0) for term in vocabulary], dtype=np.float32)
        found = ours.search(index, terms, 10)
        assert product[found] == pytest.approx(np.sort(product)[::-1][: len(found)], rel=1e-5)
