"""HTTP door of the conflict check."""

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
    """Profiles that may never be proposed for a demand, with every reason, in the order of their ids.

    Without candidates over all profiles. It ranks nothing, and asks for no contact data.
    """
    candidates = body.candidates if body is not None else None
    found = await find_conflicts(session, demand_id, candidates, page, on=today())
    return ListAnswer(items=list(found.items), next_cursor=found.next_cursor)
