"""Fold the many spellings of a text into one, and map every folded character to its place in the original.

Folding reads HTML as a browser shows it and words of Taiwan and Hong Kong as those of the mainland. It normalises
compatibility forms (NFKC: full-width letters, ㎡, ligatures), radicals, variants and traditional characters, case and
dashes. It drops invisible characters, thousands separators and the space between a number and its unit. It writes the
number of axes, phases and the like in Chinese, and the sign of a number as a minus. Segmentation into words is in
``tokenizer.py``.
"""

import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from opencc import OpenCC

from matching_service.text.markup import shown_text
from matching_service.text.regional import mainland_words, pattern_of
from matching_service.text.spans import Spans, spans_or_identity, substitute

_HAN_BLOCKS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
_DASHES = dict.fromkeys("‐‑‒–—―−﹣", "-")
_UNITS = (
    "%|‰|°c|°f|°|k|nm|um|μm|mm|cm|dm|km|m|mg|kg|g|t|ml|l|hz|khz|mhz|ghz|pa|kpa|mpa|gpa|db|dba|v|kv|mv|a|ma|ah|mah|"
    "w|kw|mw|gw|wh|kwh|kw·h|mwh|n|kn|nm|r/min|rpm|h|min|s|ms|ppm|ppb|bar|lm|cd|mol|元|万元|亿元|万吨|吨|米|毫米|厘米|"
    "微米|纳米|公斤|千克|克|升|毫升|小时|分钟|秒|天|年|倍|度|台|套|件|转/分|千瓦|兆帕"
)
_INVISIBLE = re.compile(r"[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\x00-\x08]")
_GROUPED = re.compile(
    r"(?<![a-z0-9_.,])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![a-z0-9_.,])[1-9]\d{0,2}(?: \d{3})+(?=[ \t]*(?:[万亿])?(?:"
    + _UNITS
    + r")(?![a-z]))"
)
"""A number in groups of three digits, by commas, or by blanks before a unit."""
_MONEY = re.compile(r"[ \t]*(?:[万亿]?元|[万亿]|美元|人|台|套|件|吨|户|家|亩)")
_BEFORE_UNIT = re.compile(rf"(?<=\d)[ \t]+(?=[万亿]?(?:{_UNITS})(?![a-z]))")
_UNIT_AHEAD = re.compile(rf"[ \t]*[万亿]?(?:{_UNITS})(?![a-z])")
_COUNTED = re.compile(
    r"(?<![a-z0-9_.\-])(?:[2-9]|10|两)(?=轴|相(?![关互同对应似])|自由度|坐标|联动|缸|冲程|工位|极(?![大小高])|通道|辊|连杆|维(?![护修持]))"
)
"""Arabic digits of what is counted by name: 5轴 is 五轴. The other way round, 三水 and 五金 would become numbers."""
_CHINESE = dict(zip(("2", "3", "4", "5", "6", "7", "8", "9", "10", "两"), "二三四五六七八九十二", strict=True))
_MINUS = re.compile(r"(?:零下|负)(?=[ \t]*\d)")
_STEADY = re.compile(r"[ -~\u4e00-\u9fff]+(?=[ -~\u4e00-\u9fff]|\Z)")
"""A run of characters that NFKC does not change. Excludes its last character if a combining one may follow."""

