"""Which profiles may be ranked, decided on whole columns."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from matching_service.index.contract import BoolArray
from matching_service.index.segment import ProfileColumns, text_key
from matching_service.index.snapshot import Part, Snapshot

_DIGITS_OF_A_REGION = 6


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty or None restricts nothing. ``candidates`` ranks just these, all of them."""

    kinds: frozenset[str] = frozenset()
    region_prefixes: tuple[str, ...] = ()
    clusters: frozenset[str] = frozenset()
    candidates: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    excluded_organizations: frozenset[str] = frozenset()
    available_on: date | None = None


NO_FILTERS = Filters()


def allowed_profiles(snapshot: Snapshot, filters: Filters) -> BoolArray:
    """bool, shape (n_profiles with those that are gone,)."""
    allowed = np.concatenate([np.zeros(0, dtype=np.bool_), *(_allowed(part, filters) for part in snapshot.parts)])
    if filters.candidates is not None:
        wanted = np.zeros_like(allowed)
        wanted[snapshot.find(filters.candidates)] = True
        allowed &= wanted
    if filters.exclude:
        allowed[snapshot.find(filters.exclude)] = False
    return allowed


def _allowed(part: Part, filters: Filters) -> BoolArray:
    columns = part.segment.profiles
    allowed = part.alive.copy()
    if filters.available_on is not None:
        day = np.datetime64(filters.available_on)
        allowed &= ~((columns.available_from > day) | (columns.available_until < day))  # not a time compares as False
    if filters.kinds:
        allowed &= np.isin(columns.kinds, [text_key(kind) for kind in filters.kinds])
    if filters.region_prefixes:
        allowed &= np.logical_or.reduce([_in_region(columns, prefix) for prefix in filters.region_prefixes])
    if filters.clusters:
        wanted = np.array([text_key(cluster) for cluster in filters.clusters], dtype=np.uint64)
        allowed &= _any_in_row(np.isin(columns.clusters.values, wanted), columns)
    for organization_id in filters.excluded_organizations:
        allowed &= columns.organizations != text_key(organization_id)
    return allowed


def _in_region(columns: ProfileColumns, prefix: str) -> BoolArray:
    """A code that begins with the prefix lies in a range of numbers."""
    width = 10 ** (_DIGITS_OF_A_REGION - len(prefix))
    first = int(prefix) * width
    return np.asarray((columns.regions >= first) & (columns.regions < first + width), dtype=np.bool_)


def _any_in_row(marked: BoolArray, columns: ProfileColumns) -> BoolArray:
    counts = np.concatenate([[0], np.cumsum(marked)])
    starts = columns.clusters.starts
    return np.asarray(counts[starts[1:]] > counts[starts[:-1]], dtype=np.bool_)
