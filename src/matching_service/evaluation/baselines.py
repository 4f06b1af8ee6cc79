"""Baseline rankers. Both use jieba's plain words in lower case, without our lexicon."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matching_service.evaluation.compare import Scorer

if TYPE_CHECKING:
    import jieba


def naive_scorer(demand_texts: Mapping[str, str], profile_texts: Mapping[str, str]) -> Scorer:
    """Score by the cosine of scikit-learn's TF-IDF vectors, fitted to the profiles: the most common implementation.

    Both arguments map an id to a text.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  # takes over a second; only this needs it

    vectorizer = TfidfVectorizer(tokenizer=_tokenizer().lcut, token_pattern=None)
    profile_ids = list(profile_texts)
    profiles = vectorizer.fit_transform(profile_texts[profile_id] for profile_id in profile_ids)
    row_of = {profile_id: row for row, profile_id in enumerate(profile_ids)}

    def score(demand_id: str, wanted: Sequence[str]) -> Mapping[str, float]:
        rows = [row_of[profile_id] for profile_id in wanted]
        demand = vectorizer.transform([demand_texts[demand_id]])
        cosines = np.asarray((profiles[rows] @ demand.T).todense())[:, 0]
        return dict(zip(wanted, cosines.tolist(), strict=True))

    return score


def bm25_scorer(demand_texts: Mapping[str, str], profile_texts: Mapping[str, str]) -> Scorer:
    """Score by Lucene's BM25 from the package bm25s, with its defaults k1 = 1.5 and b = 0.75.

    Both arguments map an id to a text. A score is the sum over the demand's words, repeated words included, of
    idf * tf / (tf + k1 * (1 - b + b * length / mean length)) with idf = ln(1 + (n - df + 0.5) / (df + 0.5)) over all
    profiles. Words that occur in no profile add nothing.
    """
    import bm25s  # noqa: PLC0415  # takes 0.25 s; only this needs it

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # its import sets DEBUG, which logs every index
    index = bm25s.BM25(method="lucene")
    corpus = [_lower_words(text) for text in profile_texts.values()]
    has_words = any(corpus)  # bm25s divides by a mean length of 0 if there is no word
    if has_words:
        index.index(corpus, show_progress=False)
    row_of = {profile_id: row for row, profile_id in enumerate(profile_texts)}

    def score(demand_id: str, wanted: Sequence[str]) -> Mapping[str, float]:
        words = index.get_tokens_ids(_lower_words(demand_texts[demand_id])) if has_words else []
        if not words:
            return dict.fromkeys(wanted, 0.0)
        scores = index.get_scores(words)
        return {profile_id: float(scores[row_of[profile_id]]) for profile_id in wanted}

    return score


def _lower_words(text: str) -> list[str]:
    words: list[str] = _tokenizer().lcut(text.lower())  # as TfidfVectorizer does by itself
    return words


@cache
def _tokenizer() -> "jieba.Tokenizer":
    """Share one tokenizer between the baselines: reading jieba's dictionary takes a second."""
    return plain_tokenizer()


def plain_tokenizer() -> "jieba.Tokenizer":
    """Return an unmodified jieba that does not use its cached prefix dictionary.

    jieba keeps that cache in the shared folder for temporary files, where another user of the machine could plant one.
    Reading the dictionary text takes the same time.
    """
    import jieba  # noqa: PLC0415  # imports pkg_resources, which a server does not need

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer
