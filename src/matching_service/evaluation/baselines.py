"""Baseline rankers. Both use jieba's plain words in lower case, without our lexicon."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matching_service.evaluation.compare import Scorer

if TYPE_CHECKING:
    import jieba

_BM25_K1 = 1.5
_BM25_B = 0.75


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
    """BM25 as Lucene has it, with k1 = 1.5 and b = 0.75; texts by id. Tests compare it with the package bm25s.

    Both arguments map an id to a text. A score is the sum over the demand's words, repeated words included, of
    idf * tf / (tf + k1 * (1 - b + b * length / mean length)) with idf = ln(1 + (n - df + 0.5) / (df + 0.5)) over all
    profiles. Words that occur in no profile add nothing.
    """
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415  # over a second that only this needs

    vectorizer = CountVectorizer(tokenizer=_tokenizer().lcut, token_pattern=None)
    row_of = {profile_id: row for row, profile_id in enumerate(profile_texts)}
    if not any(profile_texts.values()):  # scikit-learn refuses an empty vocabulary
        return lambda _demand_id, wanted: dict.fromkeys(wanted, 0.0)
    impacts = vectorizer.fit_transform(profile_texts.values()).astype(np.float64)  # counts first, shape (n, n_words)
    n, n_words = impacts.shape
    lengths = np.asarray(impacts.sum(axis=1))[:, 0]
    df = np.bincount(impacts.indices, minlength=n_words)
    idf = np.log1p((n - df + 0.5) / (df + 0.5))
    damping = _BM25_K1 * (1 - _BM25_B + _BM25_B * lengths / lengths.mean())
    tf = impacts.data
    impacts.data = idf[impacts.indices] * tf / (tf + np.repeat(damping, np.diff(impacts.indptr)))

    def score(demand_id: str, wanted: Sequence[str]) -> Mapping[str, float]:
        counts = vectorizer.transform([demand_texts[demand_id]])
        scores = (impacts[[row_of[profile_id] for profile_id in wanted]] @ counts.T).toarray()[:, 0]
        return dict(zip(wanted, scores.tolist(), strict=True))

    return score


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
