"""Terms are what the index counts: words (synonyms folded into one), quantities, and character 1- and 2-grams.

Character n-grams find what segmentation misses (测试 inside 测试工具箱, a term in no dictionary); words
tell which n-grams belong together. N-grams do not cross a stop word or a bare one (公司), and carry a mark, so that the
character 泵 and the word 泵 are different terms. A group of synonyms is one term with a mark of its own.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache

from matching_service.text.lexicon import Lexicon, default_lexicon
from matching_service.text.normalise import fold_with_spans
from matching_service.text.quantities import find_quantities
from matching_service.text.segment import Segmenter, han_runs

NGRAM_MARK = "~"
SYNONYM_MARK = "≈"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A term and the half-open span of the original text where it stands."""

    term: str
    start: int
    end: int


def is_ngram(term: str) -> bool:
    return term.startswith(NGRAM_MARK)


class Analyzer:
    """Texts to terms, by one lexicon. Immutable once built; building reads jieba's dictionary (about a second)."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._segmenter = Segmenter(lexicon)
        self._canonical = lexicon.canonical
        self._bare_words = lexicon.bare_words

    def count_terms(self, text: str) -> Counter[str]:
        """How often each term occurs in ``text``. Empty for a text without letters or digits."""
        return Counter(term for term, _, _ in self._terms(fold_with_spans(text).text))

    def find_terms(self, text: str) -> list[Occurrence]:
        """The same terms with their positions in ``text`` as it was written, in order of their start."""
        folded = fold_with_spans(text)
        found = [Occurrence(term, *folded.original_span(start, end)) for term, start, end in self._terms(folded.text)]
        return sorted(found, key=lambda occurrence: (occurrence.start, -occurrence.end, occurrence.term))

    def _term_of(self, word: str) -> str:
        canonical = self._canonical.get(word)
        return word if canonical is None else SYNONYM_MARK + canonical

    def _terms(self, folded: str) -> list[tuple[str, int, int]]:
        quantities = list(find_quantities(folded))
        terms = [(quantity.term, quantity.start, quantity.end) for quantity in quantities]
        in_quantity = _marked(folded, [(quantity.start, quantity.end) for quantity in quantities])
        words = [word for word in self._segmenter.words(folded) if not in_quantity[word.start]]
        terms += [(self._term_of(word.text), word.start, word.end) for word in words]
        covered = _marked(folded, [(word.start, word.end) for word in words if word.text not in self._bare_words])
        for run in han_runs(folded):
            for position in range(run.start(), run.end()):
                if not covered[position]:
                    continue
                terms.append((NGRAM_MARK + folded[position], position, position + 1))
                if position + 1 < run.end() and covered[position + 1]:
                    terms.append((NGRAM_MARK + folded[position : position + 2], position, position + 2))
        return terms


@cache
def default_analyzer() -> Analyzer:
    """The analyzer over the lexicon that ships with the service, built at first use."""
    return Analyzer(default_lexicon())


def count_terms(text: str) -> Counter[str]:
    """``Analyzer.count_terms`` with the lexicon that ships with the service."""
    return default_analyzer().count_terms(text)


def find_terms(text: str) -> list[Occurrence]:
    """``Analyzer.find_terms`` with the lexicon that ships with the service."""
    return default_analyzer().find_terms(text)


def _marked(text: str, spans: list[tuple[int, int]]) -> bytearray:
    """A byte per character of ``text``: 1 inside any of the half-open spans."""
    marked = bytearray(len(text))
    for start, end in spans:
        marked[start:end] = b"\1" * (end - start)
    return marked
