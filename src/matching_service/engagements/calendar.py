"""A person's calendar, as entries in the order of days and as iCalendar (RFC 5545). Pure."""

from collections.abc import Iterable
from datetime import date, timedelta

from matching_service.engagements.schemas import KIND_NAMES, CalendarEntry, Engagement
from matching_service.store.engagements import EngagementRow

MAX_DAYS = 92


def week_of(day: date) -> tuple[date, date]:
    """Monday and Sunday of the day's week."""
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def entries(rows: Iterable[EngagementRow], first: date, last: date, *, on: date) -> list[CalendarEntry]:
    """Engagements and next steps of these days in their order; a next step not done before ``on`` is overdue."""
    found: list[CalendarEntry] = []
    for row in rows:
        engagement = Engagement.model_validate(row)
        if first <= row.held_on <= last:
            found.append(CalendarEntry(on=row.held_on, what="engagement", is_overdue=False, engagement=engagement))
        if row.next_step_on is not None and first <= row.next_step_on <= last:
            is_overdue = row.next_step_done_at is None and row.next_step_on < on
            entry = CalendarEntry(on=row.next_step_on, what="next_step", is_overdue=is_overdue, engagement=engagement)
            found.append(entry)
    return sorted(found, key=lambda entry: (entry.on, entry.what, entry.engagement.id))


def icalendar(found: Iterable[CalendarEntry]) -> str:
    """The entries as whole-day events, for the calendar program of a person."""
    from icalendar import Calendar, Event  # noqa: PLC0415  # a twentieth of a second that only this needs

    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//matching_service//calendar//ZH")
    for entry in found:
        one = entry.engagement
        is_step = entry.what == "next_step"
        summary = f"下一步：{one.next_step or '跟进'}" if is_step else KIND_NAMES[one.kind]  # type: ignore[index]
        if one.people and not is_step:
            summary = f"{summary}：{'、'.join(one.people)}"
        event = Event()
        event.add("uid", f"{one.id}-{entry.what}@matching_service")
        event.add("dtstamp", one.updated_at)
        event.add("dtstart", entry.on)
        event.add("summary", summary)
        if one.note and not is_step:
            event.add("description", one.note)
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written.decode()
