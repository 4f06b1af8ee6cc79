"""Calendar entries of a person, sorted by day and as iCalendar (RFC 5545). Pure functions without database access."""

from collections.abc import Iterable
from datetime import date, timedelta

from matching_service.engagements.schemas import KIND_NAMES, CalendarEntry, Engagement
from matching_service.store.engagements import EngagementRow

MAX_DAYS = 92


def week_of(day: date) -> tuple[date, date]:
    """Return the Monday and Sunday of the week that contains ``day``."""
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def entries(rows: Iterable[EngagementRow], first: date, last: date, *, on: date) -> list[CalendarEntry]:
    """Return the engagements and next steps from ``first`` to ``last``, both included, sorted by day.

    A next step is overdue if it is not done and was due before ``on``.
    """
    items: list[CalendarEntry] = []
    for row in rows:
        engagement = Engagement.model_validate(row)
        if first <= row.held_on <= last:
            items.append(CalendarEntry(on=row.held_on, what="engagement", is_overdue=False, engagement=engagement))
        if row.next_step_on is not None and first <= row.next_step_on <= last:
            is_overdue = row.next_step_done_at is None and row.next_step_on < on
            entry = CalendarEntry(on=row.next_step_on, what="next_step", is_overdue=is_overdue, engagement=engagement)
            items.append(entry)
    return sorted(items, key=lambda entry: (entry.on, entry.what, entry.engagement.id))


def icalendar(items: Iterable[CalendarEntry]) -> str:
    """Return the entries as all-day events in iCalendar text."""
    from icalendar import Calendar, Event  # noqa: PLC0415  # the import takes 50 ms and only this function needs it

    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//matching_service//calendar//ZH")
    for entry in items:
        engagement = entry.engagement
        is_step = entry.what == "next_step"
        summary = f"下一步：{engagement.next_step or '跟进'}" if is_step else KIND_NAMES[engagement.kind]  # type: ignore[index]
        if engagement.people and not is_step:
            summary = f"{summary}：{'、'.join(engagement.people)}"
        event = Event()
        event.add("uid", f"{engagement.id}-{entry.what}@matching_service")
        event.add("dtstamp", engagement.updated_at)
        event.add("dtstart", entry.on)
        event.add("summary", summary)
        if engagement.place and not is_step:
            event.add("location", engagement.place)
        if engagement.note and not is_step:
            event.add("description", engagement.note)
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written.decode()
