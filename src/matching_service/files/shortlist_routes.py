"""HTTP routes of the list of one demand as a file for an office."""

from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Depends, Response

from matching_service.access.policies import Action
from matching_service.api.deps import Permit, ReadSession
from matching_service.api.problems import problem_responses

router = APIRouter(prefix="/v1/demands", tags=["matches"], dependencies=[Depends(Permit(Action.MATCH_READ))])

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.get(
    "/{demand_id}/matches.xlsx",
    response_class=Response,
    responses={200: {"content": {_XLSX: _BINARY}}, **problem_responses(404)},
)
async def read_matches_xlsx(demand_id: str, session: ReadSession) -> Response:
    """Return the latest stored list of a demand as a sheet, with the decisions of staff."""
    from matching_service.files.shortlists import read_shortlist, shortlist_xlsx  # noqa: PLC0415  # slow to import

    shortlist = await read_shortlist(session, demand_id)
    return _file(await to_thread.run_sync(shortlist_xlsx, shortlist), _XLSX, "推荐名单.xlsx")


@router.get(
    "/{demand_id}/matches.docx",
    response_class=Response,
    responses={200: {"content": {_DOCX: _BINARY}}, **problem_responses(404)},
)
async def read_matches_docx(demand_id: str, session: ReadSession) -> Response:
    """Return the latest stored list of a demand as a letter to the enterprise, without rejected profiles."""
    from matching_service.files.shortlists import read_shortlist, shortlist_docx  # noqa: PLC0415  # slow to import

    shortlist = await read_shortlist(session, demand_id)
    return _file(await to_thread.run_sync(shortlist_docx, shortlist), _DOCX, "推荐名单.docx")


def _file(content: bytes, media_type: str, name: str) -> Response:
    plain = f"matches{name[-5:]}"
    headers = {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"}
    return Response(content, media_type=media_type, headers=headers)
