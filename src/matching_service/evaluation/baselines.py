"""What others would use: rankers to be better than. Both see jieba's plain words in lower case, no lexicon of ours."""

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
    """Cosine of scikit-learn's TF-IDF vectors, fitted to the profiles; texts by id. What most people write."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  # over a second that only this needs

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

    Per word of the demand, as often as it stands there, idf * tf / (tf + k1 * (1 - b + b * length / mean length)) with
    idf = ln(1 + (n - df + 0.5) / (df + 0.5)) over all profiles. Words that no profile has count nothing.
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
    """One for both baselines: each would read jieba's dictionary for a second."""
    return plain_tokenizer()


def plain_tokenizer() -> "jieba.Tokenizer":
    """A jieba as it comes, but without the prefix dictionary that it keeps in the shared folder for temporary files,
    where another user of the machine could plant one; reading the text costs the same.
    """
    import jieba  # noqa: PLC0415  # brings pkg_resources, which a server does without

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer
