"""Terms are what the index counts: words (synonyms folded into one) and character 1- and 2-grams.

Character n-grams find what segmentation misses (测试 inside 测试工具箱, a term in no dictionary); words
tell which n-grams belong together. N-grams do not cross a stop word and carry a mark, so that the
character 泵 and the word 泵 are different terms.
"""

from collections import Counter
from dataclasses import dataclass

from matching_service.text.lexicon import default_lexicon
from matching_service.text.normalise import fold_with_spans
from matching_service.text.segment import default_segmenter, han_runs

NGRAM_MARK = "~"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A term and the half-open span of the original text where it stands."""

    term: str
    start: int
    end: int


def is_ngram(term: str) -> bool:
    return term.startswith(NGRAM_MARK)


def count_terms(text: str) -> Counter[str]:
    """How often each term occurs in ``text``. Empty for a text without letters or digits."""
    return Counter(term for term, _, _ in _terms(fold_with_spans(text).text))


def find_terms(text: str) -> list[Occurrence]:
    """The same terms with their positions in ``text`` as it was written, in order of their start."""
    folded = fold_with_spans(text)
    found = [Occurrence(term, *folded.original_span(start, end)) for term, start, end in _terms(folded.text)]
    return sorted(
        found,
        key=lambda occurrence: (occurrence.start, -occurrence.end, occurrence.term),
    )


def _terms(folded: str) -> list[tuple[str, int, int]]:
    segmenter, canonical = default_segmenter(), default_lexicon().canonical
    words = list(segmenter.words(folded))
    terms = [(canonical.get(word.text, word.text), word.start, word.end) for word in words]
    covered = bytearray(len(folded))
    for word in words:
        covered[word.start : word.end] = b"\1" * (word.end - word.start)
    for run in han_runs(folded):
        for position in range(run.start(), run.end()):
            if not covered[position]:
                continue
            terms.append((NGRAM_MARK + folded[position], position, position + 1))
            if position + 1 < run.end() and covered[position + 1]:
                terms.append(
                    (
                        NGRAM_MARK + folded[position : position + 2],
                        position,
                        position + 2,
                    )
                )
    return terms
