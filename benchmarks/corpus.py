"""Profiles and demands of any number, made by recombining real sentences with a fixed seed.

The sentences are those of the abstracts in ``../shared/data/papers.jsonl``, read from there and never copied; where
that folder is absent those of the sample city. A profile is 100 to 1,000 characters of them, lognormal with a median
of 300, and a Poisson(3) number of rare words: Latin words such as ``zqkxabe``, drawn by Zipf's law from a
million, because recombining brings no new words and a real corpus never stops bringing them. Sentences end in marks
that no term crosses, so each is segmented once and a profile's terms are the sum of its sentences' (a test compares
them with the terms of the joined text). Profiles come in blocks, each with a seed of its own: a smaller corpus is the
beginning of a larger one.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from matching_service import sample
from matching_service.ranking.encoder import load_encoder
from matching_service.text.terms import count_terms, is_ngram

GENERATOR = 2
"""Changes whenever the same seed gives another corpus."""
SEED = 20261125
BLOCK = 65_536
"""Profiles per block."""

DATA = Path(__file__).parents[2] / "shared" / "data"
PAPERS = DATA / "papers.jsonl"
DEMANDS = DATA / "demands.jsonl"

N_RARE_WORDS = 1_000_000
RARE_PER_PROFILE = 3.0
_ZIPF = 1.05
_MEDIAN_CHARACTERS, _SPREAD = 300.0, 0.5
_FEWEST, _MOST = 100, 1_000
MAX_DEMAND = 600
"""Demands are cut at this many characters."""
_NOISE = 0.25
"""Length of the random vector that is added to a profile's unit vector, so that no two are alike."""

_SENTENCE_END = re.compile(r"(?<=[。；！？!?;\n])|(?<=[\u3400-\u9fff）)%]\.)")
_CLOSED = "。；！？"

Tokens = Literal["words and character n-grams", "words"]
ALL: Tokens = "words and character n-grams"
WORDS: Tokens = "words"


@dataclass(frozen=True, slots=True)
class Counts:
    """Terms of profiles, row after row.

    row_ends : int64, shape (n_rows + 1,), from 0; row i is [row_ends[i], row_ends[i + 1]) of the other two.
    term_ids : int32, in no order within a row, none twice.
    counts : uint8, from 1.
    """

    row_ends: NDArray[np.int64]
    term_ids: NDArray[np.int32]
    counts: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.row_ends) - 1

    def rows(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.uint8]]]:
        """Term ids and counts of each row."""
        for start, end in zip(self.row_ends[:-1], self.row_ends[1:], strict=True):
            yield self.term_ids[start:end], self.counts[start:end]


