"""The rules of suggestions: eligibility of the profile, and preconditions and effects of each step."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.demands.queries import get_demand
from matching_service.demands.states import LIFE as DEMAND_LIFE
from matching_service.demands.states import OPEN, DemandStatus
from matching_service.demands.transitions import begin_matching
from matching_service.eligibility.conflicts import reasons_against, refuse_barred
from matching_service.eligibility.standings import standings_for
from matching_service.foundation.clock import new_id, now, today
from matching_service.foundation.errors import Bilingual, Conflict, FieldError, InvalidInput
from matching_service.profiles.queries import get_profile
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow
from matching_service.store.suggestions import SuggestionRow, SuggestionTransitionRow
from matching_service.suggestions.schemas import SuggestionCreate, SuggestionStep
from matching_service.suggestions.states import LIFE, RefusalReason, SuggestionStatus


async def create_suggestion(session: AsyncSession, body: SuggestionCreate, actor: Principal) -> SuggestionRow:
    """Propose a profile for an open demand.

    Raises NotFound. Raises Conflict if the demand is not open, the pair was suggested before, the profile may not be
    proposed for this demand (with all reasons), or the profile has reached its capacity.
    """
    demand = await get_demand(session, body.demand_id)
    profile = await get_profile(session, body.profile_id)
    _check_open(demand)
    await _check_new(session, demand, profile)
    refuse_barred(await reasons_against(session, demand, profile, on=today()))
    await _check_capacity(session, demand, profile)
    row = SuggestionRow(id=new_id(), demand=demand, profile=profile, status=SuggestionStatus.SUGGESTED)
    row.note = body.note
    session.add(row)
    await _record_step(session, row, None, actor)
    return row


async def transition_suggestion(
    session: AsyncSession, row: SuggestionRow, body: SuggestionStep, actor: Principal
) -> SuggestionRow:
    """Take one step. The first contact moves a published demand to ``matching``.

    Raises IllegalTransition, InvalidInput for a missing reason, Conflict for a contact when the demand is not open.
    """
    before = SuggestionStatus(row.status)
    step = LIFE.step(before, body.to)
    LIFE.check_needs(step, {"reason": body.reason})
    if body.reason is RefusalReason.OTHER and body.note is None:
        error = FieldError("needed_for_step", _OTHER_NEEDS_NOTE, "/note")
        raise InvalidInput("transition_incomplete", _OTHER_NEEDS_NOTE, errors=[error])
    if body.to is SuggestionStatus.CONTACTED:
        demand = await get_demand(session, row.demand_id)
        _check_open(demand)
        await begin_matching(session, demand, actor=actor)
    row.status, row.note = body.to, body.note
    row.reason = body.reason.value if body.reason is not None else None
    await _record_step(session, row, before, actor)
    return row


async def _record_step(
    session: AsyncSession, row: SuggestionRow, before: SuggestionStatus | None, actor: Principal
) -> None:
    """Flush the row's new state and write history, audit and event."""
    session.add(
        SuggestionTransitionRow(
            suggestion_id=row.id,
            from_status=before,
            to_status=row.status,
            reason=row.reason,
            note=row.note,
            actor_id=actor.id,
            at=now(),
        )
    )
    await session.flush()
    detail = {"from": before, "to": row.status, "demand_id": row.demand_id, "profile_id": row.profile_id}
    record_audit(session, actor, "transition", entity="suggestion", entity_id=row.id, detail=detail)
    record_event(session, f"suggestion.{row.status}", entity="suggestion", entity_id=row.id, detail=detail)


def _check_open(demand: DemandRow) -> None:
    if (status := DemandStatus(demand.status)) not in OPEN:
        message = Bilingual(
            f"需求 {demand.id} 现为 {DEMAND_LIFE.named(status)}，并未开放；只有已发布或对接中的需求可以推荐和联系。",
            f"Demand {demand.id} is {demand.status}; profiles are proposed only for published or matching demands.",
        )
        raise Conflict("demand_not_open", message)


async def _check_new(session: AsyncSession, demand: DemandRow, profile: ProfileRow) -> None:
    statement = select(SuggestionRow.id).where(
        SuggestionRow.demand_id == demand.id, SuggestionRow.profile_id == profile.id
    )
    if (known := await session.scalar(statement)) is not None:
        message = Bilingual(
            f"该画像已为此需求推荐过（推荐 {known}）。", f"The profile was already suggested for this demand: {known}."
        )
        raise Conflict("already_suggested", message)


async def _check_capacity(session: AsyncSession, demand: DemandRow, profile: ProfileRow) -> None:
    standing = (await standings_for(session, [demand.id]))[demand.id].get(profile.id)
    if profile.capacity is not None and standing is not None and standing.load >= profile.capacity:
        message = Bilingual(
            f"该画像在手 {standing.load} 项，上限 {profile.capacity} 项；如本人同意，请先调整 capacity。",
            f"The profile serves {standing.load} of at most {profile.capacity} demands; raise capacity if it agrees.",
        )
        raise Conflict("capacity_reached", message)


_OTHER_NEEDS_NOTE = Bilingual("原因为“其他”时须在 note 中说明。", "The reason “other” requires an explanation in note.")
