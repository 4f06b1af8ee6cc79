"""Every view of a shortlist names the same profiles in the same order, in random worlds and after random changes."""

import json
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from conftest import BACKENDS, fresh_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nights import WORDS, ids_of, opened_engine, rerank, store_demands
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.disclosure.representations import represent
from matching_service.feeds.feed import read_feed
from matching_service.files.exports import export_file
from matching_service.foundation.clock import now, today
from matching_service.foundation.errors import NotFound
from matching_service.matching.engine import Engine
from matching_service.matching.schemas import ExplainBody, MatchBody
from matching_service.matching.service import demands_for_profile, explain, match
from matching_service.organizations.queries import get_organization
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import delete_profile, upsert_profiles
from matching_service.reports.figures import count_settled
from matching_service.reports.periods import parse_period
from matching_service.shortlists.schemas import MatchAnswer
from matching_service.shortlists.service import latest_matches
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import SuggestionRow
from matching_service.suggestions.schemas import SuggestionCreate, SuggestionStep
from matching_service.suggestions.service import create_suggestion, transition_suggestion

N_PROFILES, N_DEMANDS, TOP_K = 24, 4, 5
DAY = timedelta(days=1)


async def random_city(database: Database, folder: Path, rng: random.Random) -> Engine:
    async with database.transaction() as session:
        organizations = [
            (await create_organization(session, OrganizationCreate(name=f"某厂{n}"), COMMAND_LINE)).id for n in range(3)
        ]
        profiles = [
            ProfileImport(
                external_id=f"E{n}",
                kind="expert",
                name=f"专家{n}",
                summary=f"{rng.choice(WORDS[:3])}与{rng.choice(WORDS[:3])}",
                organization_id=rng.choice([None, *organizations]),
            )
            for n in range(N_PROFILES)
        ]
        await upsert_profiles(session, profiles, COMMAND_LINE)
    demands: list[dict[str, Any]] = [
        {
            "external_id": f"D{n}",
            "title": f"{WORDS[n % 3]}难题",
            "status": "published",
            "organization_id": rng.choice([None, *organizations]),
        }
        for n in range(N_DEMANDS)
    ]
    await store_demands(database, folder, *demands)
    return await opened_engine(database, folder / "data")


async def change_something(database: Database, rng: random.Random) -> None:
    """One change after which somebody may have to disappear from a list, or to stay on it."""
    async with database.transaction() as session:
        profiles = list(await session.scalars(select(ProfileRow).order_by(ProfileRow.external_id)))
        demands = list(await session.scalars(select(DemandRow).order_by(DemandRow.external_id)))
        profile, demand = rng.choice(profiles), rng.choice(demands)
        kind = rng.choice(
            ["hide", "withdraw", "away", "exclude", "exclude_all_of", "decide", "suggest", "delete", "join"]
        )
        if kind in {"hide", "withdraw"}:
            profile.visibility = "hidden" if kind == "hide" else "withdrawn"
        elif kind == "away":
            profile.available_from = today() + DAY
        elif kind == "join":
            profile.organization_id = demand.organization_id
        elif kind == "delete":
            await delete_profile(session, await get_profile(session, profile.id), COMMAND_LINE)
        elif kind == "decide":
            await session.merge(decision_of(demand, profile, rng.choice(["pinned", "shortlisted", "rejected"])))
        elif kind == "suggest":
            known = select(SuggestionRow).where(
                SuggestionRow.demand_id == demand.id, SuggestionRow.profile_id == profile.id
            )
            if await session.scalar(known) is None:
                status = rng.choice(["suggested", "declined", "no_answer"])
                session.add(SuggestionRow(demand_id=demand.id, profile_id=profile.id, status=status))
        elif demand.organization_id is not None:
            organization = await get_organization(session, demand.organization_id, for_update=True)
            other = profile.organization_id
            wanted = (
                ExclusionBody(organization_id=other)
                if kind == "exclude_all_of" and other is not None and other != organization.id
                else ExclusionBody(profile_id=profile.id)
            )
            await replace_exclusions(session, organization, [wanted], COMMAND_LINE)


def decision_of(demand: DemandRow, profile: ProfileRow, decision: str) -> DecisionRow:
    """With an id made of the pair, so that a later decision replaces this one."""
    return DecisionRow(
        id=f"{demand.external_id}-{profile.external_id}", demand_id=demand.id, profile_id=profile.id, decision=decision,
        actor_id="cli", at=now(),
    )  # fmt: skip


async def seen(engine: Engine) -> dict[str, list[tuple[str, int, str | None]]]:
    """Per demand that has a list the profile, rank and decision of each entry, as the API gives them."""
    lists = {}
    async with engine.database.reading() as session:
        for demand_id in (await ids_of(engine, DemandRow)).values():
            try:
                answer = await latest_matches(session, demand_id)
            except NotFound:
                continue
            lists[demand_id] = entries_of(answer)
    return lists


def entries_of(answer: MatchAnswer) -> list[tuple[str, int, str | None]]:
    return [(item.profile.id, item.rank, item.decision) for item in answer.items]


