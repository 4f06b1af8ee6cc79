"""How long does one lexical top-50 take, beside the libraries that one would use otherwise?

A query is a real demand, cut at 600 characters and segmented beforehand. Ours is given the keys of its terms, weighs
them and searches; a peer is given their ids. Each pair of ours and a peer has a process of its own and takes turns,
query by query.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from benchmarks import ours
from benchmarks.corpus import ALL, WORDS, Corpus, Tokens, real_demands
from benchmarks.measure import Row, apart, p99, take_turns
from benchmarks.peers import PEERS, Bm25s, ScikitLearn, Tantivy
from matching_service.index.postings import Terms

TOP_K = 50
CORPORA: tuple[tuple[int, Tokens], ...] = (
    (20_000, ALL),
    (100_000, ALL),
    (100_000, WORDS),
    (500_000, WORDS),
    (1_000_000, WORDS),
)
QUICK: tuple[tuple[int, Tokens], ...] = ((20_000, ALL), (100_000, ALL))
AT_MOST = {Bm25s.name: 0.6, Tantivy.name: 0.4, ScikitLearn.name: 0.01}
JUDGED = (100_000, 1_000_000)
N_WARM_UP = 5
_ROWS_FOR_SLOW_PEER = 10_000_000
"""scikit-learn is asked so many queries that about this many rows are read, but 20 to 100."""


@dataclass(frozen=True, slots=True)
class Query:
    """The terms of one demand, and the ids that a peer knows them by."""

    terms: Terms
    ids: list[int]


def run(*, quick: bool = False) -> list[Row]:
    """One row per corpus and peer."""
    return [
        apart(compare, peer, n_profiles, tokens)
        for n_profiles, tokens in (QUICK if quick else CORPORA)
        for peer in PEERS
    ]


def compare(peer_name: str, n_profiles: int, tokens: Tokens) -> Row:
    """Ours and one peer over one corpus."""
    corpus = Corpus(n_profiles, tokens)
    index = ours.build(corpus)
    peer = PEERS[peer_name](corpus)
    queries = _queries(corpus)
    if peer_name == ScikitLearn.name:
        queries = queries[: min(100, max(20, _ROWS_FOR_SLOW_PEER // n_profiles))]

    def ours_search(query: Query) -> object:
        return ours.search(index, query.terms, TOP_K)

    def peer_search(query: Query) -> object:
        return peer.search(query.ids, TOP_K)

    took = take_turns((ours_search, peer_search), queries, warm_up=queries[:N_WARM_UP])
    common = [len(np.intersect1d(ours.search(index, q.terms, TOP_K), peer.search(q.ids, TOP_K))) for q in queries[:20]]
    ratio = float(np.median(took[:, 0] / took[:, 1]))
    target = AT_MOST[peer_name] if n_profiles in JUDGED else None
    return Row(
        question="lexical top-50, one query",
        size=f"{n_profiles:,} profiles; {tokens}",
        ours_p50=float(np.median(took[:, 0])),
        ours_p99=p99(took[:, 0]),
        peer=peer_name,
        peer_p50=float(np.median(took[:, 1])),
        ratio=ratio,
        target=f"at most {target} x" if target else "",
        reached=ratio <= target if target else None,
        notes=f"{len(queries)} demands; {np.mean(common) / TOP_K:.0%} of the rows in common (another formula)",
    )


def _queries(corpus: Corpus) -> list[Query]:
    id_of = {term: number for number, term in enumerate(corpus.vocabulary)}
    counted: list[Counter[str]] = [demand.counts(corpus.tokens) for demand in real_demands()]
    found = [Query(ours.terms_of(counts), [id_of[term] for term in counts if term in id_of]) for counts in counted]
    return [query for query in found if query.ids]
