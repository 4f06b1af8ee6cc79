"""Keyset pagination: a cursor holds the id of the last row returned, so that pages neither skip nor repeat rows."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from matching_service.foundation.clock import is_id
from matching_service.foundation.errors import Bilingual, InvalidInput

DEFAULT_LIMIT = 20
MAX_LIMIT = 200


Row = TypeVar("Row", covariant=True)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for one page of a list sorted by id, newest first. ``after`` is the last id of the previous page."""

    limit: int = DEFAULT_LIMIT
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The items of one page. ``next_cursor`` is None on the last page."""

    items: Sequence[Row]
    next_cursor: str | None


def page_of(rows: Sequence[Item], limit: int, id_of: Callable[[Item], str]) -> Page[Item]:
    """Return the first ``limit`` rows as a page. A query reads ``limit + 1`` rows to learn if another page follows."""
    items = rows[:limit]
    return Page(items, encode_cursor(id_of(items[-1])) if len(rows) > limit else None)


def encode_cursor(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Return the id in a cursor. Raise InvalidInput if the cursor is malformed."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        last_id = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        last_id = ""
    if not is_id(last_id):
        message = Bilingual(
            "翻页游标无效，请从第一页重新读取。",
            "The cursor is not valid; start again from the first page.",
        )
        raise InvalidInput.at("cursor", "invalid_cursor", message)
    return last_id
