"""The clock of the service, in UTC, and ids that sort by creation time.

No other module reads the system time. Durations are measured with ``time.monotonic`` and ``time.perf_counter``; file
ages are compared with the modification times of other files.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

import uuid_utils

ID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_CHINA = timezone(timedelta(hours=8))
_MILLISECOND = timedelta(milliseconds=1)

_ahead = timedelta(0)
"""The offset of this clock from the system clock.

Only tests set it. They cannot patch ``now`` itself, because all modules import it by name.
"""


def now() -> datetime:
    """Return the current time as an aware datetime in UTC."""
    return datetime.now(UTC) + _ahead


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562) of 36 lower-case characters. Ids sort by creation time."""
    made = uuid_utils.uuid7()
    if _ahead:
        made = uuid_utils.UUID(int=made.int + (_ahead // _MILLISECOND << 80))  # timestamp: the first 48 of 128 bits
    return str(made)


def is_id(text: str) -> bool:
    """Return True if the text has the form of an id; a row with that id need not exist."""
    return re.fullmatch(ID_PATTERN, text) is not None


def today() -> date:
    """Return the current date in China, where the users live."""
    return day_of(now())


def day_of(moment: datetime) -> date:
    """Return the date in China (UTC+8, no daylight saving time) at that moment."""
    return in_china(moment).date()


def in_china(moment: datetime) -> datetime:
    """Convert an aware datetime to China Standard Time."""
    return moment.astimezone(_CHINA)


def start_of(day: date) -> datetime:
    """Return midnight in China at the start of that day, in UTC."""
    return datetime.combine(day, time.min, _CHINA).astimezone(UTC)
