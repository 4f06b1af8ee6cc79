"""Every list of codes that the interface takes, as rows of a code, its names, and the code that it lies in."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, NamedTuple

from matching_service.demands.states import STATUS_NAMES
from matching_service.foundation.errors import Bilingual
from matching_service.foundation.regions import regions
from matching_service.profiles.schemas import KIND_NAMES

ListName = Literal["regions", "clusters", "kinds", "industries", "cooperation", "statuses", "decisions"]
_COOPERATION = MappingProxyType(
    {
        "independent": Bilingual("自主研发", "in-house development"),
        "commissioned": Bilingual("委托研发", "commissioned development"),
        "joint": Bilingual("合作研发", "joint development"),
        "other": Bilingual("其他", "other"),
    }
)
_DECISIONS = MappingProxyType(
    {
        "pinned": Bilingual("置顶", "pinned"),
        "shortlisted": Bilingual("入围", "shortlisted"),
        "rejected": Bilingual("排除", "rejected"),
    }
)


class Code(NamedTuple):
    code: str
    zh: str
    en: str
    parent: str | None = None


def codes(name: ListName, *, clusters: Iterable[str]) -> Sequence[Code]:
    """The list of this name; ``clusters``: those of the plan, which are known by their Chinese names alone."""
    if name == "clusters":
        return [Code(cluster, cluster, cluster) for cluster in clusters]
    return _LISTS[name]()


def _named(names: Mapping[str, Bilingual]) -> Sequence[Code]:
    return [Code(code, name.zh, name.en) for code, name in names.items()]


def _regions() -> Sequence[Code]:
    return [Code(one.code, one.name.zh, one.name.en, one.parent) for one in regions().values()]


@cache
def _industries() -> Sequence[Code]:
    """Sections of GB/T 4754-2017 and the divisions of manufacturing."""
    with (files("matching_service.codes") / "industries.csv").open(encoding="utf-8") as file:
        return [Code(row["code"], row["zh"], row["en"], row["parent"] or None) for row in csv.DictReader(file)]


def _statuses() -> Sequence[Code]:
    return [Code(state.value, name, state.value.replace("_", " ")) for state, name in STATUS_NAMES.items()]


_LISTS: Mapping[str, Callable[[], Sequence[Code]]] = MappingProxyType(
    {
        "regions": _regions,
        "kinds": lambda: _named(KIND_NAMES),
        "industries": _industries,
        "cooperation": lambda: _named(_COOPERATION),
        "statuses": _statuses,
        "decisions": lambda: _named(_DECISIONS),
    }
)
