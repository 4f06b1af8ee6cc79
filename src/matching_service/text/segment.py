"""Cutting a folded text into words, each with its position.

Chinese runs go to jieba in search mode (a long word and the words inside it), without its hidden Markov
model, so that every word comes from a dictionary that a reader can open. Everything else (Latin, digits,
other scripts) is cut by one regular expression, because jieba breaks 0.45mm and HPLC-MS apart.
"""

import logging
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import jieba

from matching_service.text.lexicon import Lexicon

_HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_OTHER_RUN = rf"[^\W_{_HAN}]+(?:[.\-+/][^\W_{_HAN}]+)*%?"
_CONNECTOR = re.compile(r"[.\-+/]")
_QUANTITY = re.compile(r"\d+(?:\.\d+)?[^\W\d_]*%?")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the folded text and its half-open span in it. Words may overlap: a compound and its parts."""

    text: str
    start: int
    end: int


class Segmenter:
    """Cuts texts by one lexicon. Immutable once built; building reads jieba's dictionary (about a second)."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._stop_words = lexicon.stop_words
        self._jieba = plain_tokenizer()
        mixed: list[str] = []
        for word, frequency in lexicon.user_words.items():
            if _HAN_RUN.fullmatch(word):
                self._jieba.add_word(word, frequency)
            else:
                mixed.append(word)
        mixed += [word for word in lexicon.canonical if not _HAN_RUN.fullmatch(word)]
        for word in sorted({*lexicon.canonical, *lexicon.stop_words}):  # each must come out as one word to be of use
            if _HAN_RUN.fullmatch(word) and not self._jieba.FREQ.get(word):
                self._jieba.add_word(word, max(3, self._jieba.suggest_freq(word, tune=False)))
        self._run = re.compile(
            f"(?P<mixed>{_alternatives(mixed)})|(?P<han>(?:(?!{_alternatives(mixed)})[{_HAN}])+)|(?P<other>{_OTHER_RUN})"
        )

    def words(self, folded: str) -> Iterator[Word]:
        """The words of a folded text, without stop words and the words inside them."""
        for run in self._run.finditer(folded):
            words = list(self._words_of_run(run))
            stops = _merged(sorted((word.start, word.end) for word in words if word.text in self._stop_words))
            starts = [start for start, _ in stops]
            for word in words:
                before = bisect_right(starts, word.start) - 1  # the last stretch of stop words that begins by then
                if before < 0 or stops[before][1] < word.end:
                    yield word

    def _words_of_run(self, run: re.Match[str]) -> Iterator[Word]:
        if run.lastgroup == "han":
            for text, start, end in self._jieba.tokenize(run.group(), mode="search", HMM=False):
                yield Word(text, run.start() + start, run.start() + end)
            return
        if run.lastgroup == "other":
            yield from _parts(run)
        yield Word(run.group(), *run.span())


def han_runs(folded: str) -> Iterator[re.Match[str]]:
    """The maximal runs of Chinese characters."""
    return _HAN_RUN.finditer(folded)


def _parts(run: re.Match[str]) -> Iterator[Word]:
    """The pieces of a joined run such as hplc-esi-ms; a quantity such as 0.45mm is one piece."""
    start = run.start()
    pieces = _CONNECTOR.split(run.group())
    if len(pieces) == 1 or _QUANTITY.fullmatch(run.group()):
        return
    for piece in pieces:
        if len(piece) > 1 and not piece.isdigit():
            yield Word(piece, start, start + len(piece))
        start += len(piece) + 1


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans with the overlapping ones made one."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _alternatives(words: list[str]) -> str:
    """A pattern for literal words, longest first, that does not match inside a longer Latin word."""
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    if not longest_first:
        return r"(?!)"
    return rf"(?<![a-z0-9])(?:{'|'.join(map(re.escape, longest_first))})(?![a-z0-9])"


def plain_tokenizer() -> jieba.Tokenizer:
    """A tokenizer of our own. jieba would keep its prefix dictionary as a marshal file in the shared folder
    for temporary files, where another user of the machine could plant one; reading the text costs the same.
    """
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer
