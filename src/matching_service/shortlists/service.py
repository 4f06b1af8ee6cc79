"""The visible list of a demand, and decisions about its matches."""

from collections.abc import Sequence

from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.bulk import Stored
from matching_service.audit.service import record_audit
from matching_service.demands.queries import get_demand
from matching_service.eligibility.cases import Case
from matching_service.eligibility.schemas import MatchedProfile
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Bilingual, FieldError, NotFound
from matching_service.shortlists import queries
from matching_service.shortlists.causes import RankedDemand, changes_of
from matching_service.shortlists.lists import AsOf, ListEntry, NewList, finish_run, store_lists
from matching_service.shortlists.schemas import (
    AddedProfileBody,
    DecisionAnswer,
    DecisionBody,
    ExplanationAnswer,
    IndexAnswer,
    MatchAnswer,
    MatchItem,
    NamedDecision,
    PairDecisionBody,
)
from matching_service.shortlists.visible import VisibleMatch, visible_lists
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import existing_ids
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow, MatchRunRow

UNDECIDED = "undecided"
"""The name of an undone decision in audit rows and events."""


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
        decision=entry.decided,  # type: ignore[arg-type]  # by _write
    )


async def keep_single_list(
    session: AsyncSession,
    run: MatchRunRow,
    case: Case,
    entries: Sequence[ListEntry],
    *,
    just_pinned: frozenset[str],
    took_ms: float,
) -> dict[str, str]:
    """Store the list of one demand in a run of its own. Returns the id of each match by profile id.

    just_pinned : ids of profiles that ``session`` pins together with the list.
    """
    demand = case.demand
    if demand is None:
        raise ValueError("only a stored demand can keep a list")
    session.add(run)
    await session.flush()
    previous = (await queries.previous_lists(session, [demand.id])).get(demand.id)
    as_of = AsOf(run.events_as_of, run.index_as_of, case.on)
    changes = await changes_of(session, run, [RankedDemand(case, as_of, entries, previous, just_pinned)])
    previous_id = previous.row.id if previous is not None else None
    new = NewList(demand.id, as_of, entries, previous_id, changes.get(demand.id), took_ms)
    match_ids = await store_lists(session, run, [new])
    await finish_run(session, run)
    return {profile_id: match_id for (_, profile_id), match_id in match_ids.items()}


async def decide(session: AsyncSession, match_id: str, body: DecisionBody, actor: Principal) -> DecisionAnswer:
    """Store or undo the decision about the profile of a match, also of one on an earlier list. Raises NotFound."""
    match, match_list = await queries.get_match(session, match_id)
    demand_id, profile_id = match_list.demand_id, match.profile_id
    before = (await queries.get_decisions(session, [demand_id]))[demand_id].get(profile_id)
    row = await _write(session, (demand_id, profile_id), before, body, actor)
    await session.flush()
    tell_decision(session, (demand_id, profile_id), body, actor, match_id=match_id)
    return DecisionAnswer(
        demand_id=demand_id,
        profile_id=profile_id,
        decision=body.decision,
        reason=body.reason if row is not None else None,
        actor_id=actor.id,
        at=row.at if row is not None else now(),
    )


