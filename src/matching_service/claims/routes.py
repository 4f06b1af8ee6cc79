"""HTTP routes of claims."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import POLICIES, Action, Principal, authorize
from matching_service.api.deps import (
    IfMatch,
    PageDep,
    Permit,
    PrincipalDep,
    ReadSession,
    WriteSession,
    check_if_match,
    set_etag,
)
from matching_service.api.fields import Blank, EntityId
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer, answer_all, answer_row
from matching_service.api.problems import problem_responses
from matching_service.claims import queries, service
from matching_service.claims.schemas import Claim, ClaimCreate, ClaimStep, JudgedClaim, Score, ScoreBody
from matching_service.claims.states import LIFE, ClaimStatus
from matching_service.store.claims import ClaimRow

router = APIRouter(prefix="/v1/claims", tags=["claims"], route_class=RememberingRoute)

CanRead = Annotated[Principal, Depends(Permit(Action.CLAIM_READ))]
CanReadAll = Depends(Permit(Action.CLAIM_READ_OFFICE))
CanWrite = Annotated[Principal, Depends(Permit(Action.CLAIM_WRITE))]
CanJudge = Annotated[Principal, Depends(Permit(Action.CLAIM_JUDGE))]


@router.post("", status_code=201, dependencies=[Idempotent], responses=problem_responses(404, 409))
async def create_claim(body: ClaimCreate, session: WriteSession, principal: CanWrite, response: Response) -> Claim:
    """Create a claim: an offer to solve an open demand."""
    row = await service.create_claim(session, body, principal)
    response.headers["Location"] = f"/v1/claims/{row.id}"
    return answer_row(response, row, Claim)


@router.get("", dependencies=[CanReadAll])
async def list_claims(
    session: ReadSession,
    page: PageDep,
    demand_id: Annotated[EntityId | None, Blank] = None,
    status: Annotated[ClaimStatus | None, Blank] = None,
) -> ListAnswer[JudgedClaim]:
    """List claims, newest first, each with its mean score and number of score sheets."""
    claims = await queries.list_claims(session, page, demand_id=demand_id, status=status)
    return ListAnswer(items=await _judged(session, claims.items), next_cursor=claims.next_cursor)


@router.get("/{claim_id}", responses=problem_responses(404))
async def read_claim(
    claim_id: str, session: ReadSession, principal: CanRead, response: Response
) -> JudgedClaim | Claim:
    """Read one claim: a portal what became of it, the office also what its score sheets say."""
    row = await queries.get_claim(session, claim_id, scope=principal.scope)
    set_etag(response, row.row_version)
    if principal.role not in POLICIES[Action.CLAIM_READ_OFFICE]:
        return Claim.model_validate(row)
    return (await _judged(session, [row]))[0]


@router.post("/{claim_id}/transitions", dependencies=[Idempotent], responses=problem_responses(404, 409, 412))
async def transition_claim(
    claim_id: str,
    body: ClaimStep,
    session: WriteSession,
    principal: PrincipalDep,
    response: Response,
    if_match: IfMatch = None,
) -> Claim:
    """Choose, decline or withdraw a claim. Choosing a claim moves its demand to `contracted`."""
    authorize(principal, LIFE.action(body.to) or Action.CLAIM_JUDGE)
    row = await queries.get_claim(session, claim_id, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    row = await service.transition_claim(session, row, body, principal)
    return answer_row(response, row, Claim)


@router.put("/{claim_id}/scores", responses=problem_responses(404, 409))
async def judge_claim(claim_id: str, body: ScoreBody, session: WriteSession, principal: CanJudge) -> Score:
    """Submit your own score sheet, or the sheet of a guest judge named in `judge`.

    It replaces the sheet that you submitted for the same judge before. It never replaces a sheet from another sender.
    """
    row = await queries.get_claim(session, claim_id, for_update=True)  # the lock makes concurrent judges take turns
    return Score.model_validate(await service.judge_claim(session, row, body, principal))


@router.get("/{claim_id}/scores", dependencies=[CanReadAll], responses=problem_responses(404))
async def read_scores(claim_id: str, session: ReadSession) -> ListAnswer[Score]:
    """List the score sheets of a claim, oldest first."""
    await queries.get_claim(session, claim_id)
    rows = await queries.list_scores(session, claim_id)
    return answer_all(rows, Score)


async def _judged(session: AsyncSession, rows: Sequence[ClaimRow]) -> list[JudgedClaim]:
    judgements = await queries.judgements(session, [row.id for row in rows])
    return [
        JudgedClaim(
            **Claim.model_validate(row).model_dump(exclude={"next_statuses"}),
            score=judgements[row.id].score,
            n_sheets=judgements[row.id].n_sheets,
        )
        for row in rows
    ]
