"""Requests to the ranker, made of a demand or a question and of all that people decided about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.queries import get_demand
from matching_service.foundation.clock import today
from matching_service.foundation.errors import FieldError, InvalidInput, Text
from matching_service.matching import queries
from matching_service.matching.conflicts import Exclusions, exclusions_of
from matching_service.matching.documents import demand_query
from matching_service.matching.engine import RankRequest
from matching_service.matching.schemas import QuestionBody
from matching_service.matching.standings import standings_for
from matching_service.ranking.fusion import TOPIC_SIGNALS, Weights
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import Filters
from matching_service.ranking.structured import Circumstances
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.matching import DecisionRow


async def demand_requests(session: AsyncSession, demands: Sequence[DemandRow], *, top_k: int) -> list[RankRequest]:
    """How demands are ranked when their lists are stored: what people decided before holds. Four queries in all."""
    ids = [demand.id for demand in demands]
    decisions = await queries.get_decisions(session, ids)
    exclusions = await exclusions_of(session, {demand.organization_id for demand in demands if demand.organization_id})
    standings = await standings_for(session, ids)
    day = today()
    return [
        RankRequest(
            query=demand_query(demand),
            filters=Filters(
                exclude=_profiles_decided(decisions[demand.id], "rejected") | excluded.profile_ids,
                excluded_organizations=excluded.organization_ids | _known({demand.organization_id}),
                available_on=day,
            ),
            top_k=top_k,
            circumstances=Circumstances(day, standings[demand.id]),
            pinned=_profiles_decided(decisions[demand.id], "pinned"),
        )
        for demand in demands
        for excluded in [exclusions.get(demand.organization_id or "", Exclusions())]
    ]


@dataclass(frozen=True, slots=True)
class Question:
    """A request's demand or question, with all that the database knows about it."""

    query: Query
    demand: DemandRow | None
    decisions: Mapping[str, DecisionRow]
    exclusions: Exclusions
    circumstances: Circumstances

    def decided(self, decision: str) -> frozenset[str]:
        """Profiles about which staff decided so."""
        return _profiles_decided(self.decisions, decision)


async def read_question(database: Database, body: QuestionBody) -> Question:
    """Read the demand and what people decided about it; raises NotFound. A question of its own has neither."""
    if body.demand_id is None:
        assert body.query is not None  # noqa: S101  # QuestionBody allows exactly one of the two
        return Question(demand_query(body.query), None, {}, Exclusions(), Circumstances(today()))
    async with database.reading() as session:
        demand = await get_demand(session, body.demand_id)
        decisions = (await queries.get_decisions(session, [demand.id]))[demand.id]
        own = demand.organization_id
        exclusions = (await exclusions_of(session, [own]))[own] if own is not None else Exclusions()
        standings = (await standings_for(session, [demand.id]))[demand.id]
    return Question(demand_query(demand), demand, decisions, exclusions, Circumstances(today(), standings))


def filters_of(
    body: QuestionBody, asked: Question, *, candidates: Sequence[str] | None, keep_rejected: bool
) -> Filters:
    """What the request asks for, less whom the demanding organization may never be proposed."""
    own = asked.demand.organization_id if asked.demand is not None else None
    rejected = frozenset[str]() if keep_rejected else asked.decided("rejected")
    return Filters(
        kinds=frozenset(body.kinds),
        region_prefixes=tuple(body.regions),
        clusters=frozenset(body.clusters),
        candidates=frozenset(candidates) if candidates is not None else None,
        exclude=frozenset(body.exclude) | rejected | asked.exclusions.profile_ids,
        excluded_organizations=asked.exclusions.organization_ids | _known({own}),
        available_on=asked.circumstances.today,
    )


def _known(ids: set[str | None]) -> frozenset[str]:
    return frozenset(id_ for id_ in ids if id_ is not None)


def _profiles_decided(decisions: Mapping[str, DecisionRow], decision: str) -> frozenset[str]:
    return frozenset(profile_id for profile_id, row in decisions.items() if row.decision == decision)


def own_weights(body: QuestionBody, active: Weights) -> Weights | None:
    """The request's own weights over those in force; None where it names none. Raises InvalidInput."""
    if body.weights is None:
        return None
    values = dict(active.values) | {str(signal): weight for signal, weight in body.weights.items()}
    if not any(values[signal] for signal in TOPIC_SIGNALS):
        message = Text(
            "weights 中 lexical 与 semantic 不能都为 0。", "weights: lexical and semantic must not both be 0."
        )
        raise InvalidInput("weights_all_zero", message, errors=[FieldError("weights_all_zero", message, "/weights")])
    return Weights("custom", MappingProxyType(values), active.floors)
