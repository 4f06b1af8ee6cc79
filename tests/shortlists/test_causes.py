"""Why lists changed, from the outbox and the decisions between two runs: one cause after another, through real runs."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock
from nights import N_DEMANDS, WORDS, Night, ids_of, rerank, shown, small_city, store_demands, store_profiles
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.demands.schemas import DemandPatch
from matching_service.demands.service import update_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.foundation.clock import start_of, today
from matching_service.foundation.paging import PageRequest
from matching_service.jobs import nightly
from matching_service.matching import service
from matching_service.matching.engine import Engine
from matching_service.matching.ranking import rank_many
from matching_service.matching.schemas import MatchBody
from matching_service.organizations.queries import get_organization
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfilePatch
from matching_service.profiles.service import delete_profile, update_profile
from matching_service.runs import chunks
from matching_service.runs import queries as run_queries
from matching_service.runs import service as runs
from matching_service.shortlists import causes, queries
from matching_service.shortlists import service as shortlists
from matching_service.shortlists.schemas import (
    DecisionBody,
    DemandChanges,
    MovedProfile,
    PairDecisionBody,
    PlacedProfile,
)
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.outbox import events_after, last_seq
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import MatchListRow

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
TOP_K = 5


@pytest.fixture
async def engine(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The small city; lists of five, so that somebody who comes in pushes somebody out."""
    monkeypatch.setattr(runs, "DEFAULT_TOP_K", TOP_K)
    return await small_city(database, tmp_path)


async def of_demand(engine: Engine, night: Night, external_id: str) -> DemandChanges:
    demand_id = (await ids_of(engine, DemandRow))[external_id]
    (found,) = [changes for changes in night.changes if changes.demand_id == demand_id]
    return found


def codes(places: Sequence[PlacedProfile | MovedProfile], profile_id: str | None) -> list[str]:
    (place,) = [place for place in places if place.profile_id == profile_id]
    return [cause.code for cause in place.causes]


async def decide(engine: Engine, demand: str, profile_id: str, decision: Any) -> None:
    (item,) = [item for item in (await shown(engine))[demand] if item.profile.id == profile_id]
    async with engine.database.transaction() as session:
        await shortlists.decide(session, item.match_id or "", DecisionBody(decision=decision), COMMAND_LINE)


async def listed(engine: Engine, demand: str) -> list[str]:
    return [item.profile.id for item in (await shown(engine))[demand]]


async def test_who_comes_and_whom_it_pushes_out(engine: Engine) -> None:
    first = await rerank(engine)
    assert {code for changes in first.changes for place in changes.entered for code in codes([place], place.profile_id)} == {
        "first_list"
    }  # fmt: skip
    last = (await listed(engine, "D0"))[-1]
    (new,) = await store_profiles(engine.database, {"name": "新专家", "summary": f"{WORDS[0]}难题"})
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert [(place.profile_id, place.name, place.rank) for place in changes.entered] == [(new, "新专家", 1)]
    assert codes(changes.entered, new) == ["new_profile"]
    assert [place.profile_id for place in changes.left] == [last]
    assert codes(changes.left, last)[0] == "others_moved"
    assert (await rerank(engine)).changes == []


async def test_lists_that_changed_are_told_when_people_see_them_and_no_others(engine: Engine) -> None:
    async def told(after: int) -> tuple[list[str], int]:
        async with engine.database.reading() as session:
            events = await events_after(session, after, entity="match_list", limit=100)
            assert {event.event for event in events} <= {"match_list.changed"}
            lists = {event.entity_id: (event.detail or {})["demand_id"] for event in events}
            stored = await get_by_ids(session, MatchListRow, lists)
            assert {row.id: row.demand_id for row in stored.values()} == lists
            return sorted(lists.values()), await last_seq(session)

    first = await rerank(engine)
    demand_ids, seq = await told(0)
    assert demand_ids == sorted(changes.demand_id for changes in first.changes)
    assert len(demand_ids) == N_DEMANDS
    await rerank(engine)
    assert (await told(seq))[0] == []
    await store_profiles(engine.database, {"name": "新专家", "summary": f"{WORDS[0]}难题"})
    run = await nightly.begin(engine, resume=False)
    async with engine.database.transaction() as session:
        await runs.cancel_run(session, run.id, COMMAND_LINE)
    await runs.complete_run(engine, run.id, patience_s=0)
    assert (await told(seq))[0] == []  # nobody will see the lists of a run that was cancelled
    night = await rerank(engine)
    assert (await told(seq))[0] == sorted(changes.demand_id for changes in night.changes) != []


