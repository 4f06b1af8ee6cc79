"""The terms that the index counts: words (synonyms folded into one), quantities, and character 1- and 2-grams.

Character n-grams match where segmentation fails (测试 inside 测试工具箱, a word in no dictionary); words tell which
n-grams belong together. N-grams do not cross stop words or bare words (公司). They carry a mark, so that the
character 泵 and the word 泵 are different terms. A group of synonyms is one term with a mark of its own.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain, pairwise
from sys import intern
from typing import NamedTuple

from matching_service.text.lexicon import Lexicon, default_lexicon
from matching_service.text.normalise import fold, fold_with_spans
from matching_service.text.phrases import Phrases
from matching_service.text.quantities import Quantity, find_quantities
from matching_service.text.spans import Spans, cut_out
from matching_service.text.tokenizer import Tokenizer, Word, han_runs, is_chinese

NGRAM_MARK = "~"
SYNONYM_MARK = "≈"

_MAX_KNOWN_PIECES = 1 << 16  # some 40 MB
_MAX_KNOWN_LENGTH = 32
Place = tuple[str, int, int]
"""A term and its half-open span."""


class Occurrence(NamedTuple):
    """A term and the half-open span of the original text where it stands."""

    term: str
    start: int
    end: int


class _Reading(NamedTuple):
    """The terms of one piece of a text, independent of its neighbours.

    terms : all terms of the piece.
    words : those that are words of two characters or more, each once.
    places : the terms with their spans in the piece, in the order of ``find_terms``.
    n_at_last : number of places at the end of ``places`` that start at the piece's last character.
    first, last : the first and last character if it may form a bigram with the neighbour's, else empty. ``last``
        carries the n-gram mark.
    length : number of characters.
    meant : terms of the Chinese name of what the piece names in other letters, each with the span of that name.
    """

    terms: tuple[str, ...]
    words: tuple[str, ...]
    places: tuple[Place, ...]
    n_at_last: int
    first: str
    last: str
    length: int
    meant: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadText:
    """The analysed form of a text. It is small, and looking up terms in it is five times faster than the analysis."""

    readings: Sequence[_Reading]
    quantities: Sequence[Quantity]
    spans: Spans | None

    @property
    def words(self) -> set[str]:
        """The distinct words of two characters or more."""
        return {word for reading in self.readings for word in reading.words}

    def places(self) -> list[Place]:
        """Return every term with its span in the original text, in order of start."""
        places = _places(self.readings)
        for quantity in self.quantities:
            insort(places, quantity, key=_order)
        return self._in_original(places)

    def places_of(self, wanted: AbstractSet[str], *, also_meant: bool = False) -> list[Place]:
        """Return the places of the wanted terms only, in the same order.

        also_meant : a name in another language also stands for the words and characters of its Chinese name.
        """
        places: list[Place] = [quantity for quantity in self.quantities if quantity.term in wanted]
        offset, left = 0, ""
        for terms, _, inside, _, first, last, length, meant in self.readings:
            if left and first and left + first in wanted:
                places.append((left + first, offset - 1, offset + 1))
            if not wanted.isdisjoint(terms):
                places += [(term, offset + start, offset + end) for term, start, end in inside if term in wanted]
            if also_meant:
                places += [(term, offset + start, offset + end) for term, start, end in meant if term in wanted]
            offset, left = offset + length, last
        places.sort(key=_order)
        return self._in_original(places)

    def _in_original(self, places: list[Place]) -> list[Place]:
        return places if self.spans is None else _original(places, self.spans)


def is_ngram(term: str) -> bool:
    return term.startswith(NGRAM_MARK)


class Analyzer:
    """Turns texts into terms with one lexicon. Threads may share it. Building one takes 0.45 s.

    A text is cut into pieces that are analysed one by one. The reading of each piece is cached, because a new text
    has hardly any new words.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._tokenizer = Tokenizer(lexicon)
        self._canonical = lexicon.canonical
        self._spoken = lexicon.spoken
        self._phrases = Phrases(lexicon.foreign, self._tokenizer.cut)
        self._bare_words = lexicon.bare_words
        self._known = _ReadingCache(lambda piece: self._read(piece, self._tokenizer.words_in(piece)))

    def count_terms(self, text: str) -> Counter[str]:
        """Count each term of ``text``. Empty for a text without letters or digits."""
        folded = fold(text)
        joined, _ = cut_out(self._tokenizer.breaks_in_words(folded), folded, None)
        readings, quantities = self._analyse(joined)
        terms = [quantity.term for quantity in quantities]
        left = ""
        for reading, _, _, _, first, last, _, meant in readings:
            if left and first:
                terms.append(left + first)
            terms += reading
            terms += [term for term, _, _ in meant]
            left = last
        return Counter(terms)

    def find_terms(self, text: str) -> list[Occurrence]:
        """Return the terms with their positions in the original ``text``, in order of start.

        A name in another language is one term here. ``count_terms`` also counts the words and characters of its
        Chinese name.
        """
        return list(map(Occurrence._make, self.read(text).places()))

    def read(self, text: str) -> ReadText:
        """Analyse the text once, to look up the places of all its terms or of some."""
        folded = fold_with_spans(text)
        joined, spans = cut_out(self._tokenizer.breaks_in_words(folded.text), folded.text, folded.spans)
        return ReadText(*self._analyse(joined), spans)

    def _analyse(self, folded: str) -> tuple[list[_Reading], list[Quantity]]:
        """Return the readings of the pieces, without words that start inside a quantity, and the quantities."""
        pieces = self._tokenizer.cut(folded)
        readings = list(map(self._known.__getitem__, pieces))
        quantities = list(find_quantities(folded))
        if quantities:
            in_quantity = _marked(folded, [(quantity.start, quantity.end) for quantity in quantities])
            starts = list(accumulate(map(len, pieces), initial=0))
            touched = (range(bisect_right(starts, q.start) - 1, bisect_left(starts, q.end)) for q in quantities)
            for number in set(chain.from_iterable(touched)):
                words = self._tokenizer.words_in(pieces[number])
                kept = [word for word in words if not in_quantity[starts[number] + word.start]]
                readings[number] = self._read(pieces[number], kept)
        for first, last, name in self._phrases.find(pieces):
            own, meant = self._read_name(name)
            length = sum(len(piece) for piece in pieces[first : last + 1])
            readings[first] = _with_name(readings[first], own, length, meant)
        return readings, quantities

    def _read(self, piece: str, words: Sequence[Word]) -> _Reading:
        length, last = len(piece), len(piece) - 1
        if not words:
            return _Reading((), (), (), 0, "", "", length)
        places = [(self._term_of(word), start, end) for word, start, end in words]
        covered = _marked(piece, [(start, end) for word, start, end in words if word not in self._bare_words])
        marked = [""] * length  # each character as a term
        for run in han_runs(piece):
            for place in range(run.start(), run.end()):
                if covered[place]:
                    marked[place] = intern(NGRAM_MARK + piece[place])
                    places.append((marked[place], place, place + 1))
                    if place and marked[place - 1]:
                        places.append((marked[place - 1] + piece[place], place - 1, place + 1))
        places.sort(key=_order)
        terms = tuple([term for term, _, _ in places])
        long = tuple({term for term in terms if len(term) > 1 and not is_ngram(term)})
        n_at_last = len([start for _, start, _ in places if start == last])
        first = intern(marked[0][len(NGRAM_MARK) :])
        meant = tuple([(term, start, end) for word, start, end in words for term in self._meant_by(word)])
        return _Reading(terms, long, tuple(places), n_at_last, first, marked[last], length, meant)

    def _meant_by(self, word: str) -> tuple[str, ...]:
        """Return the other terms of the Chinese name of a synonym in other letters.

        Synonyms are equals: PLC shares as much with 可编程控制器 as that name with itself.
        """
        name = self._spoken.get(self._canonical.get(word, ""))
        return () if name is None or is_chinese(word) else self._read_name(name)[1]

    @cache  # noqa: B019  # an analyzer lives as long as the process, and there are some thousand names
    def _read_name(self, name: str) -> tuple[str, tuple[str, ...]]:
        """Return the term of a Chinese name, and its other terms: the words and characters inside."""
        readings = list(map(self._known.__getitem__, self._tokenizer.cut(name)))
        crossing = [left.last + right.first for left, right in pairwise(readings) if left.last and right.first]
        terms = dict.fromkeys([*(term for reading in readings for term in reading.terms), *crossing])
        own = self._term_of(name)
        return own, tuple(term for term in terms if term != own)

    def _term_of(self, word: str) -> str:
        canonical = self._canonical.get(word)
        return word if canonical is None else SYNONYM_MARK + canonical