_CASED_BEYOND_BMP = range(0x10400, 0x1E944)
"""From the first to the last letter with a lower case outside the Basic Multilingual Plane."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text and, per folded character, the half-open span of the original text behind it.

    ``spans`` is None in the common case, when every character maps to the same position.
    """

    text: str
    spans: Spans | None

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original text behind ``text[start:end]``. Requires start < end."""
        if self.spans is None:
            return start, end
        return self.spans[start][0], self.spans[end - 1][1]


def fold(text: str) -> str:
    """Return the folded text without spans, about twice as fast. Idempotent."""
    shown, _ = shown_text(text)
    folded = _INVISIBLE.sub("", _fold_single_characters(_regional().sub(_mainland, shown)))
    if not unicodedata.is_normalized("NFKC", folded):
        folded, _ = _compose(folded, None)
    for pattern, replacement in _NUMBERS:
        folded = pattern.sub(replacement, folded)
    return folded


def fold_with_spans(text: str) -> Folded:
    """Fold ``text`` and keep the original span of each folded character."""
    shown, spans = shown_text(text)
    shown, spans = substitute(_regional(), _mainland, shown, spans)
    folded, spans = substitute(_INVISIBLE, _nothing, _fold_single_characters(shown), spans)
    if not unicodedata.is_normalized("NFKC", folded):
        folded, spans = _compose(folded, spans)
    for pattern, replacement in _NUMBERS:
        folded, spans = substitute(pattern, replacement, folded, spans)
    return Folded(folded, spans)


def simplify(text: str) -> str:
    """Replace compatibility forms and traditional characters; keep case and the rest.

    For models that were trained on simplified Chinese only.
    """
    return str(_simplifier().convert(unicodedata.normalize("NFKC", text)))


def _nothing(_match: re.Match[str]) -> str:
    return ""


def _mainland(match: re.Match[str]) -> str:
    return mainland_words(_simplified)[match[0]]


def _joined_groups(match: re.Match[str]) -> str:
    """Join the groups of one number. 100,200,300 rpm, which rise, are three speeds; 100,000 rpm is one number."""
    number, end = match[0], match.end()
    groups = number.split(",")
    is_list = len(groups[0]) == _GROUP and groups == sorted(set(groups)) and len(groups) > 1
    if is_list and _UNIT_AHEAD.match(match.string, end) and not _MONEY.match(match.string, end):
        return number
    return number.replace(",", "").replace(" ", "")


_GROUP = 3
_NUMBERS = (
    (_GROUPED, _joined_groups),
    (_BEFORE_UNIT, _nothing),
    (_MINUS, lambda _match: "-"),
    (_COUNTED, lambda match: _CHINESE[match[0]]),
)


@cache
def _regional() -> re.Pattern[str]:
    return pattern_of(mainland_words(_simplified))


def _simplified(text: str) -> str:
    return str(_simplifier().convert(text))


@cache
def _simplifier() -> OpenCC:
    return OpenCC("t2s")


@cache
def _single_characters() -> dict[int, str]:
    """Map code points to their folded character, for characters that fold to one, independent of their neighbours."""
    convert = _simplifier().convert
    han = "".join(
        map(
            chr,
            (code for first, last in _HAN_BLOCKS for code in range(first, last + 1)),
        )
    )
    simplified = dict(zip(han, convert(han), strict=True)) if len(convert(han)) == len(han) else {}
    variants = _variants()
    table: dict[int, str] = {}
    for code in range(min(sys.maxunicode, 0xFFFF) + 1):
        character = chr(code)
        if unicodedata.combining(character) or 0xD800 <= code <= 0xDFFF:
            continue
        folded, before = character, ""
        while folded != before:  # some need two rounds: a superscript minus becomes a minus, then a dash
            before = folded
            folded = unicodedata.normalize("NFKC", folded)
            folded = folded.lower() if len(folded.lower()) == 1 else folded
            folded = _DASHES.get(folded, variants.get(folded, simplified.get(folded, folded)))
        if len(folded) == 1 and folded != character and not unicodedata.combining(folded):
            table[code] = folded
    for character in map(chr, _CASED_BEYOND_BMP):
        if character.lower() != character:  # Deseret, Osage and the like; the rest of these planes has no case
            table[ord(character)] = character.lower()
    table[ord("İ")] = "i"  # the only letter whose lower case is two characters
    table[ord("µ")] = "μ"
    return table


def _variants() -> dict[str, str]:
    """Radicals and variants that neither NFKC nor OpenCC knows, by character."""
    content = (files("matching_service.text") / "data" / "variants.txt").read_text(encoding="utf-8")
    lines = (line.split(" ", 1) for line in content.splitlines() if not line.startswith("#"))
    return dict(lines)


def _fold_single_characters(text: str) -> str:
    """Do the same as ``str.translate``, about four times faster on a text with few changes."""
    table = _single_characters()
    return _single_character().sub(lambda match: table[ord(match[0])], text)


@cache
def _single_character() -> re.Pattern[str]:
    return re.compile(f"[{re.escape(''.join(map(chr, _single_characters())))}]")


def _compose(text: str, spans: Spans | None) -> tuple[str, Spans]:
    """Apply NFKC to each cluster (a base character and its combining ones), so that every position stays known."""
    before = spans_or_identity(text, spans)
    characters: list[str] = []
    after: Spans = []
    start = 0
    while start < len(text):
        if steady := _STEADY.match(text, start):
            characters.append(steady.group())
            after += before[start : steady.end()]
            start = steady.end()
            continue
        end = start + 1
        while end < len(text) and _joins_previous(text[end]):
            end += 1
        cluster = unicodedata.normalize("NFKC", text[start:end]).lower().translate(_single_characters())
        characters.append(cluster)
        after += [(before[start][0], before[end - 1][1])] * len(cluster)
        start = end
    return "".join(characters), after


def _joins_previous(character: str) -> bool:
    return (
        unicodedata.combining(character) != 0
        or "\u1160" <= character <= "\u11ff"  # Hangul vowels and finals
        or character in "\uff9e\uff9f\u3099\u309a"  # voicing marks of kana
    )
