"""What others would use: rankers to be better than. Both see jieba's plain words in lower case, no lexicon of ours."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matching_service.evaluation.compare import Scorer

if TYPE_CHECKING:
    import jieba


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
    """BM25 as Lucene has it, by the package bm25s with its k1 = 1.5 and b = 0.75; texts by id.

    Per word of the demand, as often as it stands there, idf * tf / (tf + k1 * (1 - b + b * length / mean length)) with
    idf = ln(1 + (n - df + 0.5) / (df + 0.5)) over all profiles. Words that no profile has count nothing.
    """
    import bm25s  # noqa: PLC0415  # a quarter of a second that only this needs

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # its import sets DEBUG, and each index would be logged
    index = bm25s.BM25(method="lucene")
    corpus = [_lower_words(text) for text in profile_texts.values()]
    has_words = any(corpus)  # without a single word bm25s divides by a mean length of 0
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
    words: list[str] = _tokenizer().lcut(text.lower())  # TfidfVectorizer lowers by itself; a baseline may not be weaker
    return words


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