class _ReadingCache(dict[str, _Reading]):
    """A cache of readings by piece. It is cleared when full, so that it follows the topics of current texts."""

    def __init__(self, read: Callable[[str], _Reading]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, piece: str) -> _Reading:
        reading = self._read(piece)
        if len(piece) <= _MAX_KNOWN_LENGTH:
            if len(self) >= _MAX_KNOWN_PIECES:
                self.clear()
            self[piece] = reading
        return reading


@cache
def default_analyzer() -> Analyzer:
    """The analyzer over the lexicon that ships with the service, built at first use."""
    return Analyzer(default_lexicon())


def count_terms(text: str) -> Counter[str]:
    """``Analyzer.count_terms`` with the lexicon that ships with the service."""
    return default_analyzer().count_terms(text)


def read_text(text: str) -> ReadText:
    """``Analyzer.read`` with the lexicon that ships with the service."""
    return default_analyzer().read(text)


def find_terms(text: str) -> list[Occurrence]:
    """``Analyzer.find_terms`` with the lexicon that ships with the service."""
    return default_analyzer().find_terms(text)


def _with_name(reading: _Reading, own: str, length: int, meant: tuple[str, ...]) -> _Reading:
    """Return the reading of a piece at which a name of ``length`` characters begins."""
    if own in reading.terms:
        return reading
    places = sorted(((own, 0, length), *reading.places), key=_order)
    spoken = [(term, 0, length) for term in meant]
    n_at_last = reading.n_at_last + (reading.length == 1)
    return reading._replace(
        terms=(*reading.terms, own), places=tuple(places), n_at_last=n_at_last, meant=(*reading.meant, *spoken)
    )


