"""The HTTP routes of reports."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Response

from matching_service.access.policies import Action
from matching_service.api.admission import RankingTurn
from matching_service.api.deps import DatabaseDep, Permit
from matching_service.api.services import provided
from matching_service.programme.routes import PlanDep
from matching_service.reports.files import MEDIA_TYPES, Format, Templates, write_report
from matching_service.reports.schemas import Report
from matching_service.reports.service import make_report

router = APIRouter(prefix="/v1", tags=["reports"])

_FILES = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES.values()}
_FORMAT = Query(alias="format", description="Default: the format in `Accept`, else json.")


@router.get(
    "/reports/{period}",
    dependencies=[Depends(Permit(Action.REPORT_READ))],
    response_model=Report,
    responses={200: {"content": {name: _FILES[name] for name in list(_FILES)[1:]}}},
)
async def read_report(
    period: str,
    templates: Annotated[Templates, Depends(provided(Templates))],
    database: DatabaseDep,
    plan: PlanDep,
    turn: RankingTurn,
    format_: Annotated[Format | None, _FORMAT] = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Return the report of a year (2026), quarter (2026-Q3) or month (2026-09). A running period counts up to now."""
    chosen = format_ or _format_in(accept)
    async with turn:
        async with database.snapshot() as session:
            report = await make_report(session, plan, period)
        file = await to_thread.run_sync(write_report, report, templates, chosen)
    headers = {"Vary": "Accept"}
    if chosen != "json":
        headers["Content-Disposition"] = f'attachment; filename="report-{report.period.name}.{chosen}"'
    return Response(file, media_type=MEDIA_TYPES[chosen], headers=headers)


def _format_in(accept: str) -> Format:
    for name, media_type in MEDIA_TYPES.items():
        if media_type in accept:
            return name
    return "json"
