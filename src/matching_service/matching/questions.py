"""Turn a request, or a stored demand, into a question for the ranker."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.queries import get_demand
from matching_service.eligibility.cases import Case, cases_of
from matching_service.eligibility.rules import LASTING, filters_for
from matching_service.eligibility.standings import Standings
from matching_service.foundation.clock import today
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput
from matching_service.index.filters import Filters
from matching_service.live_index.documents import demand_query
from matching_service.matching.ranking import Question
from matching_service.matching.schemas import QuestionBody
from matching_service.ranking.fusion import TOPIC_SIGNALS, Weights
from matching_service.ranking.structured import Circumstances
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import last_seqs


async def read_question(
    session: AsyncSession, body: QuestionBody, standings: Standings, newest: Mapping[str, int]
) -> tuple[Case, Question]:
    """Return the case of a request and the question to rank.

    The filters are those of the eligibility rules and of the request. A request without a stored demand gets an empty
    case. Raises NotFound.
    newest : the result of ``last_seqs`` in this session.
    """
    if body.demand_id is None:
        assert body.query is not None  # noqa: S101  # QuestionBody allows exactly one of the two
        case, query, circumstances = Case(today()), demand_query(body.query), Circumstances(today())
    else:
        demands = [await get_demand(session, body.demand_id)]
        ((case, circumstances),) = await _cases_and_circumstances(session, demands, standings, newest)
        query = demand_query(demands[0])
    filters = _with_request(filters_for(case), body)
    return case, Question(query, filters, body.top_k, circumstances, with_none=body.with_none)


def with_decisions_shown(case: Case, question: Question, body: QuestionBody) -> Question:
    """Return the question for a list that is not stored. It also shows profiles that staff rejected or that refused."""
    return replace(question, filters=_with_request(filters_for(case, rules=LASTING), body))


async def demand_questions(
    session: AsyncSession, demands: Sequence[DemandRow], standings: Standings, *, top_k: int
) -> list[tuple[Case, Question]]:
    """Return the case and the question of each demand, for lists that are stored. Four queries in all.

    The questions respect all earlier decisions: pinned profiles are kept on the list, rejected ones left out.
    """
    contexts = await _cases_and_circumstances(session, demands, standings, await last_seqs(session))
    return [
        (
            case,
            Question(demand_query(demand), filters_for(case), top_k, circumstances, pinned=case.decided("pinned")),
        )
        for demand, (case, circumstances) in zip(demands, contexts, strict=True)
    ]


async def _cases_and_circumstances(
    session: AsyncSession, demands: Sequence[DemandRow], standings: Standings, newest: Mapping[str, int]
) -> list[tuple[Case, Circumstances]]:
    cases = await cases_of(session, demands, on=today())
    pairs = {demand.id: case.pairs for demand, case in zip(demands, cases, strict=True)}
    elsewhere = await standings.elsewhere(session, pairs, newest)
    return [(case, Circumstances(case.on, elsewhere[demand.id])) for demand, case in zip(demands, cases, strict=True)]


def only_candidates(question: Question, profile_ids: Sequence[str]) -> Question:
    """Restrict the question to these profiles. All of them that are in the index are ranked, with any score."""
    filters = replace(question.filters, candidates=frozenset(profile_ids))
    return replace(question, filters=filters, top_k=len(profile_ids) or question.top_k)


def _with_request(filters: Filters, body: QuestionBody) -> Filters:
    """Add the filters of the request to those of the rules."""
    return replace(
        filters,
        kinds=frozenset(body.kinds),
        region_prefixes=tuple(body.regions),
        clusters=frozenset(body.clusters),
        overseas=body.overseas,
        exclude=filters.exclude | frozenset(body.exclude),
    )


def own_weights(body: QuestionBody, active: Weights) -> Weights | None:
    """Return the active weights with those of the request in place. None if it has none. Raises InvalidInput."""
    if body.weights is None:
        return None
    values = dict(active.values) | {str(signal): weight for signal, weight in body.weights.items()}
    if not any(values[signal] for signal in TOPIC_SIGNALS):
        message = Bilingual(
            "weights 中 lexical 与 semantic 不能都为 0。", "weights: lexical and semantic must not both be 0."
        )
        raise InvalidInput("weights_all_zero", message, errors=[FieldError("weights_all_zero", message, "/weights")])
    return Weights("custom", MappingProxyType(values), active.floors)
