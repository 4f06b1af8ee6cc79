"""The life of a suggestion on both databases, and its effect on later rankings."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.eligibility.standings import Standings, pairs_of, standings_for
from matching_service.engines import create_engine
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from matching_service.foundation.settings import Settings
from matching_service.jobs import nightly
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile
from matching_service.ranking.structured import Standing
from matching_service.shortlists.queries import get_matches, newest_lists
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow, last_seqs
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import SuggestionRow
from matching_service.suggestions.queries import get_suggestion, list_transitions
from matching_service.suggestions.schemas import SuggestionCreate, SuggestionStep
from matching_service.suggestions.service import create_suggestion, transition_suggestion
from matching_service.suggestions.states import RefusalReason, SuggestionStatus

S = SuggestionStatus
UNKNOWN_ID = "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"


@dataclass(frozen=True)
class City:
    database: Database
    demands: Sequence[str]
    profiles: Sequence[str]
    kept: Standings = field(default_factory=Standings)

    async def suggest(self, demand: int, profile: int) -> str:
        body = SuggestionCreate(demand_id=self.demands[demand], profile_id=self.profiles[profile])
        async with self.database.transaction() as session:
            return (await create_suggestion(session, body, COMMAND_LINE)).id

    async def move(self, suggestion_id: str, *path: S, **given: Any) -> None:
        for to in path:
            async with self.database.transaction() as session:
                row = await get_suggestion(session, suggestion_id)
                await transition_suggestion(session, row, SuggestionStep(to=to, **given), COMMAND_LINE)

    async def adopt(self, demand: int, status: DemandStatus) -> None:
        async with self.database.transaction() as session:
            await adopt_status(session, await get_demand(session, self.demands[demand]), status, actor=COMMAND_LINE)

    async def decide(self, demand: int, profile: int, decision: str) -> None:
        async with self.database.transaction() as session:
            session.add(
                DecisionRow(
                    demand_id=self.demands[demand], profile_id=self.profiles[profile], decision=decision,
                    actor_id="cli", at=now(),
                )
            )  # fmt: skip

    async def standing(self, profile: int) -> Standing:
        """The standing over all demands. The cached standings must equal those read from the tables."""
        async with self.database.reading() as session:
            newest, demands = await last_seqs(session), [UNKNOWN_ID, *self.demands]
            fresh = await standings_for(session, demands)
            assert await self.kept.elsewhere(session, await pairs_of(session, demands), newest) == fresh
        return fresh[UNKNOWN_ID].get(self.profiles[profile], Standing())


@pytest.fixture
async def city(database: Database) -> City:
    """Three published demands and four experts on their topic. The last expert has capacity 1."""
    async with database.transaction() as session:
        demands = []
        for n in range(3):
            row = await create_demand(session, DemandCreate(title=f"谐波减速器柔轮开裂{n}"), COMMAND_LINE)
            await adopt_status(session, row, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
            demands.append(row.id)
        profiles = [
            await create_profile(
                session,
                ProfileCreate(
                    kind="expert", name=f"专家{n}", summary="谐波减速器柔轮疲劳", capacity=1 if n == 3 else None
                ),
                COMMAND_LINE,
            )
            for n in range(4)
        ]
    return City(database, demands, [row.id for row in profiles])


async def test_the_first_contact_moves_a_published_demand_and_every_step_is_written_down(city: City) -> None:
    suggestion_id = await city.suggest(0, 0)
    await city.move(suggestion_id, S.CONTACTED, S.ACCEPTED, S.MET, S.AGREED)
    other = await city.suggest(0, 1)
    await city.move(other, S.CONTACTED)
    await city.move(other, S.DECLINED, reason=RefusalReason.NO_TIME, note="今年项目已满")
    async with city.database.reading() as session:
        assert (await get_demand(session, city.demands[0])).status == "matching"
        steps = await list_transitions(session, suggestion_id)
        last = (await list_transitions(session, other))[-1]
        events = (await session.scalars(select(OutboxRow).where(OutboxRow.entity == "suggestion"))).all()
    path = [None, "suggested", "contacted", "accepted", "met", "agreed"]
    assert [(step.from_status, step.to_status) for step in steps] == list(pairwise(path))
    assert (last.reason, last.note) == ("no_time", "今年项目已满")
    assert [event.event for event in events if event.entity_id == other] == [
        "suggestion.suggested", "suggestion.contacted", "suggestion.declined",
    ]  # fmt: skip


async def test_an_illegal_step_lists_the_legal_ones_and_changes_nothing(city: City) -> None:
    suggestion_id = await city.suggest(0, 0)
    with pytest.raises(IllegalTransition) as refused:
        await city.move(suggestion_id, S.AGREED)
    assert refused.value.legal == ("contacted", "not_suitable", "closed")
    await city.move(suggestion_id, S.CONTACTED)
    for given in ({}, {"reason": RefusalReason.OTHER}):
        with pytest.raises(InvalidInput):
            await city.move(suggestion_id, S.DECLINED, **given)
    async with city.database.reading() as session:
        assert (await get_suggestion(session, suggestion_id)).status == "contacted"
        assert len(await list_transitions(session, suggestion_id)) == 2


async def test_who_may_not_be_proposed_is_refused_with_every_reason(city: City) -> None:
    async with city.database.transaction() as session:
        hidden = ProfileCreate(kind="expert", name="隐者", visibility="hidden")
        hidden_id = (await create_profile(session, hidden, COMMAND_LINE)).id
        rejected = DecisionRow(
            demand_id=city.demands[0], profile_id=hidden_id, decision="rejected", reason="方向不符", actor_id="cli",
            at=now(),
        )  # fmt: skip
        session.add(rejected)
    shy = City(city.database, city.demands, [hidden_id, UNKNOWN_ID])
    with pytest.raises(Conflict) as refused:
        await shy.suggest(0, 0)
    assert refused.value.code == "may_not_be_proposed"
    assert [error.code for error in refused.value.errors] == ["hidden", "rejected"]
    assert "方向不符" in refused.value.detail.zh
    with pytest.raises(NotFound):
        await shy.suggest(0, 1)


async def test_a_pair_is_suggested_once_also_at_the_same_time(city: City) -> None:
    results = await asyncio.gather(*(city.suggest(0, 0) for _ in range(2)), return_exceptions=True)
    assert sorted(isinstance(result, Conflict) for result in results) == [False, True]
    with pytest.raises(Conflict) as again:
        await city.suggest(0, 0)
    assert again.value.code == "already_suggested"


@pytest.mark.parametrize("status", [DemandStatus.EXPIRED, DemandStatus.CONTRACTED])
async def test_nobody_is_approached_for_a_demand_that_is_not_open(city: City, status: DemandStatus) -> None:
    suggestion_id = await city.suggest(0, 0)
    await city.adopt(0, status)
    with pytest.raises(Conflict) as suggested:
        await city.suggest(0, 1)
    with pytest.raises(IllegalTransition):  # it was closed with the demand
        await city.move(suggestion_id, S.CONTACTED)
    assert suggested.value.code == "demand_not_open"


async def test_load_rises_with_each_acceptance_and_falls_when_the_suggestion_ends(city: City) -> None:
    await city.decide(0, 0, "shortlisted")
    ids = [await city.suggest(demand, 0) for demand in range(3)]
    assert await city.standing(0) == Standing(1, 1, 0)  # a suggestion alone is no load
    for suggestion_id in ids:
        await city.move(suggestion_id, S.CONTACTED, S.ACCEPTED)
    assert await city.standing(0) == Standing(3, 3, 0)  # demand 0 is both shortlisted and accepted, and counts once
    await city.move(ids[0], S.DECLINED, reason=RefusalReason.TERMS)
    await city.move(ids[1], S.NOT_SUITABLE)
    assert await city.standing(0) == Standing(1, 1, 1)
    await city.move(ids[2], S.MET)
    await city.adopt(2, DemandStatus.CONTRACTED)
    assert await city.standing(0) == Standing(0, 1, 1)  # another supplier got the contract
    await city.move(ids[2], S.AGREED)
    assert await city.standing(0) == Standing(1, 1, 1)  # this supplier has it after all
    await city.adopt(2, DemandStatus.CLOSED)
    assert await city.standing(0) == Standing(0, 1, 1)


async def test_a_profile_at_its_capacity_is_refused(city: City) -> None:
    await city.move(await city.suggest(0, 3), S.CONTACTED, S.ACCEPTED)
    with pytest.raises(Conflict) as refused:
        await city.suggest(1, 3)
    assert refused.value.code == "capacity_reached"
    assert "1" in refused.value.detail.en


async def test_a_refusal_keeps_the_profile_off_the_next_list_of_this_demand_alone(city: City, tmp_path: Path) -> None:
    engine = create_engine(Settings(encoder="none", data_dir=tmp_path), city.database)
    await engine.open()

    async def profiles_on_list(demand: int) -> set[int]:
        await nightly.rerank(engine, await nightly.begin(engine, resume=False), lambda _n: None)
        async with city.database.reading() as session:
            match_list, _ = (await newest_lists(session, [city.demands[demand]]))[city.demands[demand]]
            matches = (await get_matches(session, [match_list.id]))[match_list.id]
        return {city.profiles.index(match.profile_id) for match in matches}

    assert await profiles_on_list(0) == {0, 1, 2, 3}
    ids = [await city.suggest(0, profile) for profile in range(3)]
    for suggestion_id in ids:
        await city.move(suggestion_id, S.CONTACTED)
    await city.move(ids[0], S.DECLINED, reason=RefusalReason.NO_TIME)
    await city.move(ids[1], S.NO_ANSWER)
    assert await profiles_on_list(0) == {2, 3}
    assert await profiles_on_list(1) == {0, 1, 2, 3}
    await city.move(ids[1], S.CONTACTED)  # an answer after all
    assert await profiles_on_list(0) == {1, 2, 3}
    async with city.database.reading() as session:
        assert len((await session.scalars(select(SuggestionRow))).all()) == 3


@pytest.mark.parametrize("end", [DemandStatus.EXPIRED, DemandStatus.ABANDONED, DemandStatus.CONTRACTED])
async def test_what_waits_is_closed_with_its_demand(city: City, end: DemandStatus) -> None:
    waiting = [await city.suggest(0, profile) for profile in range(3)]
    await city.move(waiting[1], S.CONTACTED)
    await city.move(waiting[2], S.CONTACTED, S.ACCEPTED, S.MET)
    elsewhere = await city.suggest(1, 0)
    if end is DemandStatus.EXPIRED:  # only a published demand expires, and a contact has moved this one on
        async with city.database.transaction() as session:
            (await get_demand(session, city.demands[0])).status = DemandStatus.PUBLISHED
    await city.adopt(0, end)
    async with city.database.reading() as session:
        rows = [await get_suggestion(session, suggestion_id) for suggestion_id in waiting]
        is_contracted = end is DemandStatus.CONTRACTED
        assert [row.status for row in rows] == ["closed", "closed", "met" if is_contracted else "closed"]
        assert (await get_suggestion(session, elsewhere)).status == "suggested"
        last = [(await list_transitions(session, row.id))[-1] for row in rows]
        events = await session.scalars(select(OutboxRow.event).where(OutboxRow.entity_id == waiting[0]))
        assert list(events)[-1] == "suggestion.closed"
    assert [step.from_status for step in last][:2] == ["suggested", "contacted"]
    assert all(step.note and step.note.startswith("需求") for step in last[:2])
    with pytest.raises(IllegalTransition):
        await city.move(waiting[0], S.CONTACTED)
    assert (await city.standing(2)).n_accepted == 1  # the acceptance still counts
    assert (await city.standing(1)).n_rejected == 0


async def test_an_agreement_and_a_refusal_stay_when_the_demand_ends(city: City) -> None:
    agreed, refused = await city.suggest(0, 0), await city.suggest(0, 1)
    await city.move(agreed, S.CONTACTED, S.ACCEPTED, S.MET, S.AGREED)
    await city.move(refused, S.CONTACTED, S.NO_ANSWER)
    await city.adopt(0, DemandStatus.CONTRACTED)
    async with city.database.reading() as session:
        assert (await get_suggestion(session, agreed)).status == "agreed"
        assert (await get_suggestion(session, refused)).status == "no_answer"
    assert (await city.standing(0)).load == 1
