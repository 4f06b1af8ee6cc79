"""Outbox events of a profile name the changed fields, and the works added, changed or removed."""

from typing import Any

from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileCreate, ProfilePatch, Work
from matching_service.profiles.service import create_profile, delete_profile, update_profile, upsert_profiles
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow

FIRST, SECOND, THIRD = (Work(external_id=str(n), title=title) for n, title in enumerate(["柔轮", "刚轮", "波发生器"]))


async def events(database: Database) -> list[tuple[str, dict[str, Any] | None]]:
    async with database.reading() as session:
        rows = await session.scalars(select(OutboxRow).where(OutboxRow.entity == "profile").order_by(OutboxRow.seq))
        return [(row.event, row.detail) for row in rows]


async def create(database: Database, **values: Any) -> tuple[str, dict[str, str]]:
    """Create a profile; return its id and the ids of its works by title."""
    body = ProfileCreate(source="s", external_id="1", kind="expert", name="甲", **values)
    async with database.transaction() as session:
        row = await create_profile(session, body, COMMAND_LINE)
        return row.id, {work.title: work.id for work in row.works}


async def patch(database: Database, profile_id: str, **values: Any) -> None:
    async with database.transaction() as session:
        row = await get_profile(session, profile_id)
        await update_profile(session, row, ProfilePatch(**values), COMMAND_LINE)


async def test_created_and_deleted_have_no_detail(database: Database) -> None:
    profile_id, _ = await create(database)
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, profile_id), COMMAND_LINE)
    assert await events(database) == [("profile.created", None), ("profile.deleted", None)]


async def test_a_change_names_its_fields(database: Database) -> None:
    profile_id, _ = await create(database, works=[FIRST])
    await patch(database, profile_id, summary="谐波", keywords=["柔轮"], name="甲")
    assert (await events(database))[1:] == [("profile.updated", {"fields": ["keywords", "summary"]})]


async def test_a_change_of_works_says_what_happened_to_which(database: Database) -> None:
    profile_id, ids = await create(database, works=[FIRST, SECOND])
    await patch(database, profile_id, works=[THIRD, SECOND.model_copy(update={"title": "新刚轮"})])
    async with database.reading() as session:
        new = (await get_profile(session, profile_id)).works[0].id
    assert (await events(database))[1:] == [
        (
            "profile.updated",
            {
                "fields": ["works"],
                "works": [
                    {"id": new, "title": "波发生器", "change": "added"},
                    {"id": ids["刚轮"], "title": "新刚轮", "change": "changed"},
                    {"id": ids["柔轮"], "title": "柔轮", "change": "removed"},
                ],
            },
        )
    ]


async def test_works_that_only_change_places_are_not_listed(database: Database) -> None:
    profile_id, _ = await create(database, works=[FIRST, SECOND])
    await patch(database, profile_id, works=[SECOND, FIRST])
    assert (await events(database))[1:] == [("profile.updated", {"fields": ["works"], "works": []})]


async def test_a_batch_writes_the_same_events_and_none_without_a_change(database: Database) -> None:
    profile_id, ids = await create(database, works=[FIRST])
    same: dict[str, Any] = {"source": "s", "external_id": "1", "kind": "expert", "name": "甲"}
    async with database.transaction() as session:
        stored = await upsert_profiles(
            session,
            [ProfileCreate(**same, works=[FIRST]), ProfileCreate(**same, region="440600", works=[])],
            COMMAND_LINE,
        )
    await patch(database, profile_id, name="甲", works=[])
    await patch(database, profile_id)
    assert [result.status for result in stored] == ["unchanged", "updated"]
    removed = {"id": ids["柔轮"], "title": "柔轮", "change": "removed"}
    assert (await events(database))[1:] == [("profile.updated", {"fields": ["region", "works"], "works": [removed]})]
