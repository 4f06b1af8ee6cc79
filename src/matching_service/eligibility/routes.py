"""HTTP route of the conflict check."""

from fastapi import APIRouter, Depends

from matching_service.access.policies import Action
from matching_service.api.deps import PageDep, Permit, ReadSession
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.eligibility.conflicts import find_conflicts
from matching_service.eligibility.schemas import ConflictBody, ConflictItem
from matching_service.foundation.clock import today

router = APIRouter(prefix="/v1", tags=["matches"], route_class=RememberingRoute)


CanReadMatches = Depends(Permit(Action.MATCH_READ))


@router.post(
    "/demands/{demand_id}/conflicts", dependencies=[CanReadMatches, Idempotent], responses=problem_responses(404)
)
async def check_conflicts(
    demand_id: str, session: ReadSession, page: PageDep, body: ConflictBody | None = None
) -> ListAnswer[ConflictItem]:
    """List the profiles that must not be proposed for a demand, ordered by id, each with all reasons.

    Checks all profiles if no candidates are given. Ranks nothing and reads no contact data.
    """
    candidates = body.candidates if body is not None else None
    conflicts = await find_conflicts(session, demand_id, candidates, page, on=today())
    return ListAnswer(items=list(conflicts.items), next_cursor=conflicts.next_cursor)
