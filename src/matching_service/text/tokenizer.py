"""Cut a folded text into pieces, and a piece into words.

rjieba cuts the Chinese: it has jieba's algorithm and dictionary. Its hidden Markov model is off, so that every word
comes from a dictionary that people can read. One regular expression cuts the rest (Latin, digits, other scripts),
because jieba breaks 0.45mm and HPLC-MS apart.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate, groupby
from typing import NamedTuple

import rjieba

from matching_service.text.lexicon import HAN, HAN_RUN, Lexicon
from matching_service.text.quantities import is_unit

_BROKEN_RUN = re.compile(rf"[{HAN}]+(?:[ \t\r\n]+[{HAN}]+)+")
_BREAK = re.compile(r"[ \t\r\n]+")
_HAN_BREAK = re.compile(rf"[ \t\r\n](?=[{HAN}])")
_JIEBA_HAN = ("\u4e00", "\u9fd5")
"""The range of characters that jieba joins into words. jieba returns rarer ones one by one; rjieba may join them."""
_STANDARD = (
    r"(?<![a-z0-9])(?:gb|jb|hg|hb|qb|qc|yb|ys|yy|sj|sh|sy|dl|nb|fz|jt|jc|jg|cj|gy|iso|iec|en|din|astm|ansi|jis|ieee)"
    r"(?:/[tz])?[ \-]?\d{2,6}(?:[.\-]\d{1,5})*(?![a-z0-9])"
)
"""The number of a standard: gb/t 19001-2016, iso 9001."""
_OTHER_RUN = (
    rf"{_STANDARD}|[^\W_{HAN}]+(?:[.\-+/][^\W_{HAN}]+)*(?:%|\+\+|#)?"
    rf"|(?<![^\W_{HAN}])\.[a-z][a-z0-9]+(?![^\W_{HAN}])"
)
"""Letters and digits with their connectors. Symbols at the end or in front are part of the name: c++, c#, 45#, .net."""
_OTHER = re.compile(_OTHER_RUN)
_CONNECTOR = re.compile(r"[.\-+/]")
_IS_STANDARD = re.compile(_STANDARD)
_DIGITS_INSIDE = re.compile(r"\d{3,}")
_GRADE = re.compile(r"(?P<grade>[a-z]+\d{2,})[a-z]+")
_LATIN_JOINT = re.compile(r"(?<=[a-z0-9])[ \-/](?=[a-z0-9])")
_JOINTS = ("", " ", "-", "/")
_MOST_PARTS = 4
_SHORTEST_LATIN = 2
_YEAR = re.compile(r"-\d{4}$")
_AT_WILL = re.compile(r"(?<=[^\W\d_])[/\-+](?=[^\W_])|[/\-+](?=[^\W\d_])")
_AT_WILL_IN_STANDARD = re.compile(r"[/ ]|-(?=\d)")
_SERIES = re.compile(r"(?P<letters>[a-z]{1,4})\d{1,4}(?:/\d{1,4})+")
_QUANTITY = re.compile(r"\d+(?:\.\d+)?[^\W\d_]*%?")
_MIN_FREQUENCY = 3


class Word(NamedTuple):
    """A word and its half-open span in its piece. Words may overlap: a compound and its parts."""

    text: str
    start: int
    end: int


