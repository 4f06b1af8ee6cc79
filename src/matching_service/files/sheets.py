"""A table as it stands in a file: rows of raw cells with their numbers, before anybody has asked what they mean."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matching_service.foundation.errors import Bilingual


class CellError(str):
    """What a spreadsheet shows where a formula failed, such as #N/A. It is no text of anybody's."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RawRow:
    """``number``: of its first line, from 1. ``error``: what makes the row unreadable."""

    number: int
    cells: Sequence[Any]
    error: Bilingual | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """A range of merged cells, rows from 1 and columns from 0, all inclusive. Its value stands in the first cell."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """``read`` starts over at each call, so that a big sheet is never in memory as a whole.

    name : None for a file without sheets.
    """

    name: str | None
    read: Callable[[], Iterator[RawRow]]
    merges: Sequence[Merge] = ()
    is_visible: bool = True
    starts_in_1904: bool = False


def is_filled(cell: Any) -> bool:
    return cell.strip() != "" if isinstance(cell, str) else cell is not None
