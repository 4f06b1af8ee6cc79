"""The words we add to general Chinese: domain terms, stop words, synonyms. Read once, immutable, versioned.

Files in ``data/``: ``userdict.txt`` (one word a line with its frequency and part of speech), ``stopwords.txt`` (one
word a line; a leading + marks a bare word), ``synonyms.txt`` (one group a line, separated by commas). Lines that start
with # are comments.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from matching_service.text.normalise import fold

_FORMAT_VERSION = "5"
_BARE = "+"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The added words, all folded. ``version`` changes when any of them changes.

    user_words : word -> frequency for the tokenizer.
    stop_words : words that carry no topic; they are dropped.
    bare_words : words that people search for (公司) but whose single characters say nothing; they get no n-grams.
    canonical : synonym -> the member that stands for its group.
    """

    user_words: Mapping[str, int]
    stop_words: frozenset[str]
    bare_words: frozenset[str]
    canonical: Mapping[str, str]
    version: str


@cache
def default_lexicon() -> Lexicon:
    """The lexicon that ships with the service."""
    return parse_lexicon(
        *(_read(name) for name in ("userdict.txt", "stopwords.txt", "synonyms.txt")),
    )


def parse_lexicon(user_dictionary: str, stop_words: str, synonyms: str) -> Lexicon:
    """Build a lexicon from the contents of the three files. Raises ValueError that quotes a bad line."""
    digest = hashlib.sha256()
    for part in (_FORMAT_VERSION, user_dictionary, stop_words, synonyms):
        digest.update(part.encode() + b"\0")
    return Lexicon(
        user_words=dict(_parse_user_words(user_dictionary)),
        stop_words=frozenset(fold(line) for line in _lines(stop_words) if not line.startswith(_BARE)),
        bare_words=frozenset(fold(line[1:]) for line in _lines(stop_words) if line.startswith(_BARE)),
        canonical=dict(_parse_synonyms(synonyms)),
        version=digest.hexdigest()[:12],
    )


def _read(name: str) -> str:
    return (files("matching_service.text") / "data" / name).read_text(encoding="utf-8")


def _lines(content: str) -> Iterator[str]:
    for line in content.splitlines():
        if (stripped := line.strip()) and not stripped.startswith("#"):
            yield stripped


def _parse_user_words(content: str) -> Iterator[tuple[str, int]]:
    for line in _lines(content):
        word, frequency, *_ = [*line.rsplit(maxsplit=2), ""]
        if not frequency.isdecimal() or int(frequency) == 0:
            raise ValueError(f"user dictionary: expected 'word frequency tag' with a frequency above 0, got {line!r}")
        yield fold(word), int(frequency)


def _parse_synonyms(content: str) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for line in _lines(content):
        members = [fold(member.strip()) for member in line.split(",") if member.strip()]
        for member in members:
            if seen.setdefault(member, members[0]) != members[0]:
                raise ValueError(f"synonyms: {member!r} is in two groups, the second is {line!r}")
            yield member, members[0]
