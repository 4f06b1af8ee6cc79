"""Our side of every comparison that does not go through the service's own doors.

The only benchmark module that knows how the index is built: all others give it a corpus and ask it questions.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.corpus import Corpus, Counts
from matching_service.index.contract import Hits
from matching_service.index.dense import DenseIndex
from matching_service.index.snapshot import Facts, Snapshot, Versions
from matching_service.index.sparse import SparseIndex, impacts
from matching_service.ranking.encoder import load_encoder
from matching_service.ranking.lexical import query_weights
from matching_service.ranking.prepare import PreparedQuery
from matching_service.text.lexicon import default_lexicon

_ANCHOR = "~甲"
_N_THREADS = 2


def build(corpus: Corpus) -> SparseIndex:
    """The lexical index of a corpus."""
    weights = family_weights(corpus.vocabulary)
    blocks = [_impacts(block, weights) for block in corpus.blocks()]
    ends = np.cumsum(np.concatenate([[0], *(np.diff(block.indptr) for block in blocks)]))
    arrays = (np.concatenate([b.data for b in blocks]), np.concatenate([b.indices for b in blocks]), ends)
    matrix = sparse.csr_array(arrays, shape=(len(corpus), len(weights)))
    return SparseIndex(matrix, {term: column for column, term in enumerate(corpus.vocabulary)})


def build_from_terms(passages: Sequence[Mapping[str, int]]) -> SparseIndex:
    """The lexical index of passages that are given as term counts."""
    return SparseIndex.build(passages)


def search(index: SparseIndex, query_weights: Mapping[str, float], k: int) -> Hits:
    """The best ``k`` rows for weights that ``index.weigh`` made."""
    return index.search(query_weights, k=k)


def search_many(index: SparseIndex, queries: Sequence[Mapping[str, float]], k: int) -> list[Hits]:
    """``search`` for many queries, on two threads."""
    with ThreadPoolExecutor(_N_THREADS) as pool:
        return list(pool.map(lambda query: index.search(query, k=k), queries))


def search_snapshot(snapshot: Snapshot, prepared: PreparedQuery, k: int) -> Hits:
    """The engine's lexical search alone: a demand's terms are weighed, and the best ``k`` passages found."""
    weights = query_weights(prepared.terms, prepared.title_terms, prepared.rarity, snapshot.sparse)
    return snapshot.sparse.search(weights, k=k)


def family_weights(terms: Sequence[str]) -> NDArray[np.float32]:
    """float32, shape (n_terms,): what the index makes of one occurrence of each term, up to a common factor."""
    pairs = (impacts({term: 1, _ANCHOR: 1}) for term in terms)
    values = ((pair[term], pair[_ANCHOR]) for term, pair in zip(terms, pairs, strict=True))
    return np.fromiter((own / anchor for own, anchor in values), np.float32, len(terms))


def impact_matrix(counts: Counts, weights: NDArray[np.float32], n_terms: int) -> sparse.csr_matrix:
    """float32, shape (n_rows, n_terms): what a peer that multiplies matrices must be given to find the same rows."""
    return sparse.csr_matrix(_impacts(counts, weights), shape=(len(counts), n_terms))


def write_snapshot(corpus: Corpus, folder: Path) -> None:
    """A snapshot of the whole corpus with n-grams, vectors and facts, as the service keeps it on disk."""
    vectors = np.concatenate(list(corpus.vectors()))
    ids = [f"{number:036}" for number in range(len(corpus))]
    Snapshot(
        versions=_versions(),
        as_of=len(corpus),
        profile_ids=ids,
        facts=list(_facts(len(corpus))),
        profile_rows=np.arange(len(corpus), dtype=np.int64),
        work_ids=[None] * len(corpus),
        languages=np.full(len(corpus), "zh", dtype="<U8"),
        years=np.zeros(len(corpus), dtype=np.int16),
        sparse=build(corpus),
        dense=DenseIndex(vectors),
    ).save(folder)


def load_snapshot(folder: Path) -> Snapshot:
    """What ``write_snapshot`` wrote, as a serving process loads it."""
    return Snapshot.load(folder, _versions())


def _versions() -> Versions:
    encoder = load_encoder("universal")
    return Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)


def _facts(n_profiles: int) -> Iterator[Facts]:
    for number in range(n_profiles):
        yield Facts(
            kind=("expert", "achievement", "team", "platform", "society")[number % 5],
            region=f"44{number % 21:02}00",
            clusters=("装备制造",) if number % 8 == 0 else (),
            title="教授",
            capacity=3,
        )


def _impacts(counts: Counts, weights: NDArray[np.float32]) -> sparse.csr_array:
    logarithms = np.log(np.maximum(np.arange(256), 1)).astype(np.float32)
    values = weights[counts.term_ids] * (1 + logarithms[counts.counts])
    ends = counts.row_ends
    norms = np.sqrt(np.add.reduceat(values * values, ends[:-1]))
    values /= np.repeat(norms, np.diff(ends))
    return sparse.csr_array((values, counts.term_ids, ends), shape=(len(counts), len(weights)))