async def test_an_edited_profile_is_told_with_its_fields_and_works(engine: Engine) -> None:
    await rerank(engine)
    inside = await listed(engine, "D0")
    outside = next(id_ for id_ in (await ids_of(engine, ProfileRow)).values() if id_ not in inside)
    works = [{"title": f"{WORDS[0]}难题攻关", "external_id": "w1"}, {"title": "别的", "external_id": "w2"}]
    await store_profiles(engine.database, {"id": outside, "name": "改过", "works": works})
    await store_profiles(engine.database, {"id": outside, "name": "改过", "works": works[:1], "keywords": ["难题"]})
    changes = await of_demand(engine, await rerank(engine), "D0")
    (place,) = [place for place in changes.entered if place.profile_id == outside]
    (cause,) = place.causes
    assert cause.code == "profile_changed"
    assert cause.fields == ["keywords", "name", "works"]
    assert cause.works == [works[0]["title"], "别的"]
    assert f"《{works[0]['title']}》" in cause.zh
    async with engine.database.transaction() as session:
        profile = await get_profile(session, outside)
        await delete_profile(session, profile, COMMAND_LINE)
    async with engine.database.reading() as session:
        run = await run_queries.last_finished_run(session)
        assert run is not None
        again = {
            changes.demand_id: changes
            for changes in (await runs.changes_of_run(session, run.id, PageRequest(200))).items
        }[changes.demand_id]
    (place,) = [place for place in again.entered if place.profile_id == outside]
    assert (place.name, place.causes[0].works) == (None, [])  # the place and the cause stay, the person does not


async def test_an_edited_demand_is_told_with_its_fields(engine: Engine, tmp_path: Path) -> None:
    await rerank(engine)
    await store_demands(engine.database, tmp_path, {"external_id": "D0", "title": f"{WORDS[1]}改题", "funding_wan": 5})
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert changes.entered
    for place in [*changes.entered, *changes.left]:
        (cause,) = place.causes
        assert (cause.code, cause.fields) == ("demand_changed", ["title"])
    await store_demands(engine.database, tmp_path, {"external_id": "D0", "title": f"{WORDS[1]}改题", "funding_wan": 6})
    assert (await rerank(engine)).changes == []


@pytest.mark.parametrize("visibility", ["hidden", "withdrawn"])
@ONLY_SQLITE
async def test_who_may_not_be_found_any_more(engine: Engine, visibility: str) -> None:
    await rerank(engine)
    top = (await listed(engine, "D0"))[0]
    await store_profiles(engine.database, {"id": top, "name": "-", "visibility": visibility})
    assert codes((await of_demand(engine, await rerank(engine), "D0")).left, top) == [visibility]


@ONLY_SQLITE
async def test_who_was_rejected_and_who_was_deleted(engine: Engine) -> None:
    await rerank(engine)
    first, second, *_ = await listed(engine, "D0")
    await decide(engine, "D0", first, "rejected")
    async with engine.database.transaction() as session:
        await delete_profile(session, await get_profile(session, second), COMMAND_LINE)
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert codes(changes.left, first) == ["rejected"]
    assert codes(changes.left, None) == ["deleted"]
    assert next(place.rank for place in changes.left if place.profile_id is None) == 2


@ONLY_SQLITE
async def test_who_was_pinned_comes_in_by_that(engine: Engine) -> None:
    """Pinned on an older list, when it had left the newest one."""
    await rerank(engine)
    last = (await listed(engine, "D0"))[-1]
    (item,) = [item for item in (await shown(engine))["D0"] if item.profile.id == last]
    await store_profiles(engine.database, {"summary": f"{WORDS[0]}难题"})
    await rerank(engine)
    assert last not in await listed(engine, "D0")
    async with engine.database.transaction() as session:
        await shortlists.decide(session, item.match_id or "", DecisionBody(decision="pinned"), COMMAND_LINE)
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert codes(changes.entered, last) == ["pinned"]
    assert changes.left == []


