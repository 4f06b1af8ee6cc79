"""The search of lists: every word of a query must be found, however the text spells it and within compounds too.

A word is found as it stands in the folded text, or by its terms, which know synonyms. The public list and the lists of
records search by this alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from matching_service.text.lexicon import default_lexicon
from matching_service.text.normalise import fold
from matching_service.text.terms import count_terms, is_ngram, read_text

_PART_OF_A_NAME = re.compile(r"[+#*@&%$]")
"""Without them a name is another one: C++ is not C."""


class SearchedText:
    """A text that is searched. Its terms take a while, so they are looked for once and only when a query needs them."""

    __slots__ = ("_terms", "_text", "folded")

    def __init__(self, parts: Iterable[str | None]) -> None:
        self._text = "\n".join(part for part in parts if part)
        self.folded = fold(self._text)
        self._terms: frozenset[str] | None = None

    @property
    def terms(self) -> frozenset[str]:
        if self._terms is None:
            self._terms = frozenset(count_terms(self._text))
        return self._terms


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of the query, with its terms, and per term the spellings of which a text has one that has the term.

    Terms inside a longer term are ignored: 可编程控制器 is a synonym of PLC, whose texts need not contain 控制.
    """

    word: str
    terms: frozenset[str]
    forms: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, word: str) -> "_Word":
        terms: dict[str, tuple[str, ...]] = {}
        reached = 0
        for term, start, end in read_text(word).places():  # ordered by start, then longest first
            if end > reached and not is_ngram(term):
                if _PART_OF_A_NAME.search(word[reached:start]):
                    return cls(word, frozenset(), ())
                terms[term] = _forms(word[start:end])
                reached = end
        if _PART_OF_A_NAME.search(word[reached:]):
            return cls(word, frozenset(), ())
        return cls(word, frozenset(terms), tuple(terms.values()))

    def is_in(self, text: SearchedText) -> bool:
        if self.word in text.folded:
            return True
        may_be = bool(self.terms) and all(any(form in text.folded for form in forms) for forms in self.forms)
        return may_be and self.terms <= text.terms


@dataclass(frozen=True, slots=True)
class Search:
    """A query, read once for many texts."""

    words: tuple[_Word, ...]

    @classmethod
    def of(cls, q: str | None) -> "Search":
        return cls(tuple(_Word.of(word) for word in fold(q or "").split()))

    def finds(self, text: SearchedText) -> bool:
        """Whether the text has every word; a query without words finds every text."""
        return all(word.is_in(text) for word in self.words)


def _forms(word: str) -> tuple[str, ...]:
    """The spellings of a word's synonyms, itself among them; of a number with a unit any text may have the number."""
    if any(character.isdigit() for character in word):
        return ("",)
    canonical = default_lexicon().canonical.get(word)
    return (word,) if canonical is None else _synonyms()[canonical]


@cache
def _synonyms() -> Mapping[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for member, canonical in default_lexicon().canonical.items():
        groups[canonical].append(member)
    return MappingProxyType({canonical: tuple(members) for canonical, members in groups.items()})
