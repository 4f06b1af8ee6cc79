"""The words we add to general Chinese: domain terms, stop words, synonyms. Read once, immutable, versioned.

The technical terms of ``data/terms`` have names in nine languages; all names of one concept are one term.

Files in ``data/``: ``userdict.txt`` (one word a line with its frequency and part of speech), ``stopwords.txt`` (one
word a line; a leading + marks a bare word), ``synonyms.txt`` (one group a line, separated by commas). Lines that start
with # are comments.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from matching_service.text.normalise import fold

_FORMAT_VERSION = "6"
_BARE = "+"
_HEADING = "zh\t"
_SHORTEST_FOREIGN = 3
"""Two letters stand for too many things; those that are settled are in ``synonyms.txt``."""
_COMMON_WORDS = frozenset(
    """
    can pet arm cap led bar fit all map car act ram sip net set pan tip art ate der die das les des que por con para
    lapping wear
    """.split()  # noqa: SIM905  # a list of forty strings is no easier to read
)
"""Folded names that are common words of some language."""
HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff"
"""The Chinese characters, for a class in a pattern."""
HAN_RUN = re.compile(f"[{HAN}]+")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The added words, all folded. ``version`` changes when any of them changes.

    user_words : word -> frequency for the tokenizer.
    stop_words : words that carry no topic; they are dropped.
    bare_words : words that people search for (公司) but whose single characters say nothing; they get no n-grams.
    canonical : synonym -> the member that stands for its group.
    foreign : name of a concept in another language, folded -> its Chinese name, one with synonyms if it has any.
    spoken : member that stands for a group -> a Chinese name of it. Its words and characters stand for the group
        where a text has a name without Chinese characters.
    technical : Chinese words of the technical vocabulary.
    """

    user_words: Mapping[str, int]
    stop_words: frozenset[str]
    bare_words: frozenset[str]
    canonical: Mapping[str, str]
    foreign: Mapping[str, str]
    spoken: Mapping[str, str]
    technical: frozenset[str]
    version: str


@cache
def default_lexicon() -> Lexicon:
    """The lexicon that ships with the service."""
    folder = files("matching_service.text") / "data" / "terms"
    terms = sorted((file for file in folder.iterdir() if file.name.endswith(".tsv")), key=lambda file: file.name)
    return parse_lexicon(
        _read("userdict.txt"),
        _read("stopwords.txt"),
        _read("synonyms.txt"),
        "".join(file.read_text(encoding="utf-8") for file in terms),
    )


def parse_lexicon(user_dictionary: str, stop_words: str, synonyms: str, terms: str = "") -> Lexicon:
    """Build a lexicon from the contents of the files. Raises ValueError that quotes a bad line."""
    digest = hashlib.sha256()
    for part in (_FORMAT_VERSION, user_dictionary, stop_words, synonyms, terms):
        digest.update(part.encode() + b"\0")
    canonical = dict(_parse_synonyms(synonyms))
    dropped = frozenset(fold(line.removeprefix(_BARE)) for line in _lines(stop_words))
    user_words = dict(_parse_user_words(user_dictionary))
    foreign = _add_concepts(terms, canonical, user_words, dropped)
    return Lexicon(
        user_words=user_words,
        stop_words=frozenset(fold(line) for line in _lines(stop_words) if not line.startswith(_BARE)),
        bare_words=frozenset(fold(line[1:]) for line in _lines(stop_words) if line.startswith(_BARE)),
        canonical=canonical,
        foreign=foreign,
        spoken=_chinese_names(canonical),
        technical=frozenset({*user_words, *canonical, *foreign.values()}),
        version=digest.hexdigest()[:12],
    )


def _add_concepts(
    terms: str, canonical: dict[str, str], words: Collection[str], dropped: frozenset[str]
) -> dict[str, str]:
    """Add the Chinese names of the concepts to the synonyms, and return their names in other languages.

    A concept that has a name among the synonyms joins that group. A name that another group has stays with that group.
    """
    foreign: dict[str, str] = {}
    rows = [line.split("\t")[:-1] for line in _lines(terms) if not line.startswith(_HEADING)]
    every = [name for cells in rows for cell in cells for name in cell.split("|")]
    folded = dict(zip(every, fold("\n".join(every)).split("\n"), strict=bool(every)))  # at once: ten times faster
    for cells in rows:
        names = [folded[name] for cell in cells[:2] for name in cell.split("|") if name]
        others = [folded[name] for cell in cells[2:] for name in cell.split("|") if len(name) >= _SHORTEST_FOREIGN]
        leader = next((canonical[name] for name in (*names, *others) if name in canonical), None)
        if leader is None and len(known := [name for name in names if name in words]) > 1:
            leader = known[0]
        if leader is not None:
            for name in names:
                if name in words:
                    canonical.setdefault(name, leader)
        for name in others:
            if not (name in canonical or name in names or name in dropped or name in _COMMON_WORDS):
                foreign.setdefault(name, next((own for own in names if own in canonical), names[0]))
    return foreign


def _chinese_names(canonical: Mapping[str, str]) -> dict[str, str]:
    """Return, for each member that stands for a group, itself or the first Chinese member of its group."""
    chinese: dict[str, str] = {}
    for name, leader in canonical.items():
        if HAN_RUN.fullmatch(name) and (name == leader or leader not in chinese):
            chinese[leader] = name
    return chinese


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