async def exported(engine: Engine, folder: Path) -> dict[str, list[tuple[str, int, str | None]]]:
    path = folder / "matches.jsonl"
    await export_file(engine.database, "matches", path)
    lists: dict[str, list[tuple[str, int, str | None]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        lists.setdefault(row["demand_id"], []).append((row["profile_id"], row["rank"], row.get("decision")))
    return lists


def items_of(data: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    return [(item["profile"]["id"], item["rank"], item["decision"]) for item in data["items"]]


async def in_the_feed(engine: Engine) -> dict[str, list[tuple[str, int, str | None]]]:
    lists, position = {}, None
    async with engine.database.reading() as session:
        answer = await read_feed(session, ("match",), after=position, limit=200, audience="office")
    assert not answer.has_more
    for item in answer.items:
        if item.entity == "match_list" and item.data is not None:
            lists[item.data["demand_id"]] = items_of(item.data)
    return lists


async def sent_to_webhooks(engine: Engine) -> dict[str, list[tuple[str, int, str | None]]]:
    async with engine.database.reading() as session:
        events = list(await session.scalars(select(OutboxRow).where(OutboxRow.entity == "match_list")))
        told = await represent(session, events, "office")
    return {item.data["demand_id"]: items_of(item.data) for item in told if item is not None and item.data is not None}


async def assert_stored_views_agree(engine: Engine, folder: Path) -> None:
    lists = await seen(engine)
    assert len(lists) == N_DEMANDS
    assert await exported(engine, folder) == {demand_id: entries for demand_id, entries in lists.items() if entries}
    for told in (await in_the_feed(engine), await sent_to_webhooks(engine)):
        assert told == {demand_id: entries for demand_id, entries in lists.items() if entries or demand_id in told}


async def assert_ranked_views_agree(engine: Engine) -> None:
    """A list that is kept now is the one that people see; each pair's explanation and the reverse match agree."""
    demands = await ids_of(engine, DemandRow)
    profiles = await ids_of(engine, ProfileRow)
    proposed: dict[tuple[str, str], float] = {}
    for demand_id in demands.values():
        async with engine.database.transaction() as session:
            kept = await match(engine, session, MatchBody(demand_id=demand_id, top_k=TOP_K, store=True, explain=False))
        assert (await seen(engine))[demand_id] == entries_of(kept)
        places = {item.profile.id: item.rank for item in kept.items}
        whole: dict[str, int] = {}
        for profile_id in profiles.values():
            answer = await explain(engine, ExplainBody(demand_id=demand_id, profile_id=profile_id, top_k=TOP_K))
            assert answer.is_listed == (profile_id in places), answer
            assert answer.is_listed == (not answer.why_not), answer
            if answer.is_listed and answer.rank is not None:
                whole[profile_id] = answer.rank
        pinned = {item.profile.id for item in kept.items if item.decision == "pinned"}
        order = sorted(whole, key=lambda profile_id: (profile_id not in pinned, whole[profile_id]))
        assert order == [profile_id for profile_id in places if profile_id in whole]
        assert all(whole[profile_id] == places[profile_id] for profile_id in order if whole[profile_id] <= TOP_K)
        async with engine.database.transaction() as session:
            everybody = MatchBody(demand_id=demand_id, candidates=list(profiles.values()), store=True, explain=False)
            ranked = await match(engine, session, everybody)
        proposed |= {(demand_id, item.profile.id): item.score for item in ranked.items if item.score > 0}
    for profile_id in profiles.values():
        reverse = await demands_for_profile(engine, profile_id, top_k=200, min_as_of=None)
        asked = {(item.demand.id, profile_id): item.score for item in reverse.items}
        assert asked == {pair: score for pair, score in proposed.items() if pair[1] == profile_id}


async def assert_the_report_counts_ranks_as_seen(engine: Engine, rng: random.Random) -> None:
    """Somebody on a list accepts: the report counts it at the rank that people saw."""
    async with engine.database.reading() as session:
        asked = {(row.demand_id, row.profile_id) for row in await session.scalars(select(SuggestionRow))}
    listed = [
        (demand_id, profile_id, rank)
        for demand_id, entries in (await seen(engine)).items()
        for profile_id, rank, decision in entries
        if decision != "rejected" and (demand_id, profile_id) not in asked
    ]
    if not listed:
        return
    demand_id, profile_id, rank = rng.choice(listed)
    async with engine.database.transaction() as session:
        body = SuggestionCreate(demand_id=demand_id, profile_id=profile_id)
        row = await create_suggestion(session, body, COMMAND_LINE)
        for step in ("contacted", "accepted"):
            await transition_suggestion(session, row, SuggestionStep.model_validate({"to": step}), COMMAND_LINE)
    async with engine.database.reading() as session:
        settled = await count_settled(session, parse_period(str(today().year), at=now()))
    assert [tuple(counts) for counts in settled] == [(rank, 1, 1)]


@pytest.fixture(params=BACKENDS)
def new_database(request: pytest.FixtureRequest) -> Callable[[Path], Database]:
    """Gives a migrated database whenever it is called, for each example of a property."""
    request.getfixturevalue("postgres" if request.param == "postgresql" else "migrated_sqlite")
    return lambda folder: Database(fresh_database(request, request.param, folder, is_migrated=True))


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors],
)
@given(rng=st.randoms(use_true_random=False))
async def test_all_views_name_the_same_profiles_in_the_same_order(
    new_database: Callable[[Path], Database], tmp_path: Path, rng: random.Random
) -> None:
    folder = tmp_path / uuid4().hex
    folder.mkdir()
    database = new_database(folder)
    try:
        engine = await random_city(database, folder, rng)
        await rerank(engine)
        await assert_stored_views_agree(engine, folder)
        for _ in range(3):
            for _ in range(rng.randint(1, 8)):
                await change_something(database, rng)
            await assert_stored_views_agree(engine, folder)
        await assert_the_report_counts_ranks_as_seen(engine, rng)
        await engine.profiles.rebuild()  # rows were changed above without events
        await engine.demands.rebuild()
        await assert_ranked_views_agree(engine)
        await assert_stored_views_agree(engine, folder)
    finally:
        await database.close()
