"""HTTP routes of the list of one demand as a file for an office."""

from anyio import to_thread
from fastapi import APIRouter, Depends, Response

from matching_service.access.policies import Action
from matching_service.api.deps import Permit, ReadSession
from matching_service.files.downloads import download, file_answer

router = APIRouter(prefix="/v1/demands", tags=["matches"], dependencies=[Depends(Permit(Action.MATCH_READ))])

_NAME = "推荐名单"


@router.get("/{demand_id}/matches.xlsx", **file_answer("xlsx", 404))
async def read_matches_xlsx(demand_id: str, session: ReadSession) -> Response:
    """Return the latest stored list of a demand as a sheet, with the decisions of staff."""
    from matching_service.files.shortlists import read_shortlist, shortlist_xlsx  # noqa: PLC0415  # slow to import

    content = await to_thread.run_sync(shortlist_xlsx, await read_shortlist(session, demand_id))
    return download(content, "xlsx", _NAME, plain="matches")


@router.get("/{demand_id}/matches.docx", **file_answer("docx", 404))
async def read_matches_docx(demand_id: str, session: ReadSession) -> Response:
    """Return the latest stored list of a demand as a letter to the enterprise, without rejected profiles."""
    from matching_service.files.shortlists import read_shortlist, shortlist_docx  # noqa: PLC0415  # slow to import

    content = await to_thread.run_sync(shortlist_docx, await read_shortlist(session, demand_id))
    return download(content, "docx", _NAME, plain="matches")
