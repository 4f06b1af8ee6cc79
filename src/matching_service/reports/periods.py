"""The period of a report: a year, a quarter or a month in China's time zone (UTC+8)."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from matching_service.foundation.clock import day_of, start_of
from matching_service.foundation.errors import Bilingual, InvalidInput

_NAME = re.compile(r"(20[0-9]{2})(?:-(?:Q([1-4])|(0[1-9]|1[0-2])))?")
_QUARTERS = "一二三四"


@dataclass(frozen=True, slots=True)
class Period:
    """The days ``first`` to ``until``, both included, or the half-open time span from ``start`` to ``end``.

    ``last`` is the period's last day. While it lies in the future, ``until`` and ``end`` are today and now.
    """

    name: str
    label: str
    first: date
    last: date
    until: date
    start: datetime
    end: datetime

    @property
    def is_complete(self) -> bool:
        return self.end == start_of(self.last + timedelta(days=1))


def parse_period(name: str, *, at: datetime) -> Period:
    """Parse a name such as 2026, 2026-Q3 or 2026-09. A running period ends at the moment ``at``.

    Raises InvalidInput for any other name and for a period that has not begun.
    """
    if (match := _NAME.fullmatch(name)) is None:
        raise InvalidInput.at("period", "invalid_period", _INVALID)
    year, quarter, month = (int(part) if part else 0 for part in match.groups())
    first_month = month or 3 * quarter - 2 if month or quarter else 1
    last_month = month or 3 * quarter or 12
    first = date(year, first_month, 1)
    last = date(year, last_month, monthrange(year, last_month)[1])
    if first > day_of(at):
        message = Bilingual(
            f"{name} 从 {first} 开始，尚未到来，没有可报告的内容。",
            f"{name} begins on {first}, so there is nothing to report yet.",
        )
        raise InvalidInput.at("period", "future_period", message)
    part = f"第{_QUARTERS[quarter - 1]}季度" if quarter else f"{month}月" if month else ""
    end = start_of(last + timedelta(days=1))
    return Period(
        name=name,
        label=f"{year}年{part}",
        first=first,
        last=last,
        until=min(last, day_of(at)),
        start=start_of(first),
        end=min(end, at),
    )


_INVALID = Bilingual(
    "报告期应写作 2026（年）、2026-Q3（季）或 2026-09（月）。",
    "Write a period as 2026 (a year), 2026-Q3 (a quarter) or 2026-09 (a month).",
)
