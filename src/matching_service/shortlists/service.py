"""The list that people see for a demand, and their decisions about it."""

from typing import Any

from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.demands.queries import get_demand
from matching_service.eligibility.conflicts import exclusions_of, may_be_proposed
from matching_service.eligibility.schemas import MatchedProfile
from matching_service.foundation.clock import now, today
from matching_service.shortlists import queries
from matching_service.shortlists.schemas import DecisionBody, ExplanationAnswer, IndexAnswer, MatchAnswer, MatchItem
from matching_service.store.lookup import get_by_ids
from matching_service.store.matching import DecisionRow
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow


async def latest_matches(session: AsyncSession, demand_id: str) -> MatchAnswer:
    """The list that people see for a demand; raises NotFound."""
    demand = await get_demand(session, demand_id)
    match_list, run = await queries.get_latest_list(session, demand_id)
    matches = (await queries.get_matches(session, [match_list.id]))[match_list.id]
    profiles = await get_by_ids(session, ProfileRow, (match.profile_id for match in matches))
    decisions = (await queries.get_decisions(session, [demand_id]))[demand_id]
    own = demand.organization_id
    excluded = (await exclusions_of(session, [own]))[own]

    def answer() -> MatchAnswer:
        return MatchAnswer(
            run_id=run.id,
            index=IndexAnswer(version=run.index_version, as_of=run.index_as_of, profiles=run.index_profiles),
            weights_version=run.weights_version,
            took_ms=match_list.took_ms,
            items=[
                MatchItem(
                    rank=match.rank,
                    profile=MatchedProfile.model_validate(profile),
                    score=match.score,
                    level=match.level,  # type: ignore[arg-type]  # written by store_list
                    explanation=_explanation(match.explanation),
                    match_id=match.id,
                    decision=_decision(decisions.get(match.profile_id)),
                )
                for match in matches
                if (profile := profiles.get(match.profile_id)) is not None  # deleted since the list was read
                and may_be_proposed(profile, own, excluded, on=today())  # changed since the list was stored
            ],
        )

    return await to_thread.run_sync(answer)


def _explanation(stored: dict[str, Any] | None) -> ExplanationAnswer | None:
    return ExplanationAnswer.model_validate(stored) if stored else None


def _decision(row: DecisionRow | None) -> Any:
    return row.decision if row is not None else None


async def decide(session: AsyncSession, match_id: str, body: DecisionBody, actor: Principal) -> DecisionRow:
    """Keep what a person decided about a profile for a demand; it holds for every later run."""
    match, match_list = await queries.get_match(session, match_id)
    decisions = await queries.get_decisions(session, [match_list.demand_id])
    row = decisions[match_list.demand_id].get(match.profile_id)
    if row is None:
        row = DecisionRow(demand_id=match_list.demand_id, profile_id=match.profile_id)
        session.add(row)
    row.decision, row.reason, row.actor_id, row.at = body.decision, body.reason, actor.id, now()
    await session.flush()
    record_audit(session, actor, body.decision, entity="match", entity_id=match_id)
    decided = {"demand_id": row.demand_id, "profile_id": row.profile_id}
    record_event(session, f"match.{body.decision}", entity="match", entity_id=match_id, detail=decided)
    return row
