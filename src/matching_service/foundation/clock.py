"""Time and ids: UTC only, and ids that sort by the moment they were made."""

from datetime import UTC, datetime

import uuid_utils


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as 36 lower-case characters: unique, and sortable by creation time."""
    return str(uuid_utils.uuid7())
