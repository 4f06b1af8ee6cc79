"""Requests to the ranker, made of a demand or a question and of all that people decided about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.queries import get_demand
from matching_service.eligibility.conflicts import Exclusions, exclusions_of
from matching_service.eligibility.schemas import Decision
from matching_service.eligibility.standings import Pair, Standings, pairs_of
from matching_service.foundation.clock import today
from matching_service.foundation.errors import FieldError, InvalidInput, Text
from matching_service.index.filters import Filters
from matching_service.live_index.documents import demand_query
from matching_service.matching.ranking import RankRequest
from matching_service.matching.schemas import QuestionBody
from matching_service.ranking.fusion import TOPIC_SIGNALS, Weights
from matching_service.ranking.query import Query
from matching_service.ranking.structured import Circumstances
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import last_seqs


@dataclass(frozen=True, slots=True)
class Question:
    """A demand or a question in the same form, with all that the database knows about it."""

    query: Query
    demand: DemandRow | None
    pairs: Mapping[str, Pair]
    exclusions: Exclusions
    circumstances: Circumstances

    def decision(self, profile_id: str) -> Decision | None:
        """What staff decided about a profile."""
        pair = self.pairs.get(profile_id)
        return pair.decision if pair is not None else None

    def decided(self, decision: str) -> frozenset[str]:
        """Profiles about which staff decided so."""
        return frozenset(profile_id for profile_id, pair in self.pairs.items() if pair.decision == decision)

    def rules(self, *, keep_rejected: bool = False) -> Filters:
        """Whom nobody may propose: its own people, its exclusion list, who is away; and with whom it came to nothing:
        whom staff rejected, and who was asked before and declined, did not answer or did not suit.
        """
        own = self.demand.organization_id if self.demand is not None else None
        refused = frozenset(profile_id for profile_id, pair in self.pairs.items() if pair.is_refused)
        came_to_nothing = frozenset() if keep_rejected else self.decided("rejected") | refused
        return Filters(
            exclude=self.exclusions.profile_ids | came_to_nothing,
            excluded_organizations=self.exclusions.organization_ids | ({own} if own is not None else set()),
            available_on=self.circumstances.today,
        )


async def read_question(
    session: AsyncSession, body: QuestionBody, standings: Standings, newest: Mapping[str, int]
) -> Question:
    """Read the demand and what people decided about it; raises NotFound. A question of its own has neither.

    newest : what ``last_seqs`` said in this session.
    """
    if body.demand_id is None:
        assert body.query is not None  # noqa: S101  # QuestionBody allows exactly one of the two
        return Question(demand_query(body.query), None, {}, Exclusions(), Circumstances(today()))
    return (await _questions(session, [await get_demand(session, body.demand_id)], standings, newest))[0]


async def demand_requests(
    session: AsyncSession, demands: Sequence[DemandRow], standings: Standings, *, top_k: int
) -> list[RankRequest]:
    """How demands are ranked when their lists are stored: what people decided before holds. Four queries in all."""
    return [
        RankRequest(
            query=question.query,
            filters=question.rules(),
            top_k=top_k,
            circumstances=question.circumstances,
            pinned=question.decided("pinned"),
        )
        for question in await _questions(session, demands, standings, await last_seqs(session))
    ]


def filters_of(
    body: QuestionBody, asked: Question, *, candidates: Sequence[str] | None, keep_rejected: bool
) -> Filters:
    """What the request asks for, less whom the demanding organization may never be proposed."""
    rules = asked.rules(keep_rejected=keep_rejected)
    return replace(
        rules,
        kinds=frozenset(body.kinds),
        region_prefixes=tuple(body.regions),
        clusters=frozenset(body.clusters),
        candidates=frozenset(candidates) if candidates is not None else None,
        exclude=rules.exclude | frozenset(body.exclude),
    )


async def _questions(
    session: AsyncSession, demands: Sequence[DemandRow], standings: Standings, newest: Mapping[str, int]
) -> list[Question]:
    pairs = await pairs_of(session, (demand.id for demand in demands))
    elsewhere = await standings.elsewhere(session, pairs, newest)
    exclusions = await exclusions_of(session, (demand.organization_id for demand in demands))
    day = today()
    return [
        Question(
            demand_query(demand),
            demand,
            pairs[demand.id],
            exclusions[demand.organization_id],
            Circumstances(day, elsewhere[demand.id]),
        )
        for demand in demands
    ]


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
