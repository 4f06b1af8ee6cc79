"""Numbers with units: 1000mm, 1 m, 1米 and 100厘米 are one length, so they become one term.

Works on folded text, which has lost its case. A prefix is therefore converted only where it has one common meaning for
the unit: mPa is rare beside MPa, but mW and MW are both common, so neither is converted to W. A unit after a range or a
list belongs to each of its numbers: -40~85°c holds -40°c and 85°c, 100,200,300rpm three speeds.
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
    "克": (1e-3, "kg"),
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
    **dict.fromkeys(("kv", "千伏"), (1e3, "v")),
    **dict.fromkeys(("w", "瓦"), (1.0, "w")),
    **dict.fromkeys(("kw", "千瓦"), (1e3, "w")),
    "mw": (1.0, "mw"),
    "mah": (1e-3, "ah"),
    "ah": (1.0, "ah"),
    **dict.fromkeys(("kwh", "kw·h", "kw.h", "千瓦时", "千瓦·时", "千瓦小时", "度电"), (1.0, "kwh")),
    **dict.fromkeys(("db", "分贝"), (1.0, "db")),
    **dict.fromkeys(("dba", "db(a)"), (1.0, "db(a)")),
    **dict.fromkeys(("°c", "摄氏度"), (1.0, "°c")),
    **dict.fromkeys(("r/min", "rpm", "转/分", "转/分钟", "转每分", "转每分钟"), (1.0, "rpm")),
    **dict.fromkeys(("ms", "毫秒"), (1e-3, "s")),
    "秒": (1.0, "s"),
    **dict.fromkeys(("min", "分钟"), (60.0, "s")),
    **dict.fromkeys(("h", "小时"), (3600.0, "s")),
    "%": (1.0, "%"),
    "‰": (0.1, "%"),
    "ppm": (1.0, "ppm"),
}
_DEGREE = "度"
"""A kilowatt-hour after words on electricity (耗电9万度), a temperature below zero or after 温, else an angle."""
_PER: dict[str, tuple[float, str]] = {
    **dict.fromkeys(("s", "秒"), (1.0, "s")),
    **dict.fromkeys(("min", "分钟", "分"), (60.0, "s")),
    **dict.fromkeys(("h", "小时"), (3600.0, "s")),
    **dict.fromkeys(("l", "升"), (1.0, "l")),
    **dict.fromkeys(("t", "吨"), (1e3, "kg")),
    "kg": (1.0, "kg"),
    **dict.fromkeys(("cm3", "立方厘米"), (1e-6, "m3")),
    **dict.fromkeys(("m3", "立方米"), (1.0, "m3")),
}
_TIMES = {"": 1.0, "万": 1e4, "亿": 1e8}
_NOT_THESE = {
    "米": "线粉饭饼制酒糠浆",
    "升": "级降华高温压学职力起腾空程",
    "瓦": "楞片砾斯时·小",
    "伏": "特安案击笔",
    "帕": "金",
    "克": "隆服拉制",
    "秒": "杀表级",
    "度": "假过量",
    "千瓦": "时·小",
    "吨": "位",
    "小时": "候",
    "转/分": "钟",
    "转每分": "钟",
}
"""Characters with which a Chinese unit is the beginning of another word: 4.0升级, 10米线."""

_NUMBER = r"(?:(?<![a-z0-9)])-)?\d{1,12}(?:\.\d{1,12})?"
_JOINT = r"[~〜,、/\-×x*至到]|\.{2,3}|…+|--"
_UNIT = "|".join(
    re.escape(unit) + (f"(?![{_NOT_THESE[unit]}])" if unit in _NOT_THESE else "")
    for unit in sorted((*_UNITS, _DEGREE), key=len, reverse=True)
)
_PATTERN = re.compile(
    rf"(?<![a-z0-9.])(?P<numbers>(?:{_NUMBER}(?:{_JOINT})){{0,12}}{_NUMBER})(?P<times>[万亿]?)(?P<unit>{_UNIT})"
    rf"(?P<per>/(?:{'|'.join(sorted(map(re.escape, _PER), key=len, reverse=True))})(?![a-z0-9/]))?(?![a-z0-9])"
)
_EACH = re.compile(_NUMBER)
_ELECTRICITY = re.compile(r"电[^，。；,;]{0,6}$")
_TEMPERATURE = re.compile(r"温度?[^，。；,;\d]{0,3}$")
_LOOK_BACK = 8
_STEEL = re.compile(r"(?<!\d)(?:30[1-9]|31[0-9]|32[19]|347)$")
"""Grades of stainless steel: 316l is no volume."""


def is_unit(text: str) -> bool:
    """Tell whether the letters after a number may be its unit."""
    return text in _UNITS


class Quantity(NamedTuple):
    """A quantity and its half-open span. Equal quantities have the same ``term``; it begins with =, as no word does.

    Of a range or a list, the last has the unit in its span, the others have the number alone.
    """

    term: str
    start: int
    end: int


def find_quantities(folded: str) -> Iterator[Quantity]:
    """Yield the quantities of a folded text from left to right."""
    for match in _PATTERN.finditer(folded):
        unit = match["unit"]
        if unit == _DEGREE:
            before = folded[max(0, match.start() - _LOOK_BACK) : match.start()]
            if _ELECTRICITY.search(before):
                unit = "kwh"
            elif "-" in match["numbers"][0] or _TEMPERATURE.search(before):
                unit = "°c"
            else:
                continue
        if unit == "l" and _STEEL.search(folded, match.start("numbers"), match.start("unit")):
            continue
        factor, base = _UNITS[unit]
        factor *= _TIMES[match["times"]]
        if match["per"]:
            divisor, per = _PER[match["per"][1:]]
            factor, base = factor / divisor, f"{base}/{per}"
        numbers = list(_EACH.finditer(folded, *match.span("numbers")))
        for number in numbers:
            end = match.end() if number is numbers[-1] else number.end()
            yield Quantity(f"={float(number[0]) * factor:.6g}{base}", number.start(), end)
