"""What most people write: TF-IDF by scikit-learn over jieba's words. The baseline to be better than."""

from collections.abc import Mapping, Sequence

import numpy as np

from matching_service.evaluation.compare import Scorer
from matching_service.text.segment import plain_tokenizer


def naive_scorer(demand_texts: Mapping[str, str], profile_texts: Mapping[str, str]) -> Scorer:
    """Cosine of TF-IDF vectors, fitted to the profiles; texts by id."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  # over a second that only this needs

    tokenizer = plain_tokenizer()
    vectorizer = TfidfVectorizer(tokenizer=tokenizer.lcut, token_pattern=None)
    profile_ids = list(profile_texts)
    profiles = vectorizer.fit_transform(profile_texts[profile_id] for profile_id in profile_ids)
    row_of = {profile_id: row for row, profile_id in enumerate(profile_ids)}

    def score(demand_id: str, wanted: Sequence[str]) -> Mapping[str, float]:
        rows = [row_of[profile_id] for profile_id in wanted]
        demand = vectorizer.transform([demand_texts[demand_id]])
        cosines = np.asarray((profiles[rows] @ demand.T).todense())[:, 0]
        return dict(zip(wanted, cosines.tolist(), strict=True))

    return score