@ONLY_SQLITE
async def test_whom_the_organization_does_not_want_and_whom_it_wants_again(engine: Engine, tmp_path: Path) -> None:
    async with engine.database.transaction() as session:
        own = await create_organization(session, OrganizationCreate(name="甲厂", external_id="O1"), COMMAND_LINE)
        other = await create_organization(session, OrganizationCreate(name="乙所", external_id="O2"), COMMAND_LINE)
    await store_demands(
        engine.database, tmp_path, {"external_id": "D0", "title": f"{WORDS[0]}难题", "organization_id": own.id}
    )
    await rerank(engine)
    one, two, three, *_ = await listed(engine, "D0")
    await store_profiles(
        engine.database,
        {"id": two, "name": "-", "organization_id": other.id},
        {"id": three, "name": "-", "organization_id": own.id},
    )
    async with engine.database.transaction() as session:
        wanted = [ExclusionBody(profile_id=one), ExclusionBody(organization_id=other.id)]
        await replace_exclusions(session, await get_organization(session, own.id), wanted, COMMAND_LINE)
    left = (await of_demand(engine, await rerank(engine), "D0")).left
    assert codes(left, one) == ["excluded_by_organization"]
    assert codes(left, two) == ["excluded_organization"]
    assert codes(left, three) == ["own_organization"]
    async with engine.database.transaction() as session:
        await replace_exclusions(session, await get_organization(session, own.id), [], COMMAND_LINE)
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert codes(changes.entered, one) == ["exclusions_changed"]


@ONLY_SQLITE
async def test_who_is_away_and_who_is_back_by_the_calendar_alone(engine: Engine, clock: Clock) -> None:
    await rerank(engine)
    one, two, *_ = await listed(engine, "D0")
    day = today()
    tomorrow = day + timedelta(days=1)
    await store_profiles(
        engine.database,
        {"id": one, "name": "-", "available_from": tomorrow.isoformat()},
        {"id": two, "name": "-", "available_until": day.isoformat()},
    )
    await rerank(engine)
    assert one not in await listed(engine, "D0")
    clock.set(start_of(tomorrow))
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert codes(changes.entered, one)[0] == "availability_changed"
    assert codes(changes.left, two) == ["unavailable"]
    assert causes._is_date_reached(ProfileRow(available_until=day + timedelta(days=90)), after=day, on=tomorrow)
    assert not causes._is_date_reached(ProfileRow(available_until=day + timedelta(days=89)), after=day, on=tomorrow)
    assert not causes._is_date_reached(ProfileRow(available_until=day + timedelta(days=91)), after=day, on=tomorrow)


def last_run(monkeypatch: pytest.MonkeyPatch, **columns: object) -> None:
    """The next comparison finds that the run before was made with something else."""
    original = queries.previous_lists

    async def previous_lists(*arguments: Any) -> Mapping[str, queries.PreviousList]:
        found: Mapping[str, queries.PreviousList] = await original(*arguments)
        for before in found.values():
            for name, value in columns.items():
                setattr(before.run, name, value)
        return found

    monkeypatch.setattr(queries, "previous_lists", previous_lists)


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("weights_version", "fit-1", "weights_changed"),
        ("lexicon_version", "older", "lexicon_changed"),
        ("encoder_version", "older", "encoder_changed"),
        ("stability", 0.02, "stability_changed"),
    ],
)
@ONLY_SQLITE
async def test_what_is_another_for_everybody_is_named_unless_something_decides_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, column: str, value: object, code: str
) -> None:
    await rerank(engine)
    last = (await listed(engine, "D0"))[-1]
    (new,) = await store_profiles(engine.database, {"summary": f"{WORDS[0]}难题"})
    last_run(monkeypatch, **{column: value})
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert codes(changes.entered, new) == ["new_profile"]
    assert codes(changes.left, last) == [code]


@ONLY_SQLITE
async def test_a_new_year_is_a_cause(engine: Engine, clock: Clock) -> None:
    await rerank(engine)
    last = (await listed(engine, "D0"))[-1]
    await store_profiles(engine.database, {"summary": f"{WORDS[0]}难题"})
    clock.set(start_of(date(today().year + 1, 1, 1)))
    assert codes((await of_demand(engine, await rerank(engine), "D0")).left, last) == ["new_year"]