class Corpus:
    """``n_profiles`` profiles, one passage each, as texts, as term counts and as vectors; made block by block."""

    def __init__(self, n_profiles: int, tokens: Tokens = ALL) -> None:
        self.n_profiles = n_profiles
        self.tokens: Tokens = tokens
        self._rare = np.unique(
            np.concatenate([_rare_words(start)[1][: self._rare_end(start)] for start in self._starts()])
        )
        """Numbers of the rare words that occur, rising."""

    def __len__(self) -> int:
        return self.n_profiles

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every term by its id: those of the sentences in alphabetical order, then the rare words."""
        return [*_terms(self.tokens)[0], *map(rare_word, self._rare.tolist())]

    def blocks(self) -> Iterator[Counts]:
        """The profiles' terms, at most ``BLOCK`` profiles at a time."""
        terms = _terms(self.tokens)[1]
        pieces = sparse.block_diag([terms, sparse.eye_array(len(self._rare), dtype=np.uint8)], format="csr")
        for start in self._starts():
            matrix = self._pieces(start) @ pieces  # a profile is a bag of pieces, a piece a bag of terms
            yield Counts(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False), matrix.data)

    def counts(self) -> Counts:
        """All profiles' terms at once."""
        blocks = list(self.blocks())
        lengths = np.concatenate([[0], *(np.diff(block.row_ends) for block in blocks)])
        ids = np.concatenate([block.term_ids for block in blocks])
        return Counts(np.cumsum(lengths), ids, np.concatenate([block.counts for block in blocks]))

    def vectors(self) -> Iterator[NDArray[np.float32]]:
        """Per block float32, shape (n_rows, n_dimensions): the mean of a profile's sentences and a little noise."""
        of_sentences = sentence_vectors()
        for start in self._starts():
            means = _unit(self._sentences(start).astype(np.float32) @ of_sentences)
            generator = np.random.default_rng([SEED, start, 2])
            noise = generator.standard_normal(means.shape, dtype=np.float32)
            yield _unit(means + noise * np.float32(_NOISE / np.sqrt(means.shape[1])))

    def texts(self) -> Iterator[str]:
        """The profiles as they would be written: the text whose terms ``blocks`` counts."""
        pool = sentences()
        for start in self._starts():
            chosen, (ends, rare) = self._sentences(start), _rare_words(start)
            for row in range(chosen.shape[0]):
                bag = slice(chosen.indptr[row], chosen.indptr[row + 1])
                parts = np.repeat(chosen.indices[bag], chosen.data[bag]).tolist()
                tail = "、".join(map(rare_word, rare[ends[row] : ends[row + 1]].tolist()))
                yield "".join(pool[part] for part in parts) + (f"{tail}。" if tail else "")

    def _starts(self) -> range:
        return range(0, self.n_profiles, BLOCK)

    def _n_rows(self, start: int) -> int:
        return min(BLOCK, self.n_profiles - start)

    def _rare_end(self, start: int) -> int:
        return int(_rare_words(start)[0][self._n_rows(start)])

    def _sentences(self, start: int) -> sparse.csr_array:
        """uint8, shape (n_rows, n_sentences): how often each sentence stands in each profile of the block."""
        return sparse.csr_array(_chosen_sentences(start)[: self._n_rows(start)])

    def _pieces(self, start: int) -> sparse.csr_array:
        """uint8, shape (n_rows, n_sentences + n_rare)."""
        n_rows = self._n_rows(start)
        ends, rare = _rare_words(start)
        columns = np.searchsorted(self._rare, rare[: ends[n_rows]])
        words = (np.ones(len(columns), np.uint8), columns, ends[: n_rows + 1])
        tail = sparse.csr_array(words, shape=(n_rows, len(self._rare)))
        return sparse.csr_array(sparse.hstack([self._sentences(start), tail], format="csr", dtype=np.uint8))


@cache
def sentences() -> list[str]:
    """Every sentence that profiles are made of, each once."""
    return list(dict.fromkeys(part for text in _source_texts() for part in split_sentences(text)))


def split_sentences(text: str) -> list[str]:
    """The sentences of a text that say anything, each closed by a mark that no term crosses."""
    parts = (part.strip() for part in _SENTENCE_END.split(text))
    return [part if part[-1] in _CLOSED else part.rstrip(" .;!?,:，：…") + "。" for part in parts if len(part) > 5]


@cache
def paper_titles() -> list[str]:
    """Titles for works: of the papers, or of the sample's works."""
    if PAPERS.exists():
        return [paper["title"] for paper in _lines(PAPERS)]
    return [work["title"] for profile in _chinese_profiles() for work in profile.get("works", [])]


@cache
def keywords() -> list[str]:
    """Keywords for profiles: of the papers, or of the sample's profiles."""
    rows = _lines(PAPERS) if PAPERS.exists() else _chinese_profiles()
    return sorted({word for row in rows for word in row.get("keywords", [])})


@cache
def sentence_vectors() -> NDArray[np.float32]:
    """float32, shape (n_sentences, n_dimensions): each sentence encoded once, by the default encoder."""
    pool = sentences()
    vectors = load_encoder("universal").encode(pool, ["zh"] * len(pool))
    n_dimensions = load_encoder("universal").n_dimensions
    return np.array([np.zeros(n_dimensions) if v is None else v for v in vectors], dtype=np.float32)


def rare_word(number: int) -> str:
    """Seven letters; another word for each number below a million. It is no word of any language, and has no parts."""
    mixed = number * 48_271 % 6_760_000  # without a common factor: neighbours in frequency do not look alike
    letters = ""
    for _ in range(5):
        mixed, letter = divmod(mixed, 26)
        letters += chr(ord("a") + letter)
    return f"zq{letters}"


@dataclass(frozen=True, slots=True)
class DemandText:
    """``problem`` may be empty. ``is_real``: written by an enterprise, not recombined."""

    title: str
    problem: str
    is_real: bool

    @property
    def text(self) -> str:
        return f"{self.title}。{self.problem}"[:MAX_DEMAND]

    def counts(self, tokens: Tokens = ALL) -> Counter[str]:
        """Its terms, as ``Corpus`` counts those of profiles."""
        return Counter({t: n for t, n in count_terms(self.text).items() if tokens == ALL or not is_ngram(t)})


