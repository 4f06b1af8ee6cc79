"""The visible list of a demand, and decisions about its matches."""

from collections.abc import Sequence

from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.demands.queries import get_demand
from matching_service.eligibility.cases import Case
from matching_service.eligibility.schemas import MatchedProfile
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Bilingual, NotFound
from matching_service.shortlists import queries
from matching_service.shortlists.causes import changes_of
from matching_service.shortlists.lists import ListEntry, NewList, finish_run, store_lists
from matching_service.shortlists.schemas import DecisionBody, ExplanationAnswer, IndexAnswer, MatchAnswer, MatchItem
from matching_service.shortlists.visible import VisibleMatch, visible_lists
from matching_service.store.outbox import record_event
from matching_service.store.shortlists import DecisionRow, MatchRunRow


async def latest_matches(session: AsyncSession, demand_id: str) -> MatchAnswer:
    """Return the visible list of a demand. Raises NotFound, with code ``no_match_run`` if it has no list."""
    visible = (await visible_lists(session, [await get_demand(session, demand_id)])).get(demand_id)
    if visible is None:
        raise NotFound("no_match_run", _NO_LIST)
    row, run = visible.row, visible.run

    def answer() -> MatchAnswer:
        return MatchAnswer(
            run_id=run.id,
            index=IndexAnswer(version=run.index_version, as_of=run.index_as_of, profiles=run.index_profiles),
            weights_version=run.weights_version,
            took_ms=row.took_ms,
            items=[_item(entry) for entry in visible.matches],
        )

    return await to_thread.run_sync(answer)


def _item(entry: VisibleMatch) -> MatchItem:
    match = entry.match
    return MatchItem(
        rank=match.rank,
        profile=MatchedProfile.of(entry.profile, entry.organization_name),
        score=match.score,
        level=match.level,  # type: ignore[arg-type]  # written by store_lists
        explanation=ExplanationAnswer.model_validate(match.explanation) if match.explanation else None,
        match_id=match.id,
        decision=entry.decision.decision if entry.decision is not None else None,  # type: ignore[arg-type]  # by decide
    )


async def keep_single_list(
    session: AsyncSession, run: MatchRunRow, case: Case, entries: Sequence[ListEntry], *, took_ms: float
) -> dict[str, str]:
    """Store the list of one demand in a run of its own. Returns the id of each match by profile id."""
    demand = case.demand
    if demand is None:
        raise ValueError("only a stored demand can keep a list")
    session.add(run)
    await session.flush()
    previous = (await queries.previous_lists(session, [demand.id])).get(demand.id)
    changes = await changes_of(session, run, [(case, previous, entries)], index_as_of=run.index_as_of)
    previous_id = previous.id if previous is not None else None
    new = NewList(demand.id, entries, previous_id, changes.get(demand.id), took_ms)
    match_ids = await store_lists(session, run, [new])
    await finish_run(session, run)
    return {profile_id: match_id for (_, profile_id), match_id in match_ids.items()}


async def decide(session: AsyncSession, match_id: str, body: DecisionBody, actor: Principal) -> DecisionRow:
    """Store a decision about a profile for a demand. It replaces an earlier one and applies to every later run."""
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


_NO_LIST = Bilingual(
    "该需求还没有匹配结果；请先运行匹配（POST /v1/matches 且 store 为 true，或 POST /v1/match-runs）。",
    "This demand has no stored list yet. Rank it with POST /v1/matches and store true, or with POST /v1/match-runs.",
)