class Tokenizer:
    """Cuts texts with one lexicon. Immutable, so threads may share it. Building one takes 0.1 s."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._stop_words = lexicon.stop_words
        self._jieba = jieba_with(lexicon)
        self._mixed = _spellings(word for word in (*lexicon.user_words, *lexicon.canonical) if not is_chinese(word))
        self._pieces = re.compile(_pieces(self._mixed.keys()))

    def cut(self, folded: str) -> list[str]:
        """Split the text into pieces. Joined, they give the text again.

        A piece is a Chinese word, a word of the lexicon that is not all Chinese (3d打印), a run of other letters and
        digits with their connectors (hplc-esi-ms), or any other single character. The words in a piece do not depend
        on its neighbours.
        """
        pieces: list[str] = []
        for chinese, other in self._pieces.findall(folded):
            if chinese:
                pieces += self._jieba.cut(chinese, False)
            else:
                pieces.append(other)
        return pieces

    def breaks_in_words(self, folded: str) -> list[tuple[int, int]]:
        """Return the spans of blanks and line breaks inside Chinese words: 谐 波 减 速 器, a word broken by a PDF.

        A break is inside a word if the text without breaks has a word there. Blanks between words stay (轴承 润滑).
        """
        inside: list[tuple[int, int]] = []
        if not _HAN_BREAK.search(folded):  # most texts have none, and this tells it ten times faster
            return inside
        for run in _BROKEN_RUN.finditer(folded):
            breaks = list(_BREAK.finditer(folded, *run.span()))
            word_ends = set(accumulate(map(len, self._jieba.cut(_BREAK.sub("", run[0]), False))))
            n_blanks = 0
            for match in breaks:
                if match.start() - run.start() - n_blanks not in word_ends:
                    inside.append(match.span())
                n_blanks += match.end() - match.start()
        return inside

    def words_in(self, piece: str) -> list[Word]:
        """Return the words of a piece, inner ones before the whole, without stop words and the words inside them."""
        if (listed := self._mixed.get(piece)) is not None:
            words = [*_latin_words_in(piece), Word(listed, 0, len(piece))]
        elif is_chinese(piece):
            words = [*self._inner_words(piece), Word(piece, 0, len(piece))]
        elif _OTHER.fullmatch(piece):
            words = [*_parts(piece), Word(_plain_run(piece), 0, len(piece))]
        else:
            return []
        stops = [word for word in words if word.text in self._stop_words]
        return _outside(words, stops) if stops else words

    def _inner_words(self, word: str) -> Iterator[Word]:
        """Yield the words of two and three characters inside a longer one, like jieba's search mode."""
        for length in (2, 3):
            for start in range(len(word) - length + 1 if len(word) > length else 0):
                if self._jieba.has_word(word[start : start + length]):
                    yield Word(word[start : start + length], start, start + length)


def _spellings(words: Iterable[str]) -> dict[str, str]:
    """Return each listed word by its spellings: a blank, a hyphen, a slash or nothing between its Latin parts."""
    listed = {word: word for word in words}
    for word in sorted(listed):
        parts = _LATIN_JOINT.split(word)
        if 1 < len(parts) <= _MOST_PARTS:
            for joint in _JOINTS:
                listed.setdefault(joint.join(parts), word)
    return listed


def _plain_run(run: str) -> str:
    """Return a joined run without the connectors that people use at will: gc/ms is gc-ms. Between digits they stay."""
    if _IS_STANDARD.fullmatch(run):
        return _AT_WILL_IN_STANDARD.sub("", _YEAR.sub("", run))
    return _AT_WILL.sub("", run)


def jieba_with(lexicon: Lexicon) -> rjieba.Jieba:
    """Build a tokenizer from jieba's dictionary and the Chinese words of the lexicon.

    A synonym or stop word takes effect only if it is cut as one word. One that is in no dictionary therefore gets a
    frequency high enough for that. For a word that jieba knows, the lexicon's frequency replaces jieba's, in the total
    as well. jieba's own add_word counts both in the total and so cuts some texts differently (docs/decisions/0012).
    """
    jieba = rjieba.Jieba()
    for word, frequency in lexicon.user_words.items():
        if is_chinese(word):
            jieba.add_word(word, frequency, None)
    for word in sorted({*lexicon.canonical, *lexicon.stop_words}):
        if is_chinese(word) and not jieba.has_word(word):
            jieba.add_word(word, max(_MIN_FREQUENCY, jieba.suggest_freq(word)), None)
    return jieba


def is_chinese(text: str) -> bool:
    """Tell whether the text consists of Chinese characters only."""
    return HAN_RUN.fullmatch(text) is not None


def han_runs(folded: str) -> Iterator[re.Match[str]]:
    """Yield the maximal runs of Chinese characters."""
    return HAN_RUN.finditer(folded)


