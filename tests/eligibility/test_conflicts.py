"""Who may never be proposed for a demand: each reason, several at once, page by page, and nobody else."""

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.eligibility.cases import Exclusions, exclusions_of
from matching_service.eligibility.conflicts import find_conflicts
from matching_service.eligibility.schemas import ConflictItem
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import NotFound
from matching_service.foundation.paging import PageRequest, decode_cursor
from matching_service.organizations.queries import get_organization
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile
from matching_service.store.database import Database
from matching_service.store.profiles import NEVER_MATCHED
from matching_service.store.shortlists import DecisionRow

TODAY = date(2026, 11, 23)
DAY = timedelta(days=1)


class World:
    """Organizations, profiles and demands of one database, made in a line each."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def organization(self, **values: Any) -> str:
        async with self.database.transaction() as session:
            body = OrganizationCreate(**{"name": f"某厂{uuid4().hex}"} | values)
            return (await create_organization(session, body, COMMAND_LINE)).id

    async def profile(self, **values: Any) -> str:
        async with self.database.transaction() as session:
            body = ProfileCreate(**{"kind": "expert", "name": "卓砺川"} | values)
            return (await create_profile(session, body, COMMAND_LINE)).id

    async def demand(self, organization_id: str | None = None) -> str:
        async with self.database.transaction() as session:
            body = DemandCreate(title="柔轮开裂", organization_id=organization_id)
            return (await create_demand(session, body, COMMAND_LINE)).id

    async def exclude(self, organization_id: str, *items: dict[str, Any]) -> None:
        async with self.database.transaction() as session:
            organization = await get_organization(session, organization_id, for_update=True)
            await replace_exclusions(session, organization, [ExclusionBody(**item) for item in items], COMMAND_LINE)

    async def decide(self, demand_id: str, profile_id: str, decision: str, reason: str | None = None) -> None:
        async with self.database.transaction() as session:
            session.add(
                DecisionRow(
                    demand_id=demand_id, profile_id=profile_id, decision=decision, reason=reason, actor_id="cli", at=now()
                )
            )  # fmt: skip

    async def items(
        self, demand_id: str, candidates: list[str] | None = None, *, limit: int = 200
    ) -> list[ConflictItem]:
        """All items, page by page, each page no longer than asked for."""
        found: list[ConflictItem] = []
        after: str | None = None
        async with self.database.reading() as session:
            while True:
                page = await find_conflicts(session, demand_id, candidates, PageRequest(limit, after), on=TODAY)
                assert len(page.items) <= limit
                found += page.items
                if page.next_cursor is None:
                    return found
                assert len(page.items) == limit
                after = decode_cursor(page.next_cursor)

    async def reasons(self, demand_id: str, candidates: list[str] | None = None) -> dict[str, list[str]]:
        items = await self.items(demand_id, candidates)
        return {item.profile_id: [reason.code for reason in item.reasons] for item in items}


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def details(world: World, demand_id: str) -> list[tuple[str, str]]:
    """Both languages of the only reason of the only item."""
    ((reason,),) = [item.reasons for item in await world.items(demand_id)]
    return [(reason.detail.zh, reason.detail.en)]


async def test_without_a_conflict_the_list_is_empty(world: World) -> None:
    own, other = await world.organization(), await world.organization()
    profiles = [
        await world.profile(),
        await world.profile(organization_id=other, visibility="restricted"),
        await world.profile(available_from=TODAY, available_until=TODAY, capacity=0),
        await world.profile(available_from=TODAY - DAY),
        await world.profile(available_until=TODAY + DAY),
    ]
    for demand in (await world.demand(), await world.demand(own)):
        assert await world.items(demand) == []
        assert await world.items(demand, profiles) == []
        assert await world.items(demand, []) == []


async def test_an_unknown_demand_is_not_found(world: World) -> None:
    for demand_id in (new_id(), "17"):
        with pytest.raises(NotFound):
            await world.items(demand_id)


async def test_who_belongs_to_the_demanding_organization(world: World) -> None:
    own, other = await world.organization(name="某厂"), await world.organization()
    inside = await world.profile(organization_id=own, external_id="E", region="440605")
    await world.profile(organization_id=other)
    (item,) = await world.items(await world.demand(own))
    assert item.profile is not None
    assert item.profile.model_dump() == {
        "id": inside, "external_id": "E", "kind": "expert", "name": "卓砺川", "region": "440605",
        "country": "CN", "overseas": False, "language": "zh", "organization": {"id": own, "name": "某厂"},
    }  # fmt: skip
    assert [reason.code for reason in item.reasons] == ["own_organization"]
    assert await world.items(await world.demand()) == []


@pytest.mark.parametrize("reason", [None, "合作已终止"])
async def test_whom_the_organization_excluded(world: World, reason: str | None) -> None:
    own, other = await world.organization(), await world.organization()
    excluded, free = await world.profile(), await world.profile()
    await world.exclude(own, {"profile_id": excluded, "reason": reason})
    await world.exclude(other, {"profile_id": free})
    demand = await world.demand(own)
    assert await world.reasons(demand) == {excluded: ["excluded_by_organization"]}
    ((zh, en),) = await details(world, demand)
    assert zh.endswith("理由：合作已终止") == en.endswith("Reason: 合作已终止") == (reason is not None)


async def test_who_belongs_to_an_excluded_organization(world: World) -> None:
    own, rival, other = [await world.organization() for _ in range(3)]
    theirs = await world.profile(organization_id=rival)
    await world.profile(organization_id=other)
    await world.profile(organization_id=None)
    await world.exclude(own, {"organization_id": rival, "reason": "竞争对手"})
    await world.exclude(rival, {"organization_id": own})
    demand = await world.demand(own)
    assert await world.reasons(demand) == {theirs: ["excluded_organization"]}
    ((zh, en),) = await details(world, demand)
    assert "竞争对手" in zh
    assert "竞争对手" in en


@pytest.mark.parametrize(
    ("start", "end", "zh", "en"),
    [
        (TODAY + DAY, None, "2026-11-24 起", "from 2026-11-24;"),
        (None, TODAY - DAY, "2026-11-22 止", "until 2026-11-22;"),
        (TODAY + DAY, TODAY + 2 * DAY, "2026-11-24 至 2026-11-25", "from 2026-11-24 until 2026-11-25;"),
        (TODAY - 2 * DAY, TODAY - DAY, "2026-11-21 至 2026-11-22", "from 2026-11-21 until 2026-11-22;"),
    ],
)
async def test_who_is_not_available_today(world: World, start: date | None, end: date | None, zh: str, en: str) -> None:
    absent = await world.profile(available_from=start, available_until=end)
    demand = await world.demand()
    assert await world.reasons(demand) == {absent: ["unavailable"]}
    ((chinese, english),) = await details(world, demand)
    assert zh in chinese
    assert en in english
    assert "2026-11-23" in chinese
    assert "2026-11-23" in english


async def test_who_is_hidden_or_has_withdrawn(world: World) -> None:
    hidden = {state: await world.profile(visibility=state) for state in sorted(NEVER_MATCHED)}
    await world.profile(visibility="restricted")
    assert await world.reasons(await world.demand()) == {profile: [state] for state, profile in hidden.items()}


async def test_whom_staff_rejected_for_this_demand(world: World) -> None:
    demand, other = await world.demand(), await world.demand()
    rejected, pinned = await world.profile(), await world.profile()
    await world.decide(demand, rejected, "rejected", "方向不符")
    await world.decide(demand, pinned, "pinned")
    await world.decide(other, pinned, "rejected")
    assert await world.reasons(demand) == {rejected: ["rejected"]}
    assert await world.reasons(other) == {pinned: ["rejected"]}
    assert "方向不符" in (await details(world, demand))[0][0]


async def everything(world: World) -> tuple[str, dict[str, list[str]]]:
    """A demand, and the reasons that each of many profiles has."""
    own, rival = await world.organization(), await world.organization()
    demand = await world.demand(own)
    most = await world.profile(organization_id=rival, available_until=TODAY - DAY, visibility="withdrawn")
    inside = await world.profile(organization_id=own, available_from=TODAY + DAY, visibility="hidden")
    await world.exclude(own, {"profile_id": most}, {"profile_id": inside}, {"organization_id": rival})
    await world.decide(demand, most, "rejected")
    expected = {
        most: ["excluded_by_organization", "excluded_organization", "unavailable", "withdrawn", "rejected"],
        inside: ["own_organization", "excluded_by_organization", "unavailable", "hidden"],
    }
    for _ in range(5):
        await world.profile()
        expected[await world.profile(visibility="hidden")] = ["hidden"]
        expected[await world.profile(organization_id=rival)] = ["excluded_organization"]
    return demand, expected


@pytest.mark.parametrize(
    ("own", "other", "is_same"),
    [
        ({"name": "佛山某厂（集团）"}, {"name": "佛山某厂(集团)"}, True),
        ({"name": "ABC 精密机械"}, {"name": "ＡＢＣ精密机械", "credit_code": "91440606MA4UNEW12U"}, True),
        ({"name": "佛山某厂"}, {"name": "佛山某厂二厂"}, False),
        (
            {"name": "佛山某厂", "credit_code": "91440606MA4UNEW12U"},
            {"name": "佛山某厂", "credit_code": "91440606796276337C"},
            False,
        ),
    ],
)
async def test_the_same_firm_under_two_sources_is_the_demanding_organization(
    world: World, *, own: dict[str, Any], other: dict[str, Any], is_same: bool
) -> None:
    owner = await world.organization(source="portal", **own)
    twin = await world.organization(source="kexie", **other)
    inside = await world.profile(organization_id=twin)
    items = await world.items(await world.demand(owner))
    assert [item.profile_id for item in items] == ([inside] if is_same else [])


async def test_all_reasons_of_a_profile_are_named(world: World) -> None:
    demand, expected = await everything(world)
    assert await world.reasons(demand) == expected


@pytest.mark.parametrize("limit", [1, 2, 5, 11, 12, 200])
async def test_pages_hold_each_profile_once_in_the_order_of_ids(world: World, limit: int) -> None:
    demand, expected = await everything(world)
    items = await world.items(demand, limit=limit)
    assert [item.profile_id for item in items] == sorted(expected)
    unknown = new_id()
    candidates = [*list(expected)[::-1], unknown, await world.profile(), next(iter(expected))]
    named = await world.items(demand, candidates, limit=limit)
    assert [item.profile_id for item in named] == sorted([*expected, unknown])
    assert [item for item in named if item.profile_id != unknown] == items


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_candidates_that_do_not_exist_are_named(world: World, limit: int) -> None:
    demand = await world.demand()
    free, hidden, left_out = [await world.profile(visibility=state) for state in ("public", "hidden", "hidden")]
    wrong = [new_id(), free.upper(), "A-17", "编号", "'; DROP TABLE profiles; --"]
    items = await world.items(demand, [*wrong, free, hidden, *wrong], limit=limit)
    assert left_out not in [item.profile_id for item in items]
    by_id = {item.profile_id: item for item in items}
    assert len(items) == len(by_id) == len(wrong) + 1
    assert by_id[hidden].profile is not None
    for candidate in wrong:
        assert by_id[candidate].profile is None
        assert [reason.code for reason in by_id[candidate].reasons] == ["not_found"]


async def test_many_candidates_take_several_queries_and_pages(world: World) -> None:
    demand = await world.demand()
    hidden = [await world.profile(visibility="hidden") for _ in range(3)]
    candidates = [new_id() for _ in range(1_200)] + hidden
    items = await world.items(demand, candidates, limit=150)
    assert [item.profile_id for item in items] == sorted(candidates)
    assert [item.profile_id for item in items if item.profile is not None] == sorted(hidden)


async def test_exclusions_are_read_for_many_organizations_at_once(world: World) -> None:
    own, rival, third, nobody = [await world.organization() for _ in range(4)]
    first, second = await world.profile(), await world.profile()
    await world.exclude(own, {"profile_id": first}, {"profile_id": second}, {"organization_id": rival})
    await world.exclude(third, {"organization_id": own}, {"organization_id": rival})
    await world.exclude(rival, {"profile_id": first})
    async with world.database.reading() as session:
        found = await exclusions_of(session, iter([own, third, nobody, own]))
        assert await exclusions_of(session, []) == {}
    assert found == {
        own: Exclusions(frozenset({first, second}), frozenset({rival})),
        third: Exclusions(frozenset(), frozenset({own, rival})),
        nobody: Exclusions(),
    }
