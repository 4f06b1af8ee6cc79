"""The libraries we are measured against, each fed with the same tokens and asked for the same number of rows.

Each is set up as its authors would: bm25s with its numba backend; tantivy without positions, in one segment, and
without counting all hits; scikit-learn as in its user guide, then a partial sort. A query is a list of different term
ids, so that no peer walks a list of postings twice.
"""

from collections.abc import Iterator, Mapping, Sequence

import bm25s
import numpy as np
import sparse_dot_topn
import tantivy
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import linear_kernel

from benchmarks.corpus import Corpus
from benchmarks.ours import impact_matrix

IntArray = NDArray[np.int64]
_TANTIVY_HEAP_BYTES = 2_000_000_000


class Bm25s:
    """BM25 with scores computed beforehand, on numba."""

    name = "bm25s (numba)"

    def __init__(self, corpus: Corpus) -> None:
        self._index = bm25s.BM25(backend="numba")
        self._index.index(_Tokens(corpus), show_progress=False)

    def search(self, query: Sequence[int], k: int) -> IntArray:
        found = self._index.retrieve([query], k=k, n_threads=1, show_progress=False)
        return np.asarray(found.documents[0], dtype=np.int64)


class _Tokens:
    """A tokenised corpus as bm25s reads it, without the hundred million Python integers it would otherwise hold."""

    def __init__(self, corpus: Corpus) -> None:
        self._counts = corpus.counts()
        self.vocab = {term: number for number, term in enumerate(corpus.vocabulary)}
        self.ids = self

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[list[int]]:
        for ids, counts in self._counts.rows():
            yield np.repeat(ids, counts).tolist()


class Tantivy:
    """Lucene's design in Rust; prunes by block maxima."""

    name = "tantivy"

    def __init__(self, corpus: Corpus) -> None:
        analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("terms", tokenizer_name="given", index_option="freq")
        builder.add_integer_field("row", fast=True)
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema)
        self._index.register_tokenizer("given", analyzer)
        names = [str(number) for number in range(len(corpus.vocabulary))]
        writer = self._index.writer(_TANTIVY_HEAP_BYTES, num_threads=1)
        row = 0
        for block in corpus.blocks():
            for ids, counts in block.rows():
                text = " ".join([names[i] for i in np.repeat(ids, counts).tolist()])
                writer.add_document(tantivy.Document(terms=text, row=row))
                row += 1
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self._searcher = self._index.searcher()

    def search(self, query: Sequence[int], k: int) -> IntArray:
        terms = [(tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "terms", str(i), "freq")) for i in query]
        hits = self._searcher.search(tantivy.Query.boolean_query(terms), limit=k, count=False).hits
        return np.array(self._searcher.fast_field_values("row", [address for _, address in hits]), dtype=np.int64)


class ScikitLearn:
    """TfidfVectorizer and linear_kernel."""

    name = "scikit-learn linear_kernel"

    def __init__(self, corpus: Corpus) -> None:
        self._vectorizer = TfidfVectorizer(analyzer=list)
        self._matrix = self._vectorizer.fit_transform(
            np.repeat(ids, counts).tolist() for block in corpus.blocks() for ids, counts in block.rows()
        )

    def search(self, query: Sequence[int], k: int) -> IntArray:
        scores = linear_kernel(self._vectorizer.transform([query]), self._matrix)[0]
        best = np.argpartition(-scores, k)[:k]
        return best[np.argsort(-scores[best], kind="stable")]


PEERS = {peer.name: peer for peer in (Bm25s, Tantivy, ScikitLearn)}


class SparseDotTopN:
    """The product of two sparse matrices of which only the best columns per row are kept, on two threads."""

    name = "sparse_dot_topn, 2 threads"

    def __init__(self, corpus: Corpus) -> None:
        self._id_of = {term: number for number, term in enumerate(corpus.vocabulary)}
        self._columns = sparse.csr_matrix(impact_matrix(corpus).T.tocsr())

    def search_many(self, queries: Sequence[Mapping[str, float]], k: int) -> list[IntArray]:
        found = sparse_dot_topn.sp_matmul_topn(self._matrix(queries), self._columns, top_n=k, n_threads=2, sort=True)
        return [row.astype(np.int64) for row in np.split(found.indices, found.indptr[1:-1])]

    def _matrix(self, queries: Sequence[Mapping[str, float]]) -> sparse.csr_matrix:
        known = [{i: w for term, w in q.items() if (i := self._id_of.get(term)) is not None} for q in queries]
        ends = np.cumsum([0, *map(len, known)])
        ids = np.fromiter((i for query in known for i in query), np.int32, ends[-1])
        values = np.fromiter((w for query in known for w in query.values()), np.float32, ends[-1])
        return sparse.csr_matrix((values, ids, ends), shape=(len(queries), self._columns.shape[0]))