def _latin_words_in(piece: str) -> Iterator[Word]:
    """Yield the Latin words inside a listed word that also has Chinese ones: dcdc in dc/dc变换器."""
    if HAN_RUN.search(piece):
        for run in _OTHER.finditer(piece):
            if len(run[0]) > _SHORTEST_LATIN:
                yield Word(_plain_run(run[0]), *run.span())


def _parts(run: str) -> Iterator[Word]:
    """Yield the parts of a joined run such as hplc-esi-ms, and the numbers and grades in it. 0.45mm has none.

    7075 is in 7075-t6, 304 in sus304 and 316l, q235 in q235b, ip67 in ip65/67, 19001 in gb/t19001-2016.
    """
    if _IS_STANDARD.fullmatch(run):
        number = _DIGITS_INSIDE.search(run)
        if number is not None:
            yield Word(number[0], *number.span())
        return
    if _QUANTITY.fullmatch(run) and (not run[:3].isdigit() or is_unit(run.lstrip("0123456789.")) or "." in run):
        return
    start = 0
    pieces = _CONNECTOR.split(run)
    series = _SERIES.fullmatch(run)
    for place, piece in enumerate(pieces):
        end = start + len(piece)
        if series and place:
            yield Word(series["letters"] + piece, start, end)
        elif len(pieces) > 1 and len(piece) > 1 and not piece.isdigit() and run != f".{piece}":
            is_dotted = piece == "net" and start > 1 and run[start - 1] == "."
            yield Word(f".{piece}", start - 1, end) if is_dotted else Word(piece, start, end)
        for digits in _DIGITS_INSIDE.finditer(piece):
            if digits[0] != run:
                yield Word(digits[0], start + digits.start(), start + digits.end())
        if (grade := _GRADE.fullmatch(piece)) is not None:
            yield Word(grade["grade"], start, start + grade.end("grade"))
        start = end + 1


def _outside(words: list[Word], stops: list[Word]) -> list[Word]:
    """Return the words that do not lie inside a stretch of overlapping stop words."""
    stretches: list[tuple[int, int]] = []
    for _, start, end in sorted(stops, key=lambda word: word.start):
        if stretches and start < stretches[-1][1]:
            stretches[-1] = stretches[-1][0], max(end, stretches[-1][1])
        else:
            stretches.append((start, end))
    starts = [start for start, _ in stretches]

    def is_outside(word: Word) -> bool:
        before = bisect_right(starts, word.start) - 1  # the last stretch that starts at or before the word
        return before < 0 or stretches[before][1] < word.end

    return [word for word in words if is_outside(word)]


def _pieces(mixed: Collection[str]) -> str:
    """Return a pattern of two groups: a run for jieba, or any other piece. One of them matches at any position.

    A run ends where a mixed word begins. Few Chinese characters begin a mixed word, so the pattern looks ahead only
    at those.
    """
    first, last = _JIEBA_HAN
    beginnings = {word[0] for word in mixed}
    plain = "".join(chr(code) for code in range(ord(first), ord(last) + 1) if chr(code) not in beginnings)
    others = "".join(sorted(character for character in beginnings if first <= character <= last))
    chinese_first = [word for word in mixed if word[0] in others]
    run = f"[{plain}]++" + (f"|(?!{_alternatives(chinese_first)})[{others}]" if others else "")
    return rf"((?:{run})++)|({_alternatives(mixed)}|{_OTHER_RUN}|[\s\S])"


def _alternatives(words: Collection[str]) -> str:
    """Return a pattern for literal words, longest first. It does not match inside a longer Latin word."""
    if not words:
        return r"(?!)"
    by_first = groupby(sorted(set(words), key=lambda word: (word[0], -len(word), word)), key=lambda word: word[0])
    groups = (f"{re.escape(first)}(?:{'|'.join(re.escape(word[1:]) for word in group)})" for first, group in by_first)
    return rf"(?<![a-z0-9])(?:{'|'.join(groups)})(?![a-z0-9])"
