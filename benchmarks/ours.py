"""Our side of every comparison that does not go through the service's own doors.

The only benchmark module that knows how the index is built: all others give it a corpus and ask it questions.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.corpus import Corpus
from matching_service.index.contract import Document, Facts, IntArray, Passage, Versions
from matching_service.index.postings import MAX_COUNT, Postings, TermQuery, Terms, family_factors, term_keys
from matching_service.index.segment import Segment
from matching_service.index.snapshot import Snapshot, SnapshotPart, best_rows
from matching_service.index.vectors import Vectors
from matching_service.ranking.encoder import load_encoder
from matching_service.ranking.prepare import PreparedQuery
from matching_service.text.lexicon import default_lexicon

_N_THREADS = 2


def build(corpus: Corpus, *, with_vectors: bool = False) -> Snapshot:
    """A snapshot of a corpus; without vectors where only words are asked for."""
    keys = term_keys(corpus.vocabulary)
    vectors = corpus.vectors() if with_vectors else None
    parts, n_done = [], 0
    for counts in corpus.blocks():
        bare = [
            Document(f"{number:036}", facts, (Passage(None, {}, None),))
            for number, facts in enumerate(_facts(n_done, len(counts)), start=n_done)
        ]
        n_done += len(counts)
        rows = np.repeat(np.arange(len(counts), dtype=np.uint16), np.diff(counts.row_ends))
        segment = Segment.build(bare, n_dimensions=0)
        parts.append(
            SnapshotPart.of(
                replace(
                    segment,
                    postings=Postings.from_entries(keys[counts.term_ids], rows, counts.counts, len(counts)),
                    vectors=Vectors.of(next(vectors)) if vectors else segment.vectors,
                )
            )
        )
    return Snapshot.of_parts(tuple(parts), _versions(), as_of=n_done)


def terms_of(counts: Mapping[str, int]) -> Terms:
    """A query's terms as the engine knows them, as a peer knows them by numbers."""
    return Terms.of(counts)


def weights_of(snapshot: Snapshot, terms: Terms) -> dict[str, float]:
    """The weights by which ``search`` multiplies."""
    return dict(zip(terms.names, snapshot.frequencies.weights(terms).tolist(), strict=True))


def search(snapshot: Snapshot, terms: Terms, k: int) -> IntArray:
    """The best ``k`` rows for a query's terms, which are weighed first; best first, equal ones by row."""
    query = TermQuery.weighted(terms, snapshot.frequencies.weights(terms))
    scores = snapshot.scores(query, snapshot.alive_rows)
    rows = best_rows(scores, k=k, allowed=snapshot.alive_rows)
    return rows[np.argsort(-scores[rows], kind="stable")][:k]


def search_many(snapshot: Snapshot, queries: Sequence[Terms], k: int) -> list[IntArray]:
    """``search`` for many queries, on two threads."""
    with ThreadPoolExecutor(_N_THREADS) as pool:
        return list(pool.map(lambda terms: search(snapshot, terms, k), queries))


def search_snapshot(snapshot: Snapshot, prepared: PreparedQuery, k: int) -> IntArray:
    """The engine's lexical search alone: a demand's terms are weighed, and the best ``k`` passages found."""
    return search(snapshot, Terms.of(prepared.terms), k)


def impact_matrix(corpus: Corpus) -> sparse.csr_matrix:
    """float32, shape (n_profiles, n_terms): what a peer that multiplies matrices must be given to find our rows."""
    counts = corpus.counts()
    weights = family_factors(term_keys(corpus.vocabulary)).astype(np.float32)
    logarithms = np.log(np.maximum(np.arange(MAX_COUNT + 1), 1)).astype(np.float32)
    values = weights[counts.term_ids] * (1 + logarithms[counts.counts])
    norms = np.sqrt(np.add.reduceat(values * values, counts.row_ends[:-1]))
    values /= np.repeat(norms, np.diff(counts.row_ends))
    return sparse.csr_matrix((values, counts.term_ids, counts.row_ends), shape=(len(corpus), len(weights)))


def write_snapshot(corpus: Corpus, folder: Path) -> None:
    """A snapshot of the whole corpus with n-grams, vectors and facts, as the service keeps it on disk."""
    build(corpus, with_vectors=True).save(folder)


def load_snapshot(folder: Path) -> Snapshot:
    """What ``write_snapshot`` wrote, as a serving process loads it."""
    return Snapshot.load(folder, _versions())


def _versions() -> Versions:
    encoder = load_encoder("universal")
    return Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)


def _facts(first: int, n_profiles: int) -> Iterator[Facts]:
    for number in range(first, first + n_profiles):
        yield Facts(
            kind=("expert", "achievement", "team", "platform", "society")[number % 5],
            region=f"44{number % 21:02}00",
            clusters=("装备制造",) if number % 8 == 0 else (),
            title="教授",
            capacity=3,
        )
