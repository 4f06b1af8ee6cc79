"""Read claims, their score sheets and the mean scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.claims.states import ClaimStatus
from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.claims import ClaimRow, ClaimScoreRow
from matching_service.store.lookup import get_page, get_row
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.scope import Scope


@dataclass(frozen=True, slots=True)
class Judgement:
    """The summary of a claim's score sheets.

    n_sheets : the number of sheets.
    score : the mean of their totals, in [0, 100]; None without a sheet.
    """

    n_sheets: int = 0
    score: float | None = None


async def get_claim(
    session: AsyncSession, claim_id: str, *, for_update: bool = False, scope: Scope | None = None
) -> ClaimRow:
    """The row, with ``for_update`` locked to the end of the transaction.

    Raises NotFound, also for a claim of neither a profile nor an organization of the scope.
    """
    where = true() if scope is None else _made_within(scope)
    if (row := await get_row(session, ClaimRow, claim_id, for_update=for_update, where=where)) is None:
        raise not_found(Bilingual("揭榜", "Claim"), claim_id, code="claim_not_found")
    return row


def _made_within(scope: Scope) -> ColumnElement[bool]:
    profiles = select(ProfileRow.id).where(scope.of(ProfileRow))
    organizations = select(OrganizationRow.id).where(scope.of(OrganizationRow))
    return ClaimRow.profile_id.in_(profiles) | ClaimRow.organization_id.in_(organizations)


async def list_claims(
    session: AsyncSession, page: PageRequest, *, demand_id: str | None = None, status: ClaimStatus | None = None
) -> Page[ClaimRow]:
    statement = select(ClaimRow)
    if demand_id:
        statement = statement.where(ClaimRow.demand_id == demand_id)
    if status:
        statement = statement.where(ClaimRow.status == status.value)
    return await get_page(session, statement, ClaimRow, page)


async def judgements(session: AsyncSession, claim_ids: Sequence[str]) -> dict[str, Judgement]:
    """Return the judgement of each claim by id, also of claims without a sheet."""
    statement = (
        select(ClaimScoreRow.claim_id, func.count().label("n_sheets"), func.avg(ClaimScoreRow.total).label("score"))
        .where(ClaimScoreRow.claim_id.in_(claim_ids))
        .group_by(ClaimScoreRow.claim_id)
    )
    by_claim = {row.claim_id: Judgement(row.n_sheets, round(row.score, 2)) for row in await session.execute(statement)}
    return {claim_id: by_claim.get(claim_id, Judgement()) for claim_id in claim_ids}


async def list_scores(session: AsyncSession, claim_id: str) -> Sequence[ClaimScoreRow]:
    """Return the score sheets of a claim, oldest first."""
    statement = select(ClaimScoreRow).where(ClaimScoreRow.claim_id == claim_id).order_by(ClaimScoreRow.id)
    return (await session.scalars(statement)).all()
