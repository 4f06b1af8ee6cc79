"""Time and ids: UTC only, and ids that sort by the moment they were made.

This is the only clock of the service: nothing else reads the time of the machine. Durations are measured with
``time.monotonic`` and ``time.perf_counter``; the ages of files are compared with the times of other files.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

import uuid_utils

ID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_CHINA = timezone(timedelta(hours=8))
_MILLISECOND = timedelta(milliseconds=1)

_ahead = timedelta(0)
"""How far this clock is ahead of the machine's. Only tests change it: all modules import ``now`` by name."""


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC) + _ahead


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as 36 lower-case characters: unique, and sortable by creation time."""
    made = uuid_utils.uuid7()
    if _ahead:
        made = uuid_utils.UUID(int=made.int + (_ahead // _MILLISECOND << 80))  # the first 48 of 128 bits
    return str(made)


def is_id(text: str) -> bool:
    """True for what can be an id of ours, whether it belongs to a row or not."""
    return re.fullmatch(ID_PATTERN, text) is not None


def today() -> date:
    """The present day in China, where the people live who are asked."""
    return day_of(now())


def day_of(moment: datetime) -> date:
    """The day in China at that moment: UTC+8 all year round."""
    return in_china(moment).date()


def in_china(moment: datetime) -> datetime:
    """The same moment as clocks in China show it."""
    return moment.astimezone(_CHINA)


def start_of(day: date) -> datetime:
    """The moment at which that day begins in China, in UTC."""
    return datetime.combine(day, time.min, _CHINA).astimezone(UTC)