@ONLY_SQLITE
async def test_a_list_that_was_asked_for_by_hand_differs_by_that(engine: Engine) -> None:
    await rerank(engine)
    before = await listed(engine, "D0")
    demand_id = (await ids_of(engine, DemandRow))["D0"]
    async with engine.database.transaction() as session:
        body = MatchBody(demand_id=demand_id, candidates=before[:2], store=True)
        answer = await service.match(engine, session, body)
    async with engine.database.reading() as session:
        (changes,) = (await runs.changes_of_run(session, answer.run_id or "", PageRequest())).items
    assert [codes(changes.left, profile_id) for profile_id in before[2:]] == [["asked_by_hand"]] * 3
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert [codes(changes.entered, profile_id) for profile_id in before[2:]] == [["asked_by_hand"]] * 3


async def test_what_staff_decided_for_other_demands_moves_a_profile(engine: Engine, tmp_path: Path) -> None:
    """Six alike; the first is chosen for another demand, and better; then that demand is closed."""
    twins = [{"external_id": f"T{n}", "name": f"甲{n}", "summary": "激光熔覆修复", "capacity": 1} for n in range(4)]
    await store_profiles(engine.database, *twins)
    for key in ("L0", "L1"):
        await store_demands(engine.database, tmp_path, {"external_id": key, "title": "激光熔覆", "status": "published"})
    await rerank(engine)
    first = (await listed(engine, "L0"))[0]
    await decide(engine, "L1", first, "shortlisted")
    changes = await of_demand(engine, await rerank(engine), "L0")
    assert [(moved.profile_id, moved.from_rank, moved.to_rank) for moved in changes.moved] == [(first, 1, 4)]
    assert codes(changes.moved, first) == ["standing_changed"]
    async with engine.database.transaction() as session:
        row = (await session.scalars(select(DemandRow).where(DemandRow.external_id == "L1"))).one()
        demand = await get_demand(session, row.id)
        await adopt_status(session, demand, DemandStatus.CLOSED, actor=COMMAND_LINE)
    changes = await of_demand(engine, await rerank(engine), "L0")
    assert codes(changes.moved, first) == ["standing_changed"]


@ONLY_SQLITE
async def test_an_edit_before_a_list_that_was_asked_for_by_hand_is_no_cause_afterwards(engine: Engine) -> None:
    """The list knows every event before it, of demands as well as of profiles."""
    demand_id = (await ids_of(engine, DemandRow))["D0"]
    await rerank(engine)
    async with engine.database.transaction() as session:
        demand = await get_demand(session, demand_id)
        await update_demand(session, demand, DemandPatch(problem="须耐高温"), COMMAND_LINE)
    async with engine.database.transaction() as session:
        await service.match(engine, session, MatchBody(demand_id=demand_id, top_k=TOP_K, store=True))
    await store_profiles(engine.database, {"name": "新专家", "summary": f"{WORDS[0]}难题"})
    changes = await of_demand(engine, await rerank(engine), "D0")
    places: list[PlacedProfile | MovedProfile] = [*changes.entered, *changes.left, *changes.moved]
    causes_named = {cause.code for place in places for cause in place.causes}
    assert "new_profile" in causes_named
    assert "demand_changed" not in causes_named


@ONLY_SQLITE
async def test_what_a_list_already_knew_of_a_profile_is_no_cause_afterwards(engine: Engine) -> None:
    demand_id = (await ids_of(engine, DemandRow))["D0"]
    await rerank(engine)
    first = (await listed(engine, "D0"))[0]
    async with engine.database.transaction() as session:
        await update_profile(session, await get_profile(session, first), ProfilePatch(summary="园艺"), COMMAND_LINE)
    async with engine.database.transaction() as session:
        await service.match(engine, session, MatchBody(demand_id=demand_id, top_k=TOP_K, store=True))
    new = await store_profiles(engine.database, *({"name": f"新{n}", "summary": f"{WORDS[0]}难题"} for n in range(3)))
    changes = await of_demand(engine, await rerank(engine), "D0")
    assert {place.profile_id for place in changes.entered} == set(new)
    places: list[PlacedProfile | MovedProfile] = [*changes.left, *changes.moved]
    causes_named = {cause.code for place in places for cause in place.causes}
    assert "profile_changed" not in causes_named


async def edit_problem(engine: Engine, external_id: str) -> None:
    demand_id = (await ids_of(engine, DemandRow))[external_id]
    async with engine.database.transaction() as session:
        demand = await get_demand(session, demand_id)
        await update_demand(session, demand, DemandPatch(problem="须耐高温"), COMMAND_LINE)


