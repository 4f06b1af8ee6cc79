"""Answer match requests: rank, explain, store, find similar demands, match in reverse."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.problems import problem_errors
from matching_service.demands.queries import get_demand, last_transitions
from matching_service.demands.states import EDITABLE, OPEN, DemandStatus
from matching_service.demands.transitions import form_errors
from matching_service.eligibility.conflicts import reasons_against, refuse_barred
from matching_service.eligibility.schemas import Decision, MatchedProfile
from matching_service.foundation.clock import today
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput, Language
from matching_service.foundation.metrics import MATCH_SECONDS
from matching_service.index.contract import Index
from matching_service.index.filters import Filters
from matching_service.live_index.documents import demand_query, profile_query
from matching_service.matching.engine import Engine
from matching_service.matching.questions import (
    demand_questions,
    only_candidates,
    own_weights,
    read_question,
    with_decisions_shown,
)
from matching_service.matching.ranking import rank_demands, rank_many, with_stored_vectors
from matching_service.matching.reasons import why_not
from matching_service.matching.schemas import (
    DEFAULT_TOP_K,
    MAX_TOP_K,
    DemandMatchAnswer,
    DemandMatchItem,
    EarlierDemand,
    EarlierItem,
    ExplainAnswer,
    ExplainBody,
    MatchBody,
    MatchedDemand,
    SubmissionAnswer,
)
from matching_service.profiles.queries import get_profile
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.explain import Explanation
from matching_service.ranking.ranker import RankedProfile
from matching_service.shortlists.lists import ListEntry, new_run
from matching_service.shortlists.queries import newest_lists
from matching_service.shortlists.schemas import AddedProfileBody, ExplanationAnswer, IndexAnswer, MatchAnswer, MatchItem
from matching_service.shortlists.service import keep_single_list, pin_by_hand, tell_decision
from matching_service.shortlists.visible import pinned_first
from matching_service.store.demands import DemandRow, DemandTransitionRow
from matching_service.store.lookup import get_by_ids, get_row
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import last_seqs
from matching_service.store.scope import Scope
from matching_service.store.shortlists import RunScope

_N_EARLIER = 5
_N_REVERSE_CANDIDATES = 100
"""Number of demands that the reverse match scores exactly, after a first pass that finds likely ones."""


async def match(
    engine: Engine, write: AsyncSession, body: MatchBody, *, also_pinned: frozenset[str] = frozenset()
) -> MatchAnswer:
    """Rank profiles for one request. ``write`` is used only if the list is stored.

    also_pinned : ids of profiles that ``write`` pins in this very transaction, for a list that is stored.
    Raises NotFound, InvalidInput, or Unavailable while the indexes load.
    """
    started = perf_counter()
    if body.store and body.demand_id is None:
        message = Bilingual(
            "只有针对已存需求的匹配才能保存；请改用 demand_id。",
            "Only the list of a stored demand can be stored; use demand_id.",
        )
        raise InvalidInput("store_needs_demand", message, errors=[FieldError("store_needs_demand", message, "/store")])
    # A stored list records the last event that it includes, so events and demand must come from one database snapshot.
    reading = engine.database.snapshot if body.store else engine.database.reading
    async with reading() as session:
        newest = await last_seqs(session)
        case, question = await read_question(session, body, engine.standings, newest)
        encoder = await with_stored_vectors(engine, session, [question.query])
    view = await engine.view(newest=newest, min_as_of=body.min_as_of)
    question = replace(
        question,
        weights=own_weights(body, view.weights),
        explain=body.explain,
        per_kind={str(kind): n for kind, n in body.per_kind.items()} if body.per_kind is not None else None,
    )
    if body.store:
        question = replace(question, pinned=case.decided("pinned") | also_pinned)
    else:
        question = with_decisions_shown(case, question, body)
    if body.candidates is not None:
        question = only_candidates(question, body.candidates)
    entries = (await rank_many(engine, [question], view, encoder))[0]
    if isinstance(entries, Exception):
        raise entries
    took_ms = (perf_counter() - started) * 1e3
    MATCH_SECONDS.observe(took_ms / 1e3)
    weights = question.weights or view.weights
    run_id, match_ids = None, dict[str, str]()
    if body.store:
        run = new_run(
            view.made_with(engine.encoder),
            weights,
            scope=RunScope.DEMAND,
            top_k=body.top_k,
            n_demands=1,
            events_as_of=newest[""],
        )
        match_ids = await keep_single_list(write, run, case, entries, just_pinned=also_pinned, took_ms=took_ms)
        run_id = run.id

    def decision(entry: ListEntry) -> Decision | None:
        return "pinned" if entry.profile.id in also_pinned else case.decision(entry.profile.id)

    def answer() -> MatchAnswer:
        return MatchAnswer(
            run_id=run_id,
            index=_index_answer(view.snapshot, engine.encoder),
            weights_version=weights.version,
            took_ms=round(took_ms, 1),
            items=[
                MatchItem(
                    rank=rank_,
                    profile=MatchedProfile.of(entry.profile, entry.profile.organization_name),
                    score=entry.ranked.score,
                    level=entry.ranked.level,
                    explanation=_explanation(entry.explanation),
                    match_id=match_ids.get(entry.profile.id),
                    decision=decision(entry),
                )
                for rank_, entry in pinned_first(enumerate(entries, start=1), lambda at: decision(at[1]) == "pinned")
            ],
        )

    return await to_thread.run_sync(answer)  # validating a thousand explanations would block the event loop


async def add_by_hand(
    engine: Engine, write: AsyncSession, demand_id: str, body: AddedProfileBody, actor: Principal
) -> MatchAnswer:
    """Pin a profile for a demand, rank the demand anew and store the list. Returns the list, the profile on top.

    Raises NotFound. Raises Conflict, with all reasons, if the profile may not be proposed for the demand.
    """
    async with engine.database.reading() as session:
        demand = await get_demand(session, demand_id)
        profile = await get_profile(session, body.profile_id)
        refuse_barred(await reasons_against(session, demand, profile, on=today()))
        previous = (await newest_lists(session, [demand.id])).get(demand.id)
    decision = await pin_by_hand(write, demand.id, body, actor)
    top_k = previous[1].top_k if previous is not None else DEFAULT_TOP_K
    question = MatchBody(demand_id=demand.id, top_k=top_k, store=True)
    made = await match(engine, write, question, also_pinned=frozenset({profile.id}))
    match_id = next((item.match_id for item in made.items if item.profile.id == profile.id), None)
    tell_decision(write, (demand.id, profile.id), decision, actor, match_id=match_id)
    return made


async def explain(engine: Engine, body: ExplainBody) -> ExplainAnswer:
    """Explain one pair of demand and profile. If the profile is not listed, say why. Raises NotFound.

    Two rankings are made: the whole list, which gives the rank, and the pair alone, which gives score and explanation
    even if a filter or a rule keeps the profile off the list.
    """
    started = perf_counter()
    async with engine.database.reading() as session:
        newest = await last_seqs(session)
        case, question = await read_question(session, body, engine.standings, newest)
        profile = await get_profile(session, body.profile_id)
        organization = await get_row(session, OrganizationRow, profile.organization_id or "")
        against = await reasons_against(session, case.demand, profile, on=case.on)
    view = await engine.view(newest=newest, min_as_of=body.min_as_of)
    pinned = case.decided("pinned")
    whole = replace(question, top_k=MAX_TOP_K, weights=own_weights(body, view.weights), explain=False, pinned=pinned)
    pair = replace(
        whole, filters=Filters(candidates=frozenset({profile.id})), top_k=1, explain=True, pinned=frozenset()
    )
    ranked, alone = await rank_many(engine, [whole, pair], view)
    if isinstance(ranked, Exception):
        raise ranked
    if isinstance(alone, Exception):
        raise alone
    ranks = {entry.profile.id: rank_ for rank_, entry in enumerate(ranked, start=1)}
    rank = ranks.get(profile.id)
    is_listed = rank is not None and (rank <= body.top_k or profile.id in pinned)
    if rank is not None and rank > MAX_TOP_K:  # the list contains it only because it is pinned
        rank = None
    entry = alone[0] if alone else None
    score = entry.ranked.score if entry is not None else None
    level = entry.ranked.level if entry is not None else None
    return ExplainAnswer(
        index=_index_answer(view.snapshot, engine.encoder),
        weights_version=(whole.weights or view.weights).version,
        took_ms=round((perf_counter() - started) * 1e3, 1),
        profile=MatchedProfile.of(profile, organization.name if organization is not None else None),
        rank=rank,
        is_listed=is_listed,
        score=score,
        level=entry.ranked.level if entry is not None else None,
        explanation=_explanation(entry.explanation) if entry is not None else None,
        decision=case.decision(profile.id),
        why_not=[] if is_listed else why_not(body, profile, against, rank=rank, score=score, level=level),
    )


async def similar_demands(engine: Engine, demand_id: str, *, top_k: int, min_as_of: int | None) -> DemandMatchAnswer:
    """Return the demands most similar to this one, in any state. Raises NotFound."""
    started = perf_counter()
    async with engine.database.reading() as session:
        demand = await get_demand(session, demand_id)
    snapshot = (await engine.view(min_as_of=min_as_of)).demands
    filters = Filters(exclude=frozenset({demand.id}))
    ranked = await rank_demands(engine, demand_query(demand).topic_alone(), snapshot, filters, top_k)
    async with engine.database.reading() as session:
        rows = await get_by_ids(session, DemandRow, (entry.profile_id for entry in ranked))
    items = [(rows[entry.profile_id], entry, None) for entry in ranked if entry.profile_id in rows]
    return _demand_answer(snapshot, engine.encoder, items, started)


def _was_published(demand: DemandRow) -> bool:
    return demand.published_at is not None and demand.visibility == "public"


async def submission(engine: Engine, demand_id: str, language: Language, scope: Scope | None) -> SubmissionAnswer:
    """Return the missing fields of a demand, and similar earlier demands with their outcomes. Raises NotFound.

    A portal is shown its own ones, and those of others that were published.
    """
    async with engine.database.reading() as session:
        demand = await get_demand(session, demand_id, scope=scope)
        errors = await form_errors(session, demand)
    filters = Filters(kinds=frozenset(DemandStatus) - EDITABLE, exclude=frozenset({demand.id}))
    query = demand_query(demand).topic_alone()
    ranked = await rank_demands(engine, query, await engine.demands.catch_up(), filters, _N_REVERSE_CANDIDATES)
    similar = [entry for entry in ranked if entry.level != "none" and entry.profile_id < demand.id]  # ids sort by time
    async with engine.database.reading() as session:
        found = await get_by_ids(session, DemandRow, (entry.profile_id for entry in similar))
        rows = {row.id: row for row in found.values() if scope is None or scope.holds(row) or _was_published(row)}
        shown = [entry for entry in similar if entry.profile_id in rows][:_N_EARLIER]
        transitions = await last_transitions(session, [entry.profile_id for entry in shown])
    return SubmissionAnswer(
        missing=problem_errors(errors, language),
        similar=[
            EarlierItem(
                demand=_earlier(rows[entry.profile_id], transitions[entry.profile_id]),
                score=entry.score,
                level=entry.level,
            )
            for entry in shown
        ],
    )


def _earlier(row: DemandRow, last: DemandTransitionRow) -> EarlierDemand:
    fields = MatchedDemand.model_validate(row).model_dump()
    return EarlierDemand(**fields, status_since=last.at, reason=last.reason, opinion=last.opinion)


async def demands_for_profile(
    engine: Engine, profile_id: str, *, top_k: int, min_as_of: int | None
) -> DemandMatchAnswer:
    """Return the open demands that fit the profile best, with the same scores as in the demands' own lists.

    A first pass finds likely demands by the text of the profile. Each of them is then ranked against this profile
    alone. Raises NotFound.
    """
    started = perf_counter()
    async with engine.database.reading() as session:
        profile = await get_profile(session, profile_id)
    view = await engine.view(min_as_of=min_as_of)
    filters = Filters(kinds=frozenset(OPEN))
    likely = await rank_demands(
        engine, profile_query(profile), view.demands, filters, max(_N_REVERSE_CANDIDATES, top_k)
    )
    async with engine.database.reading() as session:
        demands = await get_by_ids(session, DemandRow, (entry.profile_id for entry in likely))
        questions = await demand_questions(session, list(demands.values()), engine.standings, top_k=1)
    lists = await rank_many(engine, [only_candidates(question, [profile.id]) for _, question in questions], view)
    scored: list[tuple[DemandRow, RankedProfile, Explanation | None]] = []
    for demand, entries in zip(demands.values(), lists, strict=True):
        if isinstance(entries, Exception):
            raise entries
        scored += [(demand, entry.ranked, entry.explanation) for entry in entries if entry.ranked.score > 0]
    scored.sort(key=lambda pair: (-pair[1].score, pair[0].id))
    return _demand_answer(view.snapshot, engine.encoder, scored[:top_k], started)


def _index_answer(snapshot: Index, encoder: Encoder) -> IndexAnswer:
    return IndexAnswer(
        version=snapshot.version,
        as_of=snapshot.as_of,
        profiles=snapshot.n_profiles,
        pending_vectors=snapshot.n_pending,
        encoder_available=encoder.is_available,
    )


def _demand_answer(
    snapshot: Index,
    encoder: Encoder,
    scored: Sequence[tuple[DemandRow, RankedProfile, Explanation | None]],
    started: float,
) -> DemandMatchAnswer:
    return DemandMatchAnswer(
        index=_index_answer(snapshot, encoder),
        took_ms=round((perf_counter() - started) * 1e3, 1),
        items=[
            DemandMatchItem(
                rank=rank_,
                demand=MatchedDemand.model_validate(demand),
                score=ranked.score,
                level=ranked.level,
                explanation=_explanation(explanation),
            )
            for rank_, (demand, ranked, explanation) in enumerate(scored, start=1)
        ],
    )


def _explanation(explanation: Explanation | None) -> ExplanationAnswer | None:
    return ExplanationAnswer.model_validate(explanation) if explanation is not None else None
