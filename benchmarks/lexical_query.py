"""How long does one lexical top-50 take, beside scikit-learn's usual way, on the same terms?"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import linear_kernel

from benchmarks.corpus import demand_titles, make_texts
from matching_service.index.sparse import SparseIndex
from matching_service.text.terms import count_terms

SIZES = (2_000, 20_000)
TOP_K = 50
N_QUERIES = 60


def run() -> list[dict[str, object]]:
    """One row per corpus size; the two engines take turns, query by query, in one process."""
    rows: list[dict[str, object]] = []
    queries = [count_terms(text) for text in demand_titles()[:N_QUERIES]]
    for size in SIZES:
        counts = [count_terms(text) for text in make_texts(size)]
        index = SparseIndex.build(counts)
        peer = Peer(counts)
        ours: list[float] = []
        theirs: list[float] = []
        for query in queries:
            ours.append(_milliseconds(lambda q, i=index: i.search(i.weigh(q), k=TOP_K), query))
            theirs.append(_milliseconds(peer.search, query))
        rows.append(
            {
                "question": "lexical top-50, one query",
                "passages": size,
                "ours_ms_p50": round(median(ours), 3),
                "ours_ms_p99": round(float(np.percentile(ours, 99)), 3),
                "peer": "scikit-learn linear_kernel",
                "peer_ms_p50": round(median(theirs), 3),
                "ratio": round(median(o / t for o, t in zip(ours, theirs, strict=True)), 3),
            }
        )
    return rows


class Peer:
    """TfidfVectorizer and linear_kernel, as in scikit-learn's own documentation."""

    def __init__(self, counts: Sequence[Mapping[str, int]]) -> None:
        self._vectorizer = TfidfVectorizer(analyzer=lambda terms: [term for term, n in terms.items() for _ in range(n)])
        self._matrix = self._vectorizer.fit_transform(counts)

    def search(self, query: Mapping[str, int]) -> object:
        return np.argsort(-linear_kernel(self._vectorizer.transform([query]), self._matrix)[0])[:TOP_K]


def _milliseconds(work: Callable[..., object], query: Mapping[str, int]) -> float:
    started = perf_counter()
    work(query)
    return (perf_counter() - started) * 1e3
