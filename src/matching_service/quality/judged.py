"""Judged pairs with the signals of the ranker: the input of evaluation and fitting."""

from collections.abc import Mapping

import numpy as np

from matching_service.evaluation.fit import JudgedPairs
from matching_service.evaluation.judgements import Judgements
from matching_service.index.contract import Index
from matching_service.index.filters import Filters
from matching_service.ranking.fusion import ADJUSTING_SIGNALS, MUST_HAVE, TOPIC_SIGNALS
from matching_service.ranking.prepare import PreparedQuery
from matching_service.ranking.ranker import rank
from matching_service.ranking.structured import Circumstances
from matching_service.text.normalise import fold


def judged_pairs(
    judgements: Judgements,
    prepared: Mapping[str, PreparedQuery],
    snapshot: Index,
    circumstances: Circumstances | None = None,
) -> JudgedPairs:
    """Return every judged pair with its signals. A profile that is not in the index has none and scores 0."""
    demand_ids: list[str] = []
    profile_ids: list[str] = []
    grades: list[int] = []
    signals: list[dict[str, float]] = []
    for demand_id, judged in judgements.items():
        filters = Filters(candidates=frozenset(judged))
        ranked = rank(prepared[demand_id], snapshot, top_k=len(judged), filters=filters, circumstances=circumstances)
        parts = {
            entry.profile_id: {part.signal: part.signal_value for part in entry.parts}
            | {
                name: signal
                for name, signal in zip(TOPIC_SIGNALS, entry.topic_signals, strict=True)
                if signal is not None
            }
            for entry in ranked
        }
        for profile_id, grade in judged.items():
            demand_ids.append(demand_id)
            profile_ids.append(profile_id)
            grades.append(grade)
            signals.append(parts.get(profile_id, {}))

    def columns(names: tuple[str, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.array([[values.get(name, np.nan) for name in names] for values in signals])

    return JudgedPairs(
        demand_ids,
        profile_ids,
        np.array(grades, dtype=np.int64),
        columns(TOPIC_SIGNALS).astype(np.float32),
        columns(ADJUSTING_SIGNALS),
        np.array([values.get(MUST_HAVE, 0.0) for values in signals]),
        {demand_id: fold(prepared[demand_id].query.text) for demand_id in judgements},
    )