@cache
def real_demands() -> list[DemandText]:
    """The 371 of ``../shared/data/demands.jsonl``, or those of the sample city; only those that say anything."""
    if DEMANDS.exists():
        found = [(row["title"], row["content"] or "") for row in _lines(DEMANDS)]
    else:
        found = [(row["title"], row.get("problem") or "") for row in _lines(sample.DEMANDS)]
    return [DemandText(title, problem, is_real=True) for title, problem in found if count_terms(title)]


def demands(n_demands: int) -> list[DemandText]:
    """The real ones first, then recombinations of their sentences, most with a rare word; a fixed seed."""
    real = real_demands()
    generator = np.random.default_rng([SEED, 3])
    pool = [part for demand in real for part in split_sentences(demand.problem)]
    made = []
    for _ in range(n_demands - len(real)):
        wanted = min(MAX_DEMAND, generator.lognormal(np.log(240), 0.6))
        parts: list[str] = []
        while sum(map(len, parts)) < wanted:
            parts.append(pool[generator.integers(len(pool))])
        parts.append("、".join(map(rare_word, _zipf(generator, generator.poisson(1.0)).tolist())))
        made.append(DemandText(real[generator.integers(len(real))].title, "".join(parts), is_real=False))
    return [*real, *made][:n_demands]


@cache
def _terms(tokens: Tokens) -> tuple[list[str], sparse.csr_array]:
    """The terms of all sentences in alphabetical order, and how often each stands in each sentence, as uint8."""
    counted = [
        {term: n for term, n in count_terms(text).items() if tokens == ALL or not is_ngram(term)}
        for text in sentences()
    ]
    vocabulary = sorted(set().union(*counted))
    id_of = {term: column for column, term in enumerate(vocabulary)}
    ends = np.cumsum([0, *map(len, counted)])
    ids = np.fromiter((id_of[term] for counts in counted for term in counts), np.int32, ends[-1])
    numbers = np.fromiter((n for counts in counted for n in counts.values()), np.uint8, ends[-1])
    return vocabulary, sparse.csr_array((numbers, ids, ends), shape=(len(counted), len(vocabulary)))


def _chosen_sentences(start: int) -> sparse.csr_array:
    """uint8, shape (BLOCK, n_sentences): sentences are added until a profile is as long as it was drawn to be."""
    lengths = np.array([len(sentence) for sentence in sentences()])
    generator = np.random.default_rng([SEED, start, 0])
    wanted = np.clip(generator.lognormal(np.log(_MEDIAN_CHARACTERS), _SPREAD, BLOCK), _FEWEST, _MOST)
    most = int(3 * _MOST / lengths.mean())
    drawn = generator.integers(len(lengths), size=(BLOCK, most))
    before = np.cumsum(lengths[drawn], axis=1) - lengths[drawn]
    is_taken = before < wanted[:, None]
    ends = np.concatenate([[0], np.cumsum(is_taken.sum(axis=1))])
    chosen = (np.ones(ends[-1], np.uint8), drawn[is_taken], ends)
    matrix = sparse.csr_array(chosen, shape=(BLOCK, len(lengths)))
    matrix.sum_duplicates()
    return matrix


@cache
def _rare_words(start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row ends, shape (BLOCK + 1,), and the numbers of the rare words of each profile of a block."""
    generator = np.random.default_rng([SEED, start, 1])
    ends = np.concatenate([[0], np.cumsum(generator.poisson(RARE_PER_PROFILE, BLOCK))])
    return ends, _zipf(generator, int(ends[-1]))


def _zipf(generator: np.random.Generator, n: int) -> NDArray[np.int64]:
    """int64, shape (n,): numbers below a million, the i-th with a probability proportional to 1 / (i + 1) ** 1.05."""
    return np.searchsorted(_zipf_distribution(), generator.random(n)).astype(np.int64)


@cache
def _zipf_distribution() -> NDArray[np.float64]:
    cumulated = np.cumsum(1.0 / np.arange(1, N_RARE_WORDS + 1) ** _ZIPF)
    return np.asarray(cumulated / cumulated[-1])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9)))


def _source_texts() -> Iterator[str]:
    if PAPERS.exists():
        yield from (paper["abstract"] for paper in _lines(PAPERS))
        return
    for profile in _chinese_profiles():
        yield profile.get("summary") or ""
        yield from (work.get("abstract") or work["title"] for work in profile.get("works", []))


def _chinese_profiles() -> Sequence[Mapping[str, Any]]:
    return [row for row in _lines(sample.PROFILES) if row.get("language", "zh") == "zh"]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
