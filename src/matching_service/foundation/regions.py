"""The regions of China by their codes of six digits (GB/T 2260), and codes by the names that people write.

The table has all provinces, prefectures and counties. English names stand where they are certain: provinces, cities of
prefecture level, and Guangdong's districts; elsewhere the Chinese name serves for both.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType

from matching_service.foundation.errors import Text

_KIND = re.compile("(?:(?:壮族|回族|维吾尔)?自治区|特别行政区|地区|[省市区县旗盟])$")
_SHORTEST = 2


@dataclass(frozen=True, slots=True)
class Region:
    """``parent``: the code of the region that it lies in; None for a province."""

    code: str
    name: Text
    parent: str | None


@cache
def regions() -> Mapping[str, Region]:
    """All regions by code, in the order of the codes."""
    path = files("matching_service.foundation") / "data" / "regions.csv"
    with path.open(encoding="utf-8") as file:
        rows = csv.DictReader(file)
        found = {
            row["code"]: Region(row["code"], Text(row["zh"], row["en"] or row["zh"]), row["parent"] or None)
            for row in rows
        }
    return MappingProxyType(found)


def path_of(code: str) -> Sequence[Region]:
    """The region and those that it lies in, from the province down; empty for an unknown code."""
    path: list[Region] = []
    region = regions().get(code)
    while region is not None:
        path.insert(0, region)
        region = regions().get(region.parent) if region.parent is not None else None
    return path


@lru_cache(maxsize=4_096)
def codes_named(name: str) -> Sequence[str]:
    """Codes of the regions that a name may stand for, rising: 南海区, 南海, 佛山市南海区, 广东省佛山市南海区.

    More than one where several regions have that name (朝阳区); none where no region has it.
    """
    text = re.sub(r"[\s/／·,，\-—]+", "", name)
    if exact := _by_name().get(text):
        return exact
    return _ending(text)


def _ending(text: str) -> Sequence[str]:
    """Names of regions in one another, written without a break: the last one decides, the others must contain it."""
    for start in range(1, len(text) - _SHORTEST + 1):
        codes = [code for code in _by_name().get(text[start:], ()) if _lies_in(code, text[:start])]
        if codes:
            return codes
    return ()


def _lies_in(code: str, outer: str) -> bool:
    """True when ``outer`` is names of regions that hold this one, the larger first."""
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
    """The full name, and the short one where enough is left of it: 南海区 and 南海, but only 城区."""
    short = _KIND.sub("", region.name.zh)
    return {region.name.zh, short} if len(short) >= _SHORTEST else {region.name.zh}
