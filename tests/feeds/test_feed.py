"""The pull feed: every record once, nothing missed by a reader that stops, wanders or comes back after long."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandCreate, DemandPatch
from matching_service.demands.service import create_demand, update_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.disclosure.mapping import EntityMapping
from matching_service.disclosure.schemas import FeedItem
from matching_service.feeds.feed import Position, decode_position, read_feed
from matching_service.feeds.schemas import FeedAnswer
from matching_service.foundation.errors import Conflict, InvalidInput
from matching_service.organizations.schemas import OrganizationCreate, OrganizationPatch
from matching_service.organizations.service import create_organization, update_organization, upsert_organizations
from matching_service.profiles.schemas import ProfileCreate, ProfilePatch
from matching_service.profiles.service import create_profile, delete_profile, update_profile
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_row
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import OutboxRow, record_event
from matching_service.store.profiles import ProfileRow

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def read(database: Database, cursor: str | None = None, **options: Any) -> FeedAnswer:
    defaults: dict[str, Any] = {"entities": ("demand", "profile"), "limit": 200, "audience": "office"}
    options = defaults | options
    entities = options.pop("entities")
    async with database.reading() as session:
        after = decode_position(cursor) if cursor is not None else None
        return await read_feed(session, entities, after=after, **options)


async def read_all(database: Database, cursor: str | None = None, **options: Any) -> tuple[list[FeedItem], str]:
    items: list[FeedItem] = []
    while True:
        page = await read(database, cursor, **options)
        items += page.items
        cursor = page.next_cursor
        if not page.has_more:
            return items, cursor


async def new_profile(database: Database, name: str = "卓砺川", **fields: Any) -> str:
    async with database.transaction() as session:
        row = await create_profile(session, ProfileCreate(kind="expert", name=name, **fields), COMMAND_LINE)
    return row.id


async def change_profile(database: Database, profile_id: str, **fields: Any) -> None:
    async with database.transaction() as session:
        row = await get_row(session, ProfileRow, profile_id)
        assert row is not None
        await update_profile(session, row, ProfilePatch(**fields), COMMAND_LINE)


def ids(items: Sequence[FeedItem]) -> list[str]:
    return [item.entity_id for item in items]


async def test_a_record_appears_once_at_its_newest_event_as_it_is_now(database: Database) -> None:
    first, second = await new_profile(database), await new_profile(database)
    await change_profile(database, first, title="教授")
    items, cursor = await read_all(database)
    assert ids(items) == [second, first]
    assert [item.event for item in items] == ["profile.created", "profile.updated"]
    assert items[1].data is not None
    assert items[1].data["title"] == "教授"
    assert (await read_all(database, cursor))[0] == []
    await change_profile(database, second, title="研究员")
    again, later = await read_all(database, cursor)
    assert ids(again) == [second]
    assert (await read_all(database, later))[0] == []


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages_of_any_size_hold_the_same(database: Database, limit: int) -> None:
    created = [await new_profile(database) for _ in range(4)]
    for place in (1, 3, 1):
        await change_profile(database, created[place], title=f"t{place}{limit}")
        await change_profile(database, created[place], title="教授")
    items, _ = await read_all(database, limit=limit)
    assert ids(items) == [created[0], created[2], created[3], created[1]]


async def test_a_record_that_changes_while_it_is_read_moves_ahead_of_the_reader(database: Database) -> None:
    created = [await new_profile(database) for _ in range(4)]
    page = await read(database, limit=2)
    assert ids(page.items) == created[:2]
    await change_profile(database, created[0], title="教授")
    await change_profile(database, created[3], title="教授")
    rest, _ = await read_all(database, page.next_cursor, limit=2)
    assert ids(rest) == [created[2], created[0], created[3]]


async def test_a_reader_beside_writers_misses_nothing(database: Database) -> None:
    async def write(writer: int) -> None:
        profile_id = await new_profile(database, name=f"w{writer}")
        for n in range(5):
            await change_profile(database, profile_id, title=f"t{n}")

    seen: dict[str, Any] = {}
    cursor: str | None = None

    async def follow(until: asyncio.Event) -> None:
        nonlocal cursor
        is_last = False
        while not is_last:
            is_last = until.is_set()
            items, cursor = await read_all(database, cursor, limit=3)
            seen.update({item.entity_id: item.data["title"] for item in items if item.data is not None})

    written = asyncio.Event()
    reading = asyncio.create_task(follow(written))
    await asyncio.gather(*(write(n) for n in range(4)))
    written.set()
    await reading
    assert sorted(seen.values()) == ["t4"] * 4


async def test_what_is_gone_or_hidden_is_a_deletion(database: Database) -> None:
    kept, hidden, deleted = [await new_profile(database) for _ in range(3)]
    _, cursor = await read_all(database)
    await change_profile(database, hidden, visibility="withdrawn")
    async with database.transaction() as session:
        row = await get_row(session, ProfileRow, deleted)
        assert row is not None
        await delete_profile(session, row, COMMAND_LINE)
    items, _ = await read_all(database, cursor)
    assert [(item.entity_id, item.deleted, item.data) for item in items] == [
        (hidden, True, None),
        (deleted, True, None),
    ]
    assert ids((await read_all(database))[0]) == [kept, hidden, deleted]


async def test_the_public_sees_public_records_and_published_demands(database: Database) -> None:
    async with database.transaction() as session:
        for title, published, visibility in (
            ("甲", True, "public"),
            ("乙", False, "public"),
            ("丙", True, "restricted"),
        ):
            data = DemandCreate.model_validate({"title": title, "visibility": visibility})
            row = await create_demand(session, data, COMMAND_LINE)
            if published:
                await adopt_status(session, row, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
        await create_profile(session, ProfileCreate(kind="expert", name="丁", visibility="restricted"), COMMAND_LINE)
    public, _ = await read_all(database, audience="public")
    assert [item.data["title"] for item in public if item.data is not None] == ["甲"]
    assert sum(item.deleted for item in public) == 2
    office, _ = await read_all(database)
    assert {item.data.get("title") or item.data["name"] for item in office if item.data} == {"甲", "乙", "丙", "丁"}


@ONLY_SQLITE
async def test_a_mapping_translates_and_leaves_out_what_it_does_not_speak_of(database: Database) -> None:
    await new_profile(database, name="卓砺川")
    async with database.transaction() as session:
        await create_demand(session, DemandCreate(title="谐波减速器"), COMMAND_LINE)
    mapping = {"demand": EntityMapping(fields={"title": "xqmc"})}
    items, _ = await read_all(database, mapping=mapping)
    assert [item.data for item in items] == [{"xqmc": "谐波减速器"}]


@ONLY_SQLITE
async def test_kinds_that_are_not_asked_for_cost_no_page(database: Database) -> None:
    profile_id = await new_profile(database)
    async with database.transaction() as session:
        for n in range(50):
            record_event(session, "engagement.created", entity="engagement", entity_id=f"{n}")
    page = await read(database, entities=("profile",), limit=1)
    assert ids(page.items) == [profile_id]
    page = await read(database, page.next_cursor, limit=1)
    assert (page.items, page.has_more) == ([], False)
    assert decode_position(page.next_cursor).seq == 51


# --- cursors


async def test_an_empty_service_gives_a_cursor_too(database: Database) -> None:
    page = await read(database)
    assert (page.items, page.has_more) == ([], False)
    profile_id = await new_profile(database)
    assert ids((await read_all(database, page.next_cursor))[0]) == [profile_id]


@pytest.mark.parametrize("cursor", ["", "x", "Zjox", "ZjE6MTox", "é", "a" * 500, "ZjE6MTowOnBlb3BsZQ"])
def test_a_cursor_that_we_did_not_give_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_position(cursor)
    assert refused.value.errors[0].pointer == "cursor"


@given(
    st.integers(0, 10**15), st.integers(0, 10**17),
    st.lists(st.sampled_from(["demand", "profile", "match"]), min_size=1, unique=True).map(tuple),
)  # fmt: skip
def test_a_cursor_is_read_back(seq: int, at_us: int, entities: Any) -> None:
    position = Position(seq, at_us, entities)
    assert decode_position(position.encode()) == position


async def test_a_cursor_of_another_database_is_refused(database: Database) -> None:
    """After a restore the same numbers belong to other events: a reader would miss what happened under them."""
    for _ in range(3):
        await new_profile(database)
    _, cursor = await read_all(database)
    position = decode_position(cursor)
    ahead = Position(position.seq + 1, position.at_us, position.entities)
    other = Position(position.seq, position.at_us + 1, position.entities)
    for wrong in (ahead, other):
        with pytest.raises(Conflict) as refused:
            await read(database, wrong.encode())
        assert refused.value.code == "cursor_not_of_this_database"
    assert (await read(database, cursor)).items == []


async def test_events_that_a_newer_one_supersedes_may_be_deleted(database: Database) -> None:
    """The feed needs the newest event of each record and no other, so the outbox can be compacted under it."""
    first, second = await new_profile(database), await new_profile(database)
    await change_profile(database, first, title="教授")
    _, cursor = await read_all(database)
    await change_profile(database, first, title="院士")
    before = await read_all(database)
    async with database.transaction() as session:
        statement = (
            "DELETE FROM outbox_events WHERE EXISTS (SELECT 1 FROM outbox_events n WHERE n.entity_id = "
            "outbox_events.entity_id AND n.seq > outbox_events.seq)"
        )
        await session.execute(text(statement))
    assert await read_all(database) == before
    assert ids(before[0]) == [second, first]
    assert ids((await read_all(database, cursor))[0]) == [first]


async def test_a_demand_is_shown_with_its_organization(database: Database) -> None:
    """Our ids of organizations mean nothing elsewhere, so the organization comes along."""
    async with database.transaction() as session:
        organization = await create_organization(
            session, OrganizationCreate(name="某厂", region="440605"), COMMAND_LINE
        )
        row = await create_demand(session, DemandCreate(title="甲", organization_id=organization.id), COMMAND_LINE)
        await adopt_status(session, row, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
    async with database.transaction() as session:
        found = await get_row(session, DemandRow, row.id)
        assert found is not None
        await update_demand(session, found, DemandPatch(funding_wan=1), COMMAND_LINE)
    (item,), _ = await read_all(database, audience="public")
    assert item.data is not None
    assert item.data["organization"]["name"] == "某厂"
    assert item.data["organization"]["id"] == organization.id
    assert "origin" not in item.data


async def test_who_is_renamed_is_told_with_all_that_name_it(database: Database) -> None:
    async with database.transaction() as session:
        old, other = [
            await create_organization(
                session, OrganizationCreate(name=name, source="s", external_id=name), COMMAND_LINE
            )
            for name in ("某厂", "别厂")
        ]
        demand = await create_demand(session, DemandCreate(title="甲", organization_id=old.id), COMMAND_LINE)
        await create_demand(session, DemandCreate(title="乙", organization_id=other.id), COMMAND_LINE)
    profile = await new_profile(database, organization_id=old.id)
    _, cursor = await read_all(database)

    async def names(change: Any) -> list[str]:
        nonlocal cursor
        async with database.transaction() as session:
            await change(session)
        items, cursor = await read_all(database, cursor)
        assert set(ids(items)) <= {demand.id, profile}
        return [item.data["organization"]["name"] for item in items if item.data is not None]

    async def patched(session: Any, name: str = "新厂") -> None:
        row = await get_row(session, OrganizationRow, old.id)
        assert row is not None
        await update_organization(session, row, OrganizationPatch(name=name), COMMAND_LINE)

    async def imported(session: Any, name: str = "又名厂") -> None:
        items = [OrganizationCreate(name=name, source="s", external_id="某厂")]
        await upsert_organizations(session, items, COMMAND_LINE)

    for change, name in ((patched, "新厂"), (imported, "又名厂")):
        assert await names(change) == [name, name]
        assert await names(change) == []  # it has that name already
    async with database.reading() as session:
        statement = select(OutboxRow).where(OutboxRow.event == "organization.updated")
        events = (await session.scalars(statement)).all()
    assert [(event.entity_id, event.detail) for event in events] == [(old.id, {"fields": ["name"]})] * 2
