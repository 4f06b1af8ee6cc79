"""Moments are UTC; a day is the one that people in China are in."""

from datetime import UTC, date, datetime, timedelta, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching_service.foundation import clock


def test_the_present_moment_knows_its_zone() -> None:
    assert clock.now().tzinfo is UTC


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 22, 16, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 12, 31, 23, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2026, 7, 1, 15, 59, tzinfo=UTC), date(2026, 7, 1)),
    ],
)
def test_a_day_begins_at_midnight_in_china(monkeypatch: pytest.MonkeyPatch, moment: datetime, day: date) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return moment.astimezone(tz)

    monkeypatch.setattr(clock, "datetime", Stopped)
    assert clock.today() == day


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)))
def test_a_day_is_all_that_lies_between_its_start_and_the_next(day: date) -> None:
    start = clock.start_of(day)
    assert clock.in_china(start).time().isoformat() == "00:00:00"
    assert clock.day_of(start) == day
    assert clock.day_of(start - timedelta(microseconds=1)) == day - timedelta(days=1)
