"""HTTP routes of engagements and calendars."""

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import IfMatch, PageDep, Permit, ReadSession, WriteSession, check_if_match
from matching_service.api.fields import Blank, EntityId
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer, answer_page, answer_row
from matching_service.api.problems import problem_responses
from matching_service.engagements import queries, service
from matching_service.engagements.calendar import MAX_DAYS, entries, icalendar, week_of
from matching_service.engagements.schemas import (
    Calendar,
    Engagement,
    EngagementCreate,
    EngagementPatch,
    Kind,
    Staff,
)
from matching_service.foundation.clock import today
from matching_service.foundation.errors import Bilingual, InvalidInput

router = APIRouter(prefix="/v1", tags=["engagements"], route_class=RememberingRoute)

CanRead = Depends(Permit(Action.ENGAGEMENT_READ))
Reader = Annotated[Principal, CanRead]
CanWrite = Annotated[Principal, Depends(Permit(Action.ENGAGEMENT_WRITE))]
OfStaff = Annotated[Staff | None, Blank, Query(description="Name of the person whose it is; by default yours.")]
_Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2100, 12, 31))]
From = Annotated[_Day | None, Blank, Query(alias="from", description="First day.")]
To = Annotated[_Day | None, Blank, Query(alias="to", description="Last day, included.")]


@router.post("/engagements", status_code=201, dependencies=[Idempotent])
async def create_engagement(
    body: EngagementCreate, session: WriteSession, principal: CanWrite, response: Response
) -> Engagement:
    """Record a contact, visit, meeting, training or roadshow that was held or is planned."""
    row = await service.create_engagement(session, body, principal)
    response.headers["Location"] = f"/v1/engagements/{row.id}"
    return answer_row(response, row, Engagement)


@router.get("/engagements", dependencies=[CanRead])
async def list_engagements(
    session: ReadSession,
    page: PageDep,
    kind: Annotated[Kind | None, Blank] = None,
    staff: Annotated[Staff | None, Blank] = None,
    organization_id: Annotated[EntityId | None, Blank] = None,
    demand_id: Annotated[EntityId | None, Blank] = None,
    profile_id: Annotated[EntityId | None, Blank] = None,
    first: From = None,
    last: To = None,
) -> ListAnswer[Engagement]:
    """List engagements, newest record first."""
    engagements = await queries.list_engagements(
        session,
        page,
        kind=kind,
        staff=staff,
        organization_id=organization_id,
        demand_id=demand_id,
        profile_id=profile_id,
        first=first,
        last=last,
    )
    return answer_page(engagements, Engagement)


@router.get("/engagements/{engagement_id}", dependencies=[CanRead], responses=problem_responses(404))
async def read_engagement(engagement_id: str, session: ReadSession, response: Response) -> Engagement:
    """Read one engagement."""
    row = await queries.get_engagement(session, engagement_id)
    return answer_row(response, row, Engagement)


@router.patch("/engagements/{engagement_id}", responses=problem_responses(404, 412))
async def update_engagement(
    engagement_id: str,
    body: EngagementPatch,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Engagement:
    """Change the fields that are sent, such as the outcome, the next step, or that the next step is done."""
    row = await queries.get_engagement(session, engagement_id)
    check_if_match(if_match, row.row_version)
    row = await service.update_engagement(session, row, body, principal)
    return answer_row(response, row, Engagement)


@router.get("/calendar")
async def read_calendar(
    session: ReadSession, principal: Reader, staff: OfStaff = None, first: From = None, last: To = None
) -> Calendar:
    """List a person's engagements and next steps by day, by default for this week."""
    days = _days(first, last)
    rows = await queries.in_calendar(session, queries.whose(staff, principal), *days)
    return Calendar(staff=staff or principal.name, first=days[0], last=days[1], items=entries(rows, *days, on=today()))


@router.get("/calendar/due")
async def read_due(session: ReadSession, principal: Reader, staff: OfStaff = None) -> Calendar:
    """List a person's next steps that are not done and due by the end of this week, including overdue ones."""
    day = today()
    last = week_of(day)[1]
    rows = await queries.due_until(session, queries.whose(staff, principal), last)
    items = [entry for entry in entries(rows, date.min, last, on=day) if entry.what == "next_step"]
    return Calendar(staff=staff or principal.name, first=items[0].on if items else day, last=last, items=items)


@router.get("/calendar.ics", response_class=Response, responses={200: {"content": {"text/calendar": {}}}})
async def read_icalendar(
    session: ReadSession, principal: Reader, staff: OfStaff = None, first: From = None, last: To = None
) -> Response:
    """Export the calendar as iCalendar for a calendar program, by default four weeks from this Monday."""
    start = first or week_of(today())[0]
    days = _days(start, last or start + timedelta(days=27))
    rows = await queries.in_calendar(session, queries.whose(staff, principal), *days)
    return Response(icalendar(entries(rows, *days, on=today())), media_type="text/calendar; charset=utf-8")


def _days(first: date | None, last: date | None) -> tuple[date, date]:
    """Return both days; a missing one defaults to the start or end of the week.

    Raises InvalidInput unless the range has 1 to MAX_DAYS days.
    """
    first = first or week_of(last or today())[0]
    last = last or week_of(first)[1]
    if not 0 <= (last - first).days < MAX_DAYS:
        message = Bilingual(
            f"from 至 to 须为 1 至 {MAX_DAYS} 天。", f"From 'from' to 'to' it must be 1 to {MAX_DAYS} days."
        )
        raise InvalidInput.at("to", "invalid_days", message)
    return first, last
