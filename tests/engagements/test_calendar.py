"""A calendar: days in order, what is overdue, and iCalendar that programs can read."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching_service.engagements.calendar import entries, icalendar, week_of
from matching_service.store.engagements import EngagementRow

MOMENT = datetime(2026, 11, 25, 8, tzinfo=UTC)
FIRST, LAST = date(2026, 11, 23), date(2026, 11, 29)


def engagement(n: int, held_on: date, **fields: object) -> EngagementRow:
    values = {"kind": "visit", "staff": "李", "people": [], "created_at": MOMENT, "updated_at": MOMENT} | fields
    return EngagementRow(id=f"id-{n}", held_on=held_on, **values)


def test_a_week_begins_on_monday() -> None:
    assert week_of(date(2026, 11, 25)) == week_of(FIRST) == week_of(LAST) == (FIRST, LAST)


def test_entries_stand_in_the_order_of_days_and_say_what_is_overdue() -> None:
    rows = [
        engagement(1, date(2026, 11, 27), next_step="报价", next_step_on=date(2026, 12, 1)),
        engagement(2, date(2026, 11, 1), next_step="回访", next_step_on=date(2026, 11, 24)),
        engagement(3, date(2026, 11, 2), next_step="寄样", next_step_on=date(2026, 11, 24), next_step_done_at=MOMENT),
        engagement(4, FIRST, next_step="签字", next_step_on=LAST),
    ]
    found = [(entry.on.day, entry.what, entry.is_overdue, entry.engagement.id) for entry in
             entries(rows, FIRST, LAST, on=date(2026, 11, 25))]  # fmt: skip
    assert found == [
        (23, "engagement", False, "id-4"),
        (24, "next_step", True, "id-2"),
        (24, "next_step", False, "id-3"),
        (27, "engagement", False, "id-1"),
        (29, "next_step", False, "id-4"),
    ]


@pytest.mark.parametrize("place", ["顺德区大良街道 8 号", "A; B, C", None])
def test_the_place_is_the_location_of_the_event_and_not_of_its_next_step(place: str | None) -> None:
    row = engagement(1, FIRST, place=place, next_step="跟进", next_step_on=LAST)
    lines = unfolded(icalendar(entries([row], FIRST, LAST, on=FIRST)))
    wanted = [] if place is None else ["LOCATION:" + place.replace(";", "\\;").replace(",", "\\,")]
    assert [line for line in lines if line.startswith("LOCATION")] == wanted


def unfolded(text: str) -> list[str]:
    assert text.endswith("\r\n")
    return text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n"), max_size=200))
def test_icalendar_holds_any_text_in_short_lines(note: str) -> None:
    row = engagement(1, FIRST, people=["陈工", "a;b,c"], note=note or None, next_step="跟进", next_step_on=LAST)
    text = icalendar(entries([row], FIRST, LAST, on=FIRST))
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    lines = unfolded(text)
    assert (lines[0], lines[-1]) == ("BEGIN:VCALENDAR", "END:VCALENDAR")
    assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 2
    assert "SUMMARY:走访：陈工、a\\;b\\,c" in lines
    assert "DTSTART;VALUE=DATE:20261129" in lines
    described = [line.removeprefix("DESCRIPTION:") for line in lines if line.startswith("DESCRIPTION:")]
    plain = [
        one.replace("\\\\", "\0").replace("\\n", "\n").replace("\\;", ";").replace("\\,", ",") for one in described
    ]
    assert [one.replace("\0", "\\") for one in plain] == ([note] if note else [])
