"""Deadlines on both databases: each thing on its day, once, whoever runs the job and whatever people do meanwhile."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.claims.queries import get_claim
from matching_service.claims.schemas import ClaimCreate
from matching_service.claims.service import create_claim
from matching_service.demands.queries import get_demand, list_notices, list_transitions
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status, transition_demand
from matching_service.engagements.schemas import EngagementCreate
from matching_service.engagements.service import create_engagement
from matching_service.foundation.clock import today
from matching_service.foundation.settings import Settings
from matching_service.jobs.deadlines import DeadlineReport, meet_deadlines
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile
from matching_service.store.database import Database
from matching_service.store.demands import DeadlineNoticeRow
from matching_service.store.outbox import OutboxRow
from matching_service.suggestions.schemas import SuggestionCreate, SuggestionStep
from matching_service.suggestions.service import create_suggestion, transition_suggestion
from matching_service.suggestions.states import SuggestionStatus

S = DemandStatus
SETTINGS = Settings(nudge_days=9, last_chance_days=21, abandon_days=45)


def day(n: int) -> date:
    """The n-th day after today, on which the demands of these tests are published."""
    return today() + timedelta(days=n)


async def demand(database: Database, status: S = S.PUBLISHED, **fields: Any) -> str:
    async with database.transaction() as session:
        row = await create_demand(session, DemandCreate(title="柔轮开裂", **fields), COMMAND_LINE)
        await adopt_status(session, row, status, actor=COMMAND_LINE)
        return row.id


async def meet(database: Database, n: int) -> DeadlineReport:
    return await meet_deadlines(database, SETTINGS, on=day(n))


def happened(report: DeadlineReport) -> dict[str, list[str]]:
    return {name: getattr(report, name) for name, n in report.rows() if n}


async def status(database: Database, demand_id: str) -> str:
    async with database.reading() as session:
        return (await get_demand(session, demand_id)).status


async def events(database: Database) -> Sequence[str]:
    async with database.reading() as session:
        wanted = ("demand.nudge", "demand.last_chance", "demand.abandoned", "demand.expired")
        return (await session.scalars(select(OutboxRow.event).where(OutboxRow.event.in_(wanted)))).all()


async def test_silence_is_nudged_given_a_last_chance_and_ended_each_on_its_day(database: Database) -> None:
    matching, published = await demand(database, S.MATCHING), await demand(database)
    both = [matching, published]
    for n in range(46):
        expected = {9: {"nudge": both}, 21: {"last_chance": both}, 45: {"abandoned": both}}.get(n, {})
        assert happened(await meet(database, n)) == expected, n
    assert await events(database) == ["demand.nudge"] * 2 + ["demand.last_chance"] * 2 + ["demand.abandoned"] * 2
    async with database.reading() as session:
        steps = await list_transitions(session, published)
        notices = await list_notices(session, matching)
    assert [step.to_status for step in steps[1:]] == ["published", "matching", "abandoned"]
    assert (steps[-1].reason, steps[-1].opinion) == ("no_contact", "45 天没有对接记录")
    assert [(notice.kind, notice.silent_since) for notice in notices] == [("nudge", day(0)), ("last_chance", day(0))]


async def test_a_published_demand_expires_after_its_date_and_is_not_abandoned_before(database: Database) -> None:
    soon, later = [await demand(database, expires_on=day(n)) for n in (5, 60)]
    claimed = await demand(database, S.MATCHING, expires_on=day(5))
    assert happened(await meet(database, 5)) == {}  # the last day counts
    assert happened(await meet(database, 6)) == {"expired": [soon]}
    assert happened(await meet(database, 50)) == {"abandoned": [claimed], "last_chance": [later]}
    assert happened(await meet(database, 61)) == {"expired": [later]}
    assert await events(database) == ["demand.expired", "demand.last_chance", "demand.abandoned", "demand.expired"]


async def test_a_job_that_was_not_run_for_long_does_what_is_due_now(database: Database) -> None:
    silent = await demand(database)
    assert happened(await meet(database, 30)) == {"last_chance": [silent]}
    assert happened(await meet(database, 100)) == {"abandoned": [silent]}
    assert happened(await meet(database, 101)) == {}


async def test_a_contact_starts_the_days_anew(database: Database) -> None:
    visited, asked, suggested = [await demand(database) for _ in range(3)]
    async with database.transaction() as session:
        for held_on in (day(8), day(40)):  # what is planned has not happened yet
            body = EngagementCreate(kind="visit", held_on=held_on, demand_id=visited)
            await create_engagement(session, body, COMMAND_LINE)
        profile = await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
        for demand_id, to in ((asked, SuggestionStatus.CONTACTED), (suggested, None)):
            suggestion = SuggestionCreate(demand_id=demand_id, profile_id=profile.id)
            row = await create_suggestion(session, suggestion, COMMAND_LINE)
            if to is not None:
                await transition_suggestion(session, row, SuggestionStep(to=to), COMMAND_LINE)
    assert happened(await meet(database, 9)) == {"nudge": [asked, suggested]}  # asked was today, so nine days ago too
    assert happened(await meet(database, 17)) == {"nudge": [visited]}
    assert happened(await meet(database, 39)) == {"last_chance": [visited, asked, suggested]}
    assert happened(await meet(database, 49)) == {
        "abandoned": [asked, suggested],
        "nudge": [visited],
    }  # a second silence
    async with database.reading() as session:
        assert [notice.silent_since for notice in await list_notices(session, visited)] == [day(8), day(8), day(40)]


@pytest.mark.parametrize("n", [9, 21, 45])
async def test_two_runs_at_once_do_it_once(database: Database, n: int) -> None:
    ids = [await demand(database, S.MATCHING) for _ in range(3)]
    reports = await asyncio.gather(*(meet(database, n) for _ in range(3)))
    assert sorted(id_ for report in reports for one in happened(report).values() for id_ in one) == sorted(ids)
    assert len(await events(database)) == len(ids)
    assert happened(await meet(database, n)) == {}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_people_do_meanwhile_counts(database: Database) -> None:
    """Staff contract a demand while the job waits for the row; then there is nothing left to abandon."""
    demand_id = await demand(database, S.MATCHING)
    async with database.transaction() as session:
        row = await get_demand(session, demand_id)
        await transition_demand(session, row, S.CONTRACTED, contract_number="1", actor=COMMAND_LINE)
        job = asyncio.create_task(meet(database, 45))
        await asyncio.sleep(0.2)
        assert not job.done()
    assert happened(await job) == {}
    assert await status(database, demand_id) == "contracted"


async def test_what_is_not_open_is_left_alone(database: Database) -> None:
    for one in S:
        if one not in {S.PUBLISHED, S.MATCHING}:
            await demand(database, one, expires_on=day(1))
    assert happened(await meet(database, 100)) == {}
    async with database.reading() as session:
        assert (await session.scalars(select(DeadlineNoticeRow))).all() == []


async def test_more_demands_than_one_transaction_holds(database: Database) -> None:
    async with database.transaction() as session:
        for n in range(205):
            row = await create_demand(session, DemandCreate(title=f"难题{n}"), COMMAND_LINE)
            await adopt_status(session, row, S.PUBLISHED, actor=COMMAND_LINE)
    assert len((await meet(database, 9)).nudge) == 205


@pytest.mark.parametrize("days", [{"nudge_days": 21}, {"abandon_days": 20}, {"nudge_days": 0}])
def test_days_that_make_no_sense_are_refused(days: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**days)


async def test_a_claim_starts_the_days_anew_and_ends_with_its_demand(database: Database) -> None:
    demand_id = await demand(database)
    async with database.transaction() as session:
        profile = await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
        row = await create_claim(
            session, ClaimCreate(demand_id=demand_id, profile_id=profile.id, offer="半年"), COMMAND_LINE
        )
        row.created_at += timedelta(days=30)
    assert happened(await meet(database, 38)) == {}
    assert happened(await meet(database, 39)) == {"nudge": [demand_id]}
    assert happened(await meet(database, 75)) == {"abandoned": [demand_id]}
    async with database.reading() as session:
        claim = await get_claim(session, row.id)
    assert (claim.status, claim.opinion) == ("not_chosen", "需求已放弃")