def all_codes(changes: DemandChanges) -> set[str]:
    places: list[PlacedProfile | MovedProfile] = [*changes.entered, *changes.left, *changes.moved]
    return {cause.code for place in places for cause in place.causes}


async def test_an_edit_between_the_start_of_a_run_and_a_list_is_no_cause_in_the_next_run(engine: Engine) -> None:
    await rerank(engine)
    run = await nightly.begin(engine, resume=False)
    await edit_problem(engine, "D0")
    await runs.complete_run(engine, run.id, patience_s=0)
    await store_profiles(engine.database, {"name": "新专家", "summary": f"{WORDS[0]}难题"})
    named = all_codes(await of_demand(engine, await rerank(engine), "D0"))
    assert "new_profile" in named
    assert "demand_changed" not in named


async def test_an_edit_while_a_list_is_ranked_is_a_cause_in_the_next_run_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list that was ranked before the edit does not include it, though it is stored after it."""
    await rerank(engine)
    await store_profiles(engine.database, {"name": "新专家", "summary": f"{WORDS[0]}难题"})
    original = causes.changes_of

    async def after_an_edit(*arguments: Any) -> Any:
        monkeypatch.setattr(chunks, "changes_of", original)
        await edit_problem(engine, "D0")
        return await original(*arguments)

    monkeypatch.setattr(chunks, "changes_of", after_an_edit)
    assert "demand_changed" not in all_codes(await of_demand(engine, await rerank(engine), "D0"))
    await store_profiles(engine.database, {"name": "另一专家", "summary": f"{WORDS[0]}难题"})
    assert "demand_changed" in all_codes(await of_demand(engine, await rerank(engine), "D0"))


async def test_a_decision_between_the_start_of_a_run_and_a_list_is_no_cause_in_the_next_run(
    engine: Engine, tmp_path: Path
) -> None:
    twins = [{"external_id": f"T{n}", "name": f"甲{n}", "summary": "激光熔覆修复", "capacity": 1} for n in range(4)]
    await store_profiles(engine.database, *twins)
    for key in ("L0", "L1"):
        await store_demands(engine.database, tmp_path, {"external_id": key, "title": "激光熔覆", "status": "published"})
    await rerank(engine)
    first = (await listed(engine, "L0"))[0]
    run = await nightly.begin(engine, resume=False)
    await decide(engine, "L1", first, "shortlisted")
    await runs.complete_run(engine, run.id, patience_s=0)
    assert (await listed(engine, "L0"))[3] == first  # the list includes the decision
    better = [{"name": f"乙{n}", "summary": "激光熔覆修复", "title": "激光熔覆"} for n in range(4)]
    await store_profiles(engine.database, *better)
    changes = await of_demand(engine, await rerank(engine), "L0")
    assert codes([*changes.left, *changes.moved], first)
    assert "standing_changed" not in all_codes(changes)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
async def test_a_pin_while_a_list_is_made_by_hand_is_the_cause_in_the_next_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rerank(engine)
    inside = await listed(engine, "D0")
    outside = next(id_ for id_ in (await ids_of(engine, ProfileRow)).values() if id_ not in inside)
    demand_id = (await ids_of(engine, DemandRow))["D0"]
    original = rank_many

    async def after_a_pin(*arguments: Any) -> Any:
        pin = PairDecisionBody(demand_id=demand_id, profile_id=outside, decision="pinned")
        async with engine.database.transaction() as session:
            await shortlists.decide_pairs(session, [pin], COMMAND_LINE)
        return await original(*arguments)

    monkeypatch.setattr(service, "rank_many", after_a_pin)
    async with engine.database.transaction() as session:
        await service.match(engine, session, MatchBody(demand_id=demand_id, top_k=TOP_K, store=True))
    assert outside not in await listed(engine, "D0")
    monkeypatch.undo()
    async with engine.database.transaction() as session:
        await service.match(engine, session, MatchBody(demand_id=demand_id, top_k=TOP_K, store=True))
    async with engine.database.reading() as session:
        page = await runs.changes_since(session, start_of(today()), PageRequest())
    changes = next(each for each in page.items if each.demand_id == demand_id)
    assert codes(changes.entered, outside) == ["pinned"]
