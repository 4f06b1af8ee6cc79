"""The regions of China by six-digit code (GB/T 2260), and the lookup of codes by name.

The table has all provinces, prefectures and counties. Provinces, prefecture-level cities and the districts of Guangdong
have English names. All other regions use the Chinese name for both languages.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType

from matching_service.foundation.errors import Bilingual

_KIND = re.compile("(?:(?:壮族|回族|维吾尔)?自治区|特别行政区|地区|[省市区县旗盟])$")
_SHORTEST = 2


@dataclass(frozen=True, slots=True)
class Region:
    """A region. ``parent`` is the code of the region that contains it; None for a province."""

    code: str
    name: Bilingual
    parent: str | None


@cache
def regions() -> Mapping[str, Region]:
    """Return all regions by code, sorted by code."""
    path = files("matching_service.foundation") / "data" / "regions.csv"
    with path.open(encoding="utf-8") as file:
        rows = csv.DictReader(file)
        by_code = {
            row["code"]: Region(row["code"], Bilingual(row["zh"], row["en"] or row["zh"]), row["parent"] or None)
            for row in rows
        }
    return MappingProxyType(by_code)


def path_of(code: str) -> Sequence[Region]:
    """Return the region and its ancestors, from the province down; empty for an unknown code."""
    path: list[Region] = []
    region = regions().get(code)
    while region is not None:
        path.insert(0, region)
        region = regions().get(region.parent) if region.parent is not None else None
    return path


@lru_cache(maxsize=4_096)
def codes_named(name: str) -> Sequence[str]:
    """Return the codes of the regions with that name, in ascending order.

    Accepts short and full names: 南海, 南海区, 佛山市南海区, 广东省佛山市南海区. Several regions can
    share a name, such as 朝阳区.
    """
    text = re.sub(r"[\s/／·,，\-—]+", "", name)
    if exact := _by_name().get(text):
        return exact
    return _ending(text)


def _ending(text: str) -> Sequence[str]:
    """Match a concatenation of names such as 佛山市南海区: the last names the region, the others its ancestors."""
    for start in range(1, len(text) - _SHORTEST + 1):
        codes = [code for code in _by_name().get(text[start:], ()) if _lies_in(code, text[:start])]
        if codes:
            return codes
    return ()


def _lies_in(code: str, outer: str) -> bool:
    """Return True if ``outer`` is a concatenation of names of the region's ancestors, the largest first."""
    names = [_names_of(region) for region in path_of(code)[:-1]]
    rest = outer
    for choices in names:
        taken = next((choice for choice in sorted(choices, key=len, reverse=True) if rest.startswith(choice)), "")
        rest = rest[len(taken) :]
    return not rest


@cache
def _by_name() -> Mapping[str, Sequence[str]]:
    by_name: dict[str, list[str]] = defaultdict(list)
    for region in regions().values():
        for name in _names_of(region):
            by_name[name].append(region.code)
    return by_name


def _names_of(region: Region) -> set[str]:
    """Return the full name, and the name without suffix if two characters remain: 南海区 and 南海, but only 城区."""
    short = _KIND.sub("", region.name.zh)
    return {region.name.zh, short} if len(short) >= _SHORTEST else {region.name.zh}
