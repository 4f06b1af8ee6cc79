"""How long do lexical top-50 lists for thousands of demands take on two cores, beside a product of sparse matrices?

Both are given the same weights of the demands' terms, and the same impacts of the profiles', so they find the same
rows. They take turns, a thousand demands at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks import ours
from benchmarks.corpus import WORDS, Corpus, demands
from benchmarks.measure import Row, apart, take_turns
from benchmarks.peers import SparseDotTopN
from matching_service.index.postings import Terms

TOP_K = 50
N_DEMANDS, N_PROFILES = 5_000, 1_000_000
QUICK_DEMANDS, QUICK_PROFILES = 1_000, 100_000
N_ROUNDS = 5
AT_MOST = 0.5


@dataclass(frozen=True, slots=True)
class Query:
    """The terms of one demand, and the weights that a peer multiplies by."""

    terms: Terms
    weights: Mapping[str, float]


def run(*, quick: bool = False) -> list[Row]:
    """One row."""
    return [apart(compare, QUICK_DEMANDS if quick else N_DEMANDS, QUICK_PROFILES if quick else N_PROFILES)]


def compare(n_demands: int, n_profiles: int) -> Row:
    """Ours and the peer over one corpus."""
    corpus = Corpus(n_profiles, WORDS)
    index = ours.build(corpus)
    peer = SparseDotTopN(corpus)
    asked = [ours.terms_of(demand.counts(WORDS)) for demand in demands(n_demands)]
    queries = [Query(terms, ours.weights_of(index, terms)) for terms in asked]
    per_round = n_demands // N_ROUNDS
    rounds = [queries[start : start + per_round] for start in range(0, n_demands, per_round)]
    took = take_turns(
        (
            lambda some: ours.search_many(index, [query.terms for query in some], TOP_K),
            lambda some: peer.search_many([query.weights for query in some], TOP_K),
        ),
        rounds,
        warm_up=[queries[:20]],
    )
    checked = queries[:: max(1, n_demands // 100)]
    own_rows = ours.search_many(index, [query.terms for query in checked], TOP_K)
    peer_rows = peer.search_many([query.weights for query in checked], TOP_K)
    common = [
        len(np.intersect1d(own, other)) / max(1, len(own)) for own, other in zip(own_rows, peer_rows, strict=True)
    ]
    ratio = float(np.median(took[:, 0] / took[:, 1]))
    is_judged = n_profiles == N_PROFILES
    return Row(
        question="lexical top-50, batch, two cores",
        size=f"{n_demands:,} demands x {n_profiles:,} profiles; {WORDS}",
        unit="s",
        ours_p50=float(took[:, 0].sum() / 1e3),
        peer=SparseDotTopN.name,
        peer_p50=float(took[:, 1].sum() / 1e3),
        ratio=ratio,
        target=f"at most {AT_MOST} x" if is_judged else "",
        reached=ratio <= AT_MOST if is_judged else None,
        notes=f"sums of {len(rounds)} rounds of {per_round:,}; {np.mean(common):.1%} of the rows in common",
    )
