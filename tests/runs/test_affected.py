"""A run over what changed leaves the very lists that a run over all demands would make, and ranks fewer."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock
from nights import WORDS, copied, ids_of, opened_engine, rerank, shown, small_city, store_demands, store_profiles
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.eligibility.rules import RULES
from matching_service.foundation.clock import start_of, today
from matching_service.matching import engine as engines
from matching_service.matching import ranking as rankings
from matching_service.matching import service
from matching_service.matching.engine import Engine
from matching_service.matching.schemas import MatchBody
from matching_service.organizations.queries import get_organization
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.queries import get_profile
from matching_service.profiles.service import delete_profile
from matching_service.runs import affected
from matching_service.runs import service as runs
from matching_service.shortlists.schemas import DecisionBody
from matching_service.shortlists.service import decide
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import MatchListRow, MatchRow

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
TOP_K = 5
TOPICS = [*WORDS, "柔轮疲劳", "机器视觉", "激光熔覆", "水性涂料"]


@pytest.fixture(autouse=True)
def _short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "DEFAULT_TOP_K", TOP_K)


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> Engine:
    return await small_city(database, tmp_path)


def test_events_that_change_a_rule_are_followed() -> None:
    assert all(rule.changed_by <= affected.FOLLOWED for rule in RULES)


async def states(engine: Engine, run_id: str) -> Counter[str]:
    async with engine.database.reading() as session:
        return Counter(await session.scalars(select(MatchListRow.state).where(MatchListRow.run_id == run_id)))


async def ranked_again(engine: Engine) -> set[str]:
    """External ids of the demands that a run over what changed ranks."""
    run = (await rerank(engine, scope="changed")).run
    assert run.state == "finished"
    statement = select(DemandRow.external_id).join(MatchListRow, MatchListRow.demand_id == DemandRow.id)
    async with engine.database.reading() as session:
        found = await session.scalars(statement.where(MatchListRow.run_id == run.id, MatchListRow.state == "done"))
        return {external_id or "" for external_id in found}


async def test_without_a_change_nothing_is_ranked_and_the_old_lists_are_shown(engine: Engine) -> None:
    await rerank(engine)
    before = await shown(engine)
    night = await rerank(engine, scope="changed")
    assert (night.run.n_demands, night.run.n_done, night.run.n_kept, night.changes) == (6, 0, 6, [])
    assert await states(engine, night.run.id) == {"kept": 6}
    assert await shown(engine) == before
    assert (await rerank(engine)).changes == []


@ONLY_SQLITE
async def test_without_a_run_before_all_are_ranked(engine: Engine) -> None:
    assert len(await ranked_again(engine)) == 6


@ONLY_SQLITE
async def test_a_profile_is_looked_at_where_it_is_or_would_be(engine: Engine) -> None:
    await rerank(engine)
    await store_profiles(engine.database, {"external_id": "NEW", "summary": f"{WORDS[0]}难题"})
    first = await ranked_again(engine)
    assert "D0" in first
    assert len(first) < 6
    assert (await shown(engine))["D0"][0].profile.external_id == "NEW"
    await store_profiles(engine.database, {"external_id": "NEW", "summary": "水产养殖"})
    assert await ranked_again(engine) == first  # it leaves the lists that it had come onto
    assert "NEW" not in {item.profile.external_id for items in (await shown(engine)).values() for item in items}


@ONLY_SQLITE
async def test_a_demand_is_ranked_again_for_what_happened_to_itself(engine: Engine, tmp_path: Path) -> None:
    async with engine.database.transaction() as session:
        own = await create_organization(session, OrganizationCreate(name="甲厂"), COMMAND_LINE)
    await store_demands(
        engine.database, tmp_path, {"external_id": "D1", "title": f"{WORDS[1]}难题", "organization_id": own.id}
    )
    await rerank(engine)
    await store_demands(
        engine.database,
        tmp_path,
        {"external_id": "D0", "title": "改题"},
        {"external_id": "D7", "title": "新题", "status": "published"},
    )
    assert await ranked_again(engine) == {"D0", "D7"}
    async with engine.database.transaction() as session:
        excluded = ExclusionBody(profile_id=(await ids_of(engine, ProfileRow))["E0"])
        await replace_exclusions(session, await get_organization(session, own.id), [excluded], COMMAND_LINE)
    assert await ranked_again(engine) == {"D1"}
    demand_id = (await ids_of(engine, DemandRow))["D2"]
    async with engine.database.transaction() as session:
        await service.match(engine, session, MatchBody(demand_id=demand_id, kinds=["expert"], top_k=2, store=True))
    assert await ranked_again(engine) == {"D2"}
    assert await ranked_again(engine) == set()


@ONLY_SQLITE
async def test_a_demand_that_failed_is_tried_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await rerank(engine)
    original = rankings.prepare  # type: ignore[attr-defined]  # the name by which it is called there

    def prepare(query: Any, *arguments: Any, **more: Any) -> Any:
        if query.title.startswith(WORDS[2]):
            raise ValueError("cannot be prepared")
        return original(query, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(rankings, "prepare", prepare)
        assert (await rerank(engine)).run.n_failed == 1
        await store_profiles(engine.database, {"summary": "水产养殖"})
        assert (await rerank(engine, scope="changed")).run.n_failed == 1
    assert await ranked_again(engine) == {"D2"}


@ONLY_SQLITE
async def test_all_are_ranked_where_more_profiles_changed_than_are_looked_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rerank(engine)
    await store_profiles(
        engine.database, {"external_id": "A", "summary": "水产养殖"}, {"external_id": "B", "summary": "水产养殖"}
    )
    monkeypatch.setattr(affected, "MAX_IDS", 1)
    assert len(await ranked_again(engine)) == 6


@ONLY_SQLITE
async def test_all_are_ranked_in_a_new_year_and_with_another_stability(
    engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    await rerank(engine)
    other = await opened_engine(engine.database, tmp_path / "data", stability=0.02)
    assert len(await ranked_again(other)) == 6
    assert await ranked_again(other) == set()
    clock.set(start_of(date(today().year + 1, 1, 1)))
    assert len(await ranked_again(other)) == 6


# Random lives of a city

Step = Callable[[Engine, random.Random, Path], Awaitable[None]]


def _text(chance: random.Random) -> str:
    return "，".join(chance.sample(TOPICS, k=chance.randint(1, 3)))


async def _any(engine: Engine, table: type[DemandRow | ProfileRow], chance: random.Random) -> tuple[str, str]:
    """External id and id of some row."""
    return chance.choice(sorted(pair for pair in (await ids_of(engine, table)).items() if pair[0]))


async def _new_profile(engine: Engine, chance: random.Random, _folder: Path) -> None:
    await store_profiles(engine.database, {"external_id": f"N{chance.random()}", "summary": _text(chance)})


async def _edit_profile(engine: Engine, chance: random.Random, _folder: Path) -> None:
    key, _ = await _any(engine, ProfileRow, chance)
    works = [{"title": _text(chance), "year": 2020 + n} for n in range(chance.randint(0, 2))]
    body = {"external_id": key, "summary": _text(chance), "works": works, "capacity": chance.choice([None, 1, 2])}
    await store_profiles(engine.database, body)


async def _hide_or_show(engine: Engine, chance: random.Random, _folder: Path) -> None:
    key, _ = await _any(engine, ProfileRow, chance)
    await store_profiles(engine.database, {"external_id": key, "visibility": chance.choice(["hidden", "public"])})


async def _set_dates(engine: Engine, chance: random.Random, _folder: Path) -> None:
    key, _ = await _any(engine, ProfileRow, chance)
    first = today() + timedelta(days=chance.randint(-1, 2))
    last = first + timedelta(days=chance.choice([0, 1, 89, 90, 91]))
    dates = {"available_from": first.isoformat(), "available_until": last.isoformat()}
    await store_profiles(engine.database, {"external_id": key} | dates)


async def _delete_profile(engine: Engine, chance: random.Random, _folder: Path) -> None:
    _, profile_id = await _any(engine, ProfileRow, chance)
    async with engine.database.transaction() as session:
        await delete_profile(session, await get_profile(session, profile_id), COMMAND_LINE)


async def _edit_demand(engine: Engine, chance: random.Random, folder: Path) -> None:
    key = f"D{chance.randint(0, 8)}"
    body = {"external_id": key, "title": _text(chance), "must_have": chance.choice([[], [chance.choice(TOPICS)]])}
    await store_demands(engine.database, folder, body | ({"status": "published"} if key > "D5" else {}))


async def _decide(engine: Engine, chance: random.Random, _folder: Path) -> None:
    async with engine.database.transaction() as session:
        match_id = chance.choice(sorted(await session.scalars(select(MatchRow.id))))
        decision = chance.choice(["pinned", "shortlisted", "rejected"])
        await decide(session, match_id, DecisionBody.model_validate({"decision": decision}), COMMAND_LINE)


async def _close_demand(engine: Engine, chance: random.Random, _folder: Path) -> None:
    async with engine.database.transaction() as session:
        open_ids = select(DemandRow.id).where(DemandRow.status == "published").order_by(DemandRow.id)
        demand = await get_demand(session, chance.choice((await session.scalars(open_ids)).all()))
        await adopt_status(session, demand, DemandStatus.CLOSED, actor=COMMAND_LINE)


STEPS: list[Step] = [
    _new_profile, _edit_profile, _edit_profile, _hide_or_show, _set_dates, _delete_profile, _edit_demand, _decide,
    _decide, _close_demand,
]  # fmt: skip


@pytest.mark.parametrize("seed", [4, 10])
async def test_after_any_changes_the_lists_are_those_of_a_run_over_all_demands(
    engine: Engine,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    clock: Clock,
    seed: int,
) -> None:
    """Night after night with some changes in between, also of the calendar alone."""
    chance = random.Random(seed)
    await rerank(engine)
    n_kept = 0
    for night in range(5):
        clock.advance(days=night % 2)
        for step in chance.choices(STEPS, k=chance.randint(0, 3)):
            await step(engine, chance, tmp_path)
        await engine.complete()
        await engine.profiles.save()
        await engine.demands.save()
        async with copied(engine.database, request, tmp_path) as copy:
            other = await opened_engine(copy, tmp_path / "data")
            await other.complete()
            monkeypatch.setattr(engines.Engine, "refresh", engines.Engine.complete)  # the words are not counted anew
            await rerank(other)
            expected = await shown(other)
        n_kept += (await rerank(engine, scope="changed")).run.n_kept
        for external_id, items in (await shown(engine)).items():
            assert [_told(item) for item in items] == [_told(item) for item in expected[external_id]], (
                night,
                external_id,
            )
    assert n_kept > 0


def _told(item: Any) -> Any:
    return item.model_dump(exclude={"match_id"})