async def decide_pairs(session: AsyncSession, items: Sequence[PairDecisionBody], actor: Principal) -> list[Stored]:
    """Store or undo decisions about profiles for demands, in order, whether or not a list names them.

    An item whose demand or profile does not exist is rejected alone. Four queries in all.
    """
    demands = await existing_ids(session, DemandRow, (item.demand_id for item in items))
    profiles = await existing_ids(session, ProfileRow, (item.profile_id for item in items))
    decisions = await queries.get_decisions(session, sorted(demands))
    pairs = {(item.demand_id, item.profile_id) for item in items}
    match_ids = await queries.newest_match_ids(session, pairs)
    results: list[Stored] = []
    for item in items:
        missing = [
            FieldError("not_found", words, pointer)
            for is_known, words, pointer in (
                (item.demand_id in demands, _NO_DEMAND, "/demand_id"),
                (item.profile_id in profiles, _NO_PROFILE, "/profile_id"),
            )
            if not is_known
        ]
        if missing:
            results.append(Stored("invalid", errors=tuple(missing)))
            continue
        known = decisions[item.demand_id]
        before, pair = known.get(item.profile_id), (item.demand_id, item.profile_id)
        if (before.decision, before.reason) == (item.decision, item.reason) if before else item.decision is None:
            results.append(Stored("unchanged", before.id if before else None))
            continue
        row = await _write(session, pair, before, item, actor)
        if row is None:
            del known[item.profile_id]
        else:
            known[item.profile_id] = row
        match_id = match_ids.get(pair)
        tell_decision(session, pair, item, actor, match_id=match_id)
        results.append(Stored("updated" if before else "created", row.id if row is not None else None))
    await session.flush()
    return results


async def pin_by_hand(session: AsyncSession, demand_id: str, body: AddedProfileBody, actor: Principal) -> DecisionBody:
    """Pin a profile for a demand before its list is made. ``tell_decision`` records it when its match is known."""
    decision = DecisionBody(decision="pinned", reason=body.reason)
    before = (await queries.get_decisions(session, [demand_id]))[demand_id].get(body.profile_id)
    await _write(session, (demand_id, body.profile_id), before, decision, actor)
    await session.flush()
    return decision


async def _write(
    session: AsyncSession,
    pair: tuple[str, str],
    before: DecisionRow | None,
    body: DecisionBody,
    actor: Principal,
) -> DecisionRow | None:
    """Store a decision in place of the one before; null deletes it. It applies to every later run."""
    if body.decision is None:
        if before is not None:
            await session.delete(before)
        return None
    row = before or DecisionRow(id=new_id(), demand_id=pair[0], profile_id=pair[1])
    row.decision, row.reason, row.actor_id, row.at = body.decision, body.reason, actor.id, now()
    session.add(row)
    return row


def tell_decision(
    session: AsyncSession,
    pair: tuple[str, str],
    body: DecisionBody,
    actor: Principal,
    *,
    match_id: str | None,
) -> None:
    """Record audit and event of a decision. Its entity is the match, or the profile where no list names the pair."""
    name = body.decision or UNDECIDED
    demand_id, profile_id = pair
    detail = {"demand_id": demand_id, "profile_id": profile_id}
    entity = "match" if match_id is not None else "profile"
    record_audit(session, actor, name, entity=entity, entity_id=match_id or profile_id, detail=detail)
    record_event(session, f"match.{name}", entity="match", entity_id=match_id or profile_id, detail=detail)


async def decisions_of(session: AsyncSession, demand_id: str) -> list[NamedDecision]:
    """Return the decisions about all profiles of a demand, newest first. Raises NotFound."""
    await get_demand(session, demand_id)
    rows = (await queries.get_decisions(session, [demand_id]))[demand_id].values()
    names = await queries.names_of_profiles(session, (row.profile_id for row in rows))
    return [
        NamedDecision(
            demand_id=demand_id,
            profile_id=row.profile_id,
            profile_name=names.get(row.profile_id),
            decision=row.decision,  # type: ignore[arg-type]  # by _write
            reason=row.reason,
            actor_id=row.actor_id,
            at=row.at,
        )
        for row in sorted(rows, key=lambda row: row.at, reverse=True)
    ]


_NO_DEMAND = Bilingual("需求不存在。", "The demand does not exist.")
_NO_PROFILE = Bilingual("画像不存在。", "The profile does not exist.")
_NO_LIST = Bilingual(
    "该需求还没有匹配结果；请先运行匹配（POST /v1/matches 且 store 为 true，或 POST /v1/match-runs）。",
    "This demand has no stored list yet. Rank it with POST /v1/matches and store true, or with POST /v1/match-runs.",
)
