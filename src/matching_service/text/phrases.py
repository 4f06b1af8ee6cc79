"""Names of concepts in other languages, found in the pieces of a text: harmonic drives, Wellgetriebe, 波動歯車装置."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock

import Stemmer

_LONGEST = 12
"""Pieces without blanks."""
_BLANKS = frozenset(" -\u00a0\t\n")
_CYRILLIC = range(0x400, 0x530)
_SHORTEST_STEMMED = 4
_MAX_KNOWN = 1 << 16


class Phrases:
    """Finds the longest name at each place. Words are compared by their stems, blanks and hyphens do not count."""

    def __init__(self, names: Mapping[str, str], cut: Callable[[str], list[str]]) -> None:
        """``names`` : folded name -> the concept's Chinese name. ``cut`` : the tokenizer's cutting into pieces."""
        self._chinese: dict[tuple[str, ...], str] = {}
        longest: dict[str, int] = {}
        for name, chinese in names.items():
            key = tuple([part for piece in cut(name) if piece not in _BLANKS for part in _stems(piece)])
            if key and len(key) <= _LONGEST:
                self._chinese.setdefault(key, chinese)
                longest[key[0]] = max(len(key), longest.get(key[0], 0))
        self._longest = _LongestNames(longest)

    def find(self, pieces: Sequence[str]) -> Iterator[tuple[int, int, str]]:
        """Yield first and last piece and Chinese name of each concept, from left to right, without overlap."""
        end = 0
        for place, longest in enumerate(map(self._longest.__getitem__, pieces)):
            if longest and place >= end and (match := self._longest_at(pieces, place, longest)) is not None:
                yield place, match[0], match[1]
                end = match[0] + 1

    def _longest_at(self, pieces: Sequence[str], place: int, longest: int) -> tuple[int, str] | None:
        key: list[str] = []
        best: tuple[int, str] | None = None
        for last in range(place, len(pieces)):
            if pieces[last] in _BLANKS:
                continue
            key += _stems(pieces[last])
            if (chinese := self._chinese.get(tuple(key))) is not None:
                best = last, chinese
            if len(key) >= longest:
                break
        return best


class _LongestNames(dict[str, int]):
    """The number of pieces of the longest name that begins with a piece, remembered by the piece as texts write it."""

    def __init__(self, longest: Mapping[str, int]) -> None:
        super().__init__()
        self._of_stems = longest

    def __missing__(self, piece: str) -> int:
        if len(self) >= _MAX_KNOWN:
            self.clear()
        longest = self[piece] = self._of_stems.get(next(iter(_stems(piece)), piece), 0)
        return longest


def _stems(piece: str) -> list[str]:
    """Return the stems of a joined run's parts; of any other piece, its own."""
    return [_stem(part) for part in piece.split("-") if part] if "-" in piece else [_stem(piece)]


def _stem(piece: str) -> str:
    """Return the Snowball stem of a Latin or Cyrillic piece, any other piece as it is.

    The English stemmer serves all Latin letters: a name and its plural must meet, the stem need not be a word.
    """
    if len(piece) < _SHORTEST_STEMMED or not piece[0].isalpha() or ord(piece[0]) > _CYRILLIC.stop:
        return piece
    stemmer = _RUSSIAN if ord(piece[0]) in _CYRILLIC else _ENGLISH
    with _STEMMING:  # a stemmer has a buffer of its own
        return str(stemmer.stemWord(piece))


_ENGLISH = Stemmer.Stemmer("english")
_RUSSIAN = Stemmer.Stemmer("russian")
_STEMMING = Lock()
