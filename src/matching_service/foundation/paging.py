"""Keyset paging: a cursor names the last row that was seen, so pages neither skip nor repeat rows."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from matching_service.foundation.clock import is_id
from matching_service.foundation.errors import InvalidInput, Text

DEFAULT_LIMIT = 20
MAX_LIMIT = 200


Row = TypeVar("Row", covariant=True)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page of a list that is ordered by id, newest first. ``after`` is the last id of the page before."""

    limit: int = DEFAULT_LIMIT
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """``items`` of this page and the cursor of the next one, or None at the end."""

    items: Sequence[Row]
    next_cursor: str | None


def page_of(found: Sequence[Item], limit: int, id_of: Callable[[Item], str]) -> Page[Item]:
    """The page at the beginning of what was found, of which one more than ``limit`` says that there is another."""
    items = found[:limit]
    return Page(items, encode_cursor(id_of(items[-1])) if len(found) > limit else None)


def encode_cursor(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The id inside a cursor; raises InvalidInput for anything we did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        last_id = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        last_id = ""
    if not is_id(last_id):
        message = Text(
            "翻页游标无效，请从第一页重新读取。",
            "The cursor is not valid; start again from the first page.",
        )
        raise InvalidInput.at("cursor", "invalid_cursor", message)
    return last_id