def _places(readings: Sequence[_Reading]) -> list[Place]:
    """Return the terms of consecutive pieces and the bigrams across their borders, in the order of ``find_terms``."""
    places: list[Place] = []
    offset, left, n_after_left = 0, "", 0
    for _, _, inside, n_at_last, first, last, length, _ in readings:
        if left and first:
            places.insert(len(places) - n_after_left, (left + first, offset - 1, offset + 1))
        for term, start, end in inside:
            places.append((term, offset + start, offset + end))
        offset, left, n_after_left = offset + length, last, n_at_last
    return places


def _original(places: Sequence[Place], spans: Spans) -> list[Place]:
    """Map places in the folded text to places in the original text."""
    starts, ends = zip(*spans, strict=True) if spans else ((), ())
    original = [(term, starts[start], ends[end - 1]) for term, start, end in places]
    keeps_order = len(set(starts)) == len(starts)  # else one character became several, such as ℃
    return original if keeps_order else sorted(original, key=_order)


def _order(place: Place) -> tuple[int, int, str]:
    term, start, end = place
    return start, -end, term


def _marked(text: str, spans: list[tuple[int, int]]) -> bytearray:
    """Return one byte per character of ``text``: 1 inside any of the half-open spans."""
    marked = bytearray(len(text))
    for start, end in spans:
        marked[start:end] = b"\1" * (end - start)
    return marked
