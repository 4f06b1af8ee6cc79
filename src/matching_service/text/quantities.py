"""Numbers with units: 1000mm, 1 m, 1米 and 100厘米 are one length, so they become one term.

Works on folded text, which has lost its case. A prefix is therefore converted only where it has one common meaning for
the unit: mPa is rare beside MPa, but mW and MW are both common, so neither is converted to W.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_UNITS: dict[str, tuple[float, str]] = {
    **dict.fromkeys(("nm", "纳米"), (1e-9, "m")),
    **dict.fromkeys(("μm", "um", "微米"), (1e-6, "m")),
    **dict.fromkeys(("mm", "毫米"), (1e-3, "m")),
    **dict.fromkeys(("cm", "厘米"), (1e-2, "m")),
    **dict.fromkeys(("m", "米"), (1.0, "m")),
    **dict.fromkeys(("km", "千米", "公里"), (1e3, "m")),
    **dict.fromkeys(("mg", "毫克"), (1e-6, "kg")),
    **dict.fromkeys(("kg", "公斤", "千克"), (1.0, "kg")),
    "吨": (1e3, "kg"),
    **dict.fromkeys(("ml", "毫升"), (1e-3, "l")),
    **dict.fromkeys(("l", "升"), (1.0, "l")),
    **dict.fromkeys(("pa", "帕"), (1.0, "pa")),
    **dict.fromkeys(("kpa", "千帕"), (1e3, "pa")),
    **dict.fromkeys(("mpa", "兆帕"), (1e6, "pa")),
    "gpa": (1e9, "pa"),
    "bar": (1e5, "pa"),
    "hz": (1.0, "hz"),
    "khz": (1e3, "hz"),
    "mhz": (1e6, "hz"),
    "ghz": (1e9, "hz"),
    **dict.fromkeys(("v", "伏"), (1.0, "v")),
    "kv": (1e3, "v"),
    **dict.fromkeys(("w", "瓦"), (1.0, "w")),
    **dict.fromkeys(("kw", "千瓦"), (1e3, "w")),
    "mw": (1.0, "mw"),
    "mah": (1e-3, "ah"),
    "ah": (1.0, "ah"),
    "kwh": (1.0, "kwh"),
    **dict.fromkeys(("db", "分贝"), (1.0, "db")),
    **dict.fromkeys(("dba", "db(a)"), (1.0, "db(a)")),
    **dict.fromkeys(("°c", "摄氏度"), (1.0, "°c")),
    **dict.fromkeys(("r/min", "rpm", "转/分"), (1.0, "rpm")),
    **dict.fromkeys(("ms", "毫秒"), (1e-3, "s")),
    **dict.fromkeys(("min", "分钟"), (60.0, "s")),
    "小时": (3600.0, "s"),
    "%": (1.0, "%"),
    "‰": (0.1, "%"),
    "ppm": (1.0, "ppm"),
}
_PATTERN = re.compile(
    r"(\d(?<![a-z0-9.]\d)\d{0,11}(?:\.\d{1,12})?)("
    + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
    + r")(?![a-z0-9])(?!(?<=[\u4e00-\u9fff])(?![以或的至到左不内上下长宽高厚深远])[\u4e00-\u9fff])"
)
"""A Chinese unit does not count if the next character may form another word with it: 4.0升级, 10米线."""


class Quantity(NamedTuple):
    """A quantity and its half-open span. Equal quantities have the same ``term``; it begins with =, as no word does."""

    term: str
    start: int
    end: int


def find_quantities(folded: str) -> Iterator[Quantity]:
    """Yield the quantities of a folded text from left to right."""
    for match in _PATTERN.finditer(folded):
        factor, base = _UNITS[match[2]]
        yield Quantity(f"={float(match[1]) * factor:.6g}{base}", *match.span())
