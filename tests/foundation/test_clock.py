"""Moments are UTC; a day is the one that people in China are in; all processes of a test have one clock."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest
from conftest import Clock
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import UUID

from matching_service.foundation.clock import day_of, in_china, new_id, now, start_of, today


def moment_of(id_: str) -> datetime:
    """The moment that a UUIDv7 holds, in whole milliseconds."""
    return datetime.fromtimestamp(UUID(id_).timestamp / 1000, UTC)


def test_the_present_moment_knows_its_zone() -> None:
    assert now().tzinfo is UTC


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 22, 16, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 12, 31, 15, 30, tzinfo=UTC), date(2026, 12, 31)),
        (datetime(2026, 12, 31, 16, 30, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2028, 2, 28, 16, tzinfo=UTC), date(2028, 2, 29)),
        (datetime(2026, 7, 1, 15, 59, tzinfo=UTC), date(2026, 7, 1)),
    ],
)
def test_a_day_begins_at_midnight_in_china(moment: datetime, day: date) -> None:
    assert day_of(moment) == day


@pytest.mark.parametrize("hour", [0, 23])
def test_today_is_the_day_in_china_also_where_utc_has_another_year(clock: Clock, hour: int) -> None:
    new_year = date(today().year + 1, 1, 1)
    clock.set(start_of(new_year) + timedelta(hours=hour, minutes=10))
    assert today() == new_year
    assert now().date() == (new_year if hour else new_year - timedelta(days=1))


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)))
def test_a_day_is_all_that_lies_between_its_start_and_the_next(day: date) -> None:
    start = start_of(day)
    assert in_china(start).time().isoformat() == "00:00:00"
    assert day_of(start) == day
    assert day_of(start - timedelta(microseconds=1)) == day - timedelta(days=1)


@pytest.mark.parametrize("days", [0, 1500.5, -1500.5])
def test_an_id_holds_the_moment_of_the_clock(clock: Clock, days: float) -> None:
    clock.advance(days=days)
    before = now()
    ids = [new_id() for _ in range(2000)]
    tolerance = timedelta(milliseconds=2)  # an id holds whole milliseconds
    assert all(before - tolerance <= moment_of(id_) <= now() + tolerance for id_ in ids)
    assert ids == sorted(set(ids)), "they sort by the moment they were made, also within a millisecond"
    assert {UUID(id_).version for id_ in ids} == {7}


def test_a_process_that_a_test_starts_has_the_clock_of_the_test(pytestconfig: pytest.Config) -> None:
    before = now()
    script = "from matching_service.foundation import clock; print(clock.now().isoformat())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert before <= datetime.fromisoformat(done.stdout.strip()) <= now()
    if (as_if := pytestconfig.getoption("as_if")) is not None:
        assert timedelta(0) <= before - datetime.fromisoformat(as_if) < timedelta(hours=6)
