"""Which profiles may be ranked. A value; each index decides by its own means who passes."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty or None restricts nothing. ``candidates`` ranks just these, all of them."""

    kinds: frozenset[str] = frozenset()
    region_prefixes: tuple[str, ...] = ()
    clusters: frozenset[str] = frozenset()
    overseas: bool | None = None
    candidates: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    excluded_organizations: frozenset[str] = frozenset()
    available_on: date | None = None


NO_FILTERS = Filters()
