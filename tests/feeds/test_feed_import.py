"""Another city's feed: imported once or twice the same, nothing lost to bad items, nothing travels in circles."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.command_lines import failed_in_both_languages, run_all
from conftest import Cli
from feeds.cities import feed_of
from sqlalchemy import func, select
from webhooks.receivers import Received, Receiver

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.demands.schemas import DemandCreate, DemandPatch
from matching_service.demands.service import create_demand, update_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.disclosure.mapping import EntityMapping, Mapped
from matching_service.feeds.adoption import FeedReport
from matching_service.feeds.feed import read_feed
from matching_service.feeds.remote import import_feed
from matching_service.foundation.errors import Conflict, Unavailable
from matching_service.organizations.schemas import OrganizationCreate
from matching_service.organizations.service import create_organization
from matching_service.profiles.queries import WITH_WORKS
from matching_service.profiles.schemas import Contact, ProfileCreate, ProfilePatch, Work
from matching_service.profiles.service import create_profile, delete_profile, update_profile, write_contact
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.feeds import FeedRejectionRow, FeedRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileContactRow, ProfileRow

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
CREDIT_CODE = "91350100M000100Y43"


@pytest.fixture
async def guangzhou(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """The city that is imported from."""
    path = tmp_path / "guangzhou.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())  # noqa: ASYNC240
    opened = Database(f"sqlite+aiosqlite:///{path}")
    yield opened
    await opened.close()


@pytest.fixture
def feed(guangzhou: Database) -> Iterator[str]:
    with feed_of(str(guangzhou.url)) as url:
        yield url


@pytest.fixture
def remote() -> Iterator[Receiver]:
    """A service that answers what a test says."""
    started = Receiver(answer=lambda _request: 200).start()
    yield started
    started.stop()


async def key_of(city: Database, role: Role = Role.PORTAL) -> str:
    async with city.transaction() as session:
        return (await create_key(session, name="k", role=role, expires_at=None, actor=COMMAND_LINE))[1]


async def load(database: Database, url: str, key: str | None = None, **options: Any) -> FeedReport:
    return await import_feed(database, "guangzhou", url, key=key, **options)


def counts(report: FeedReport) -> tuple[int, int, int, int, int, int]:
    """created, updated, unchanged, removed, skipped, rejected"""
    return (
        report.created, report.updated, report.unchanged, report.removed, report.skipped, len(report.rejected),
    )  # fmt: skip


async def seed(city: Database) -> dict[str, str]:
    """A published demand of an enterprise, and a profile with a work and contact data; ids by name."""
    async with city.transaction() as session:
        organization = await create_organization(
            session, OrganizationCreate(name="广州某厂", credit_code=CREDIT_CODE, region="440100"), COMMAND_LINE
        )
        demand = await create_demand(
            session,
            DemandCreate(source="portal", external_id="D-9", title="谐波减速器", keywords=["柔轮"],
                         organization_id=organization.id, cooperation="joint", funding_wan=80.5),
            COMMAND_LINE,
        )  # fmt: skip
        await adopt_status(session, demand, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
        profile = await create_profile(
            session,
            ProfileCreate(kind="expert", name="卓砺川", source="kexie", external_id="A-17", honours=["中国工程院院士"],
                          works=[Work(external_id="w", kind="paper", title="柔轮疲劳", year=2024), Work(title="x")]),
            COMMAND_LINE,
        )  # fmt: skip
        await write_contact(session, profile, Contact(phone="0757-0000000"), COMMAND_LINE)
    return {"demand": demand.id, "profile": profile.id, "organization": organization.id}


async def demand_of(database: Database, there: str) -> DemandRow:
    async with database.reading() as session:
        return (await session.scalars(select(DemandRow).where(DemandRow.external_id == there))).one()


async def profile_of(database: Database, there: str) -> ProfileRow:
    async with database.reading() as session:
        statement = select(ProfileRow).where(ProfileRow.external_id == there).options(WITH_WORKS)
        return (await session.scalars(statement)).one()


async def count(database: Database, table: Any) -> int:
    async with database.reading() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


async def change_demand(database: Database, demand_id: str, **fields: Any) -> None:
    async with database.transaction() as session:
        row = await session.get_one(DemandRow, demand_id)
        await update_demand(session, row, DemandPatch(**fields), COMMAND_LINE)


async def move_demand(database: Database, demand_id: str, to: DemandStatus) -> None:
    async with database.transaction() as session:
        await adopt_status(session, await session.get_one(DemandRow, demand_id), to, actor=COMMAND_LINE)


async def change_profile(database: Database, profile_id: str, **fields: Any) -> None:
    async with database.transaction() as session:
        row = await session.get_one(ProfileRow, profile_id, options=[WITH_WORKS])
        await update_profile(session, row, ProfilePatch(**fields), COMMAND_LINE)


# --- between two services of this kind


async def test_records_arrive_with_their_source_kept(database: Database, guangzhou: Database, feed: str) -> None:
    there = await seed(guangzhou)
    report = await load(database, feed, await key_of(guangzhou))
    assert counts(report) == (2, 0, 0, 0, 0, 0)
    demand = await demand_of(database, there["demand"])
    assert (demand.source, demand.status, demand.visibility) == ("feed:guangzhou", "published", "public")
    assert (demand.title, demand.keywords, demand.funding_wan) == ("谐波减速器", ["柔轮"], 80.5)
    assert demand.origin == {
        "feed": "guangzhou", "id": there["demand"], "source": "portal", "external_id": "D-9", "status": "published",
    }  # fmt: skip
    profile = await profile_of(database, there["profile"])
    assert (profile.source, profile.honours) == ("feed:guangzhou", ["中国工程院院士"])
    assert [(work.external_id, work.title, work.year) for work in profile.works] == [
        ("w", "柔轮疲劳", 2024),
        (None, "x", None),
    ]
    assert profile.origin == {
        "feed": "guangzhou", "id": there["profile"], "source": "kexie", "external_id": "A-17",
    }  # fmt: skip
    async with database.reading() as session:
        organization = await session.get_one(OrganizationRow, demand.organization_id or "")
    assert (organization.source, organization.name, organization.credit_code) == (
        "feed:guangzhou",
        "广州某厂",
        CREDIT_CODE,
    )
    assert await count(database, ProfileContactRow) == 0


async def test_importing_twice_changes_nothing(database: Database, guangzhou: Database, feed: str) -> None:
    await seed(guangzhou)
    key = await key_of(guangzhou)
    await load(database, feed, key)
    before = await count(database, OutboxRow)
    assert counts(await load(database, feed, key)) == (0, 0, 0, 0, 0, 0)
    assert counts(await load(database, feed, key, restart=True)) == (0, 0, 2, 0, 0, 0)
    assert await count(database, OutboxRow) == before
    assert (await count(database, DemandRow), await count(database, ProfileRow)) == (1, 1)
    assert await count(database, OrganizationRow) == 1


async def test_changes_follow(database: Database, guangzhou: Database, feed: str) -> None:
    there = await seed(guangzhou)
    key = await key_of(guangzhou)
    await load(database, feed, key)
    await change_demand(guangzhou, there["demand"], problem="柔轮开裂", keywords=[])
    await change_profile(guangzhou, there["profile"], works=[Work(title="y")])
    assert counts(await load(database, feed, key)) == (0, 2, 0, 0, 0, 0)
    demand = await demand_of(database, there["demand"])
    assert (demand.problem, demand.keywords) == ("柔轮开裂", [])
    assert [work.title for work in (await profile_of(database, there["profile"])).works] == ["y"]


async def test_what_is_taken_back_is_hidden_and_can_be_given_again(
    database: Database, guangzhou: Database, feed: str
) -> None:
    there = await seed(guangzhou)
    key = await key_of(guangzhou)
    await load(database, feed, key)
    await change_profile(guangzhou, there["profile"], visibility="withdrawn")
    await change_demand(guangzhou, there["demand"], visibility="restricted")
    assert counts(await load(database, feed, key)) == (0, 0, 0, 2, 0, 0)
    demand, profile = await demand_of(database, there["demand"]), await profile_of(database, there["profile"])
    assert (profile.visibility, demand.visibility, demand.status) == ("hidden", "restricted", "expired")
    await change_profile(guangzhou, there["profile"], visibility="public")
    await change_demand(guangzhou, there["demand"], visibility="public")
    assert counts(await load(database, feed, key)) == (0, 2, 0, 0, 0, 0)
    demand, profile = await demand_of(database, there["demand"]), await profile_of(database, there["profile"])
    assert (profile.visibility, demand.visibility) == ("public", "public")
    assert demand.status == "expired"  # what has ended here stays ended
    async with guangzhou.transaction() as session:
        row = await session.get_one(ProfileRow, there["profile"], options=[WITH_WORKS])
        await delete_profile(session, row, COMMAND_LINE)
    assert counts(await load(database, feed, key)) == (0, 0, 0, 1, 0, 0)
    assert (await profile_of(database, there["profile"])).visibility == "hidden"


@pytest.mark.parametrize("visibility", ["withdrawn", "hidden", "restricted"])
async def test_an_import_does_not_show_what_was_hidden_here(
    database: Database, guangzhou: Database, feed: str, visibility: str
) -> None:
    there = await seed(guangzhou)
    key = await key_of(guangzhou)
    await load(database, feed, key)
    await change_profile(database, (await profile_of(database, there["profile"])).id, visibility=visibility)
    await change_profile(guangzhou, there["profile"], title="教授")
    await load(database, feed, key)
    profile = await profile_of(database, there["profile"])
    assert (profile.title, profile.visibility) == ("教授", visibility)
    for step in ("hidden", "public"):
        await change_profile(guangzhou, there["profile"], visibility=step)
        await load(database, feed, key)
    assert (await profile_of(database, there["profile"])).visibility == visibility


async def test_a_demand_ends_here_when_it_ends_there_and_makes_no_contract_here(
    database: Database, guangzhou: Database, feed: str
) -> None:
    there = await seed(guangzhou)
    key = await key_of(guangzhou)
    await load(database, feed, key)
    await move_demand(guangzhou, there["demand"], DemandStatus.MATCHING)
    await load(database, feed, key)
    assert (await demand_of(database, there["demand"])).status == "published"
    await move_demand(guangzhou, there["demand"], DemandStatus.CONTRACTED)
    assert counts(await load(database, feed, key)) == (0, 1, 0, 0, 0, 0)
    demand = await demand_of(database, there["demand"])
    assert demand.status == "expired"
    assert demand.origin is not None
    assert demand.origin["status"] == "contracted"
    async with database.reading() as session:
        events = list(await session.scalars(select(OutboxRow.event)))
    assert not [event for event in events if event.startswith("project")]


async def test_a_demand_that_goes_its_own_way_here_is_left_alone(
    database: Database, guangzhou: Database, feed: str
) -> None:
    there = await seed(guangzhou)
    key = await key_of(guangzhou)
    await load(database, feed, key)
    here = await demand_of(database, there["demand"])
    await move_demand(database, here.id, DemandStatus.CONTRACTED)
    await change_demand(guangzhou, there["demand"], problem="柔轮开裂")
    assert counts(await load(database, feed, key)) == (0, 1, 0, 0, 0, 0)
    await move_demand(guangzhou, there["demand"], DemandStatus.ABANDONED)
    assert counts(await load(database, feed, key)) == (0, 1, 0, 0, 0, 0)
    assert (await demand_of(database, there["demand"])).status == "contracted"


@ONLY_SQLITE
@pytest.mark.parametrize("role", [Role.PORTAL, Role.STAFF])
async def test_records_do_not_travel_in_circles(database: Database, guangzhou: Database, feed: str, role: Role) -> None:
    """Each city imports from the other, also with a key that sees the other's imports."""
    await seed(guangzhou)
    async with database.transaction() as session:
        await create_profile(session, ProfileCreate(kind="expert", name="佛山的专家"), COMMAND_LINE)
    key_there, key_here = await key_of(guangzhou, role), await key_of(database, role)
    with feed_of(str(database.url)) as own_feed:
        for _ in range(3):
            await import_feed(database, "guangzhou", feed, key=key_there)
            await import_feed(guangzhou, "foshan", own_feed, key=key_here)
    for city in (database, guangzhou):
        assert (await count(city, DemandRow), await count(city, ProfileRow)) == (1, 2)
    async with database.reading() as session:
        shown = await read_feed(session, ("demand", "profile"), after=None, limit=200, audience="public")
    assert [item.data["name"] for item in shown.items if item.data is not None] == ["佛山的专家"]


@ONLY_SQLITE
async def test_a_record_that_somebody_stored_under_the_feeds_name_becomes_the_feeds(
    database: Database, guangzhou: Database, feed: str
) -> None:
    """Nobody is kept from using such a source, and nothing breaks on it."""
    there = await seed(guangzhou)
    async with database.transaction() as session:
        forged = ProfileCreate(kind="team", name="x", source="feed:guangzhou", external_id=there["profile"])
        await create_profile(session, forged, COMMAND_LINE)
    key = await key_of(guangzhou)
    assert counts(await load(database, feed, key)) == (1, 1, 0, 0, 0, 0)
    profile = await profile_of(database, there["profile"])
    assert (profile.name, (profile.origin or {})["feed"]) == ("卓砺川", "guangzhou")


@ONLY_SQLITE
async def test_an_enterprise_that_is_known_by_its_credit_code_is_that_enterprise(
    database: Database, guangzhou: Database, feed: str
) -> None:
    there = await seed(guangzhou)
    async with database.transaction() as session:
        known = await create_organization(
            session, OrganizationCreate(name="某厂（本地登记）", credit_code=CREDIT_CODE), COMMAND_LINE
        )
    await load(database, feed, await key_of(guangzhou))
    assert (await demand_of(database, there["demand"])).organization_id == known.id
    async with database.reading() as session:
        (row,) = await session.scalars(select(OrganizationRow))
    assert row.name == "某厂（本地登记）"


@ONLY_SQLITE
async def test_a_feed_in_foreign_words_is_read_by_the_mapping(database: Database, guangzhou: Database) -> None:
    there = await seed(guangzhou)
    kczg: Mapped = {
        "demand": EntityMapping(
            fields={"title": "base.xqmc", "status": "zt", "cooperation": "fs", "organization.name": "qymc"},
            values={"status": {"published": "1", "closed": "9"}, "cooperation": {"joint": "LH"}},
            constants={"pt": "gz"},
        ),
        "profile": EntityMapping(fields={"name": "xm", "kind": "lb"}, values={"kind": {"expert": "zj"}}),
    }
    with feed_of(str(guangzhou.url), {"kczg": kczg}) as url:
        report = await load(database, f"{url}?mapping=kczg", await key_of(guangzhou), mapping=kczg)
    assert counts(report) == (2, 0, 0, 0, 0, 0)
    demand = await demand_of(database, there["demand"])
    assert (demand.title, demand.status, demand.cooperation) == ("谐波减速器", "published", "joint")
    assert demand.organization_id is not None
    assert (await profile_of(database, there["profile"])).name == "卓砺川"


# --- services that misbehave


def page(*items: Any, cursor: str = "c1", has_more: bool = False) -> bytes:
    return json.dumps({"items": items, "next_cursor": cursor, "has_more": has_more}).encode()


def item(there: str, **data: Any) -> dict[str, Any]:
    profile = {"kind": "expert", "name": there} | data
    return {"entity": "profile", "entity_id": there, "deleted": False, "data": profile, "seq": 1}


async def test_bad_items_are_named_kept_and_tried_again_and_stop_no_other(database: Database, remote: Receiver) -> None:
    remote.answer_body = page(
        item("good"), item("no name", name=""), 5, {"entity": "profile"}, item("odd", kind="robot"),
        {"entity": "project", "entity_id": "p", "data": {}}, item("same"), item("same", title="教授"),
        item("employed", organization={"id": "o", "name": "x" * 201}), item("unknown", colour="red"),
    )  # fmt: skip
    report = await load(database, remote.url)
    assert counts(report) == (3, 0, 0, 0, 1, 5)
    assert {(bad.place, bad.errors[0].pointer) for bad in report.rejected} == {
        (1, "/name"), (2, ""), (3, "/entity_id"), (4, "/kind"), (8, "/organization/name"),
    }  # fmt: skip
    assert all(error.message.zh for bad in report.rejected for error in bad.errors)
    assert (await profile_of(database, "same")).title == "教授"
    assert await count(database, FeedRejectionRow) == 3
    remote.answer_body = page(item("no name", name="now it has one"), cursor="c2")
    report = await load(database, remote.url)
    assert counts(report) == (1, 0, 0, 0, 0, 3)  # the three are tried first, and one is mended by the page
    assert remote.requests[-1].query["cursor"] == "c1"
    assert await count(database, FeedRejectionRow) == 2
    remote.answer_body = page({"entity": "profile", "entity_id": "odd", "deleted": True}, cursor="c3")
    await load(database, remote.url)
    assert await count(database, FeedRejectionRow) == 1


async def test_an_import_that_is_broken_off_goes_on_where_it_was(database: Database, remote: Receiver) -> None:
    pages = {None: page(item("a"), cursor="c1", has_more=True), "c1": page(item("b"), cursor="c2", has_more=True),
             "c2": page(item("c"), cursor="c3")}  # fmt: skip
    remote.content = lambda request: pages[request.query.get("cursor")]
    remote.answer = lambda request: 500 if request.query.get("cursor") == "c1" else 200
    with pytest.raises(Unavailable) as refused:
        await load(database, remote.url)
    assert refused.value.code == "feed_not_readable"
    assert await count(database, ProfileRow) == 1
    remote.answer = lambda _request: 200
    assert counts(await load(database, remote.url)) == (2, 0, 0, 0, 0, 0)
    assert [request.query.get("cursor") for request in remote.requests] == [None, "c1", "c1", "c2"]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"<html>", "Invalid JSON"),
        (200, b"[]", "an object"),
        (200, b'{"items": {}, "next_cursor": "c", "has_more": false}', "/items"),
        (200, b'{"items": []}', "/next_cursor"),
        (401, b'{"code": "key_unknown", "detail": "The key is not known."}', "The key is not known."),
        (302, b"", "HTTP 302"),
        (409, b'{"code": "cursor_not_of_this_database", "detail": "restored"}', "--restart"),
        (422, b"[1]", "HTTP 422"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_no_feed_stores_nothing_and_says_why(
    database: Database, remote: Receiver, status: int, body: bytes, expected: str
) -> None:
    remote.answer, remote.answer_body = lambda _request: status, body
    remote.answer_headers = {"Location": remote.url}
    with pytest.raises(Unavailable) as refused:
        await load(database, remote.url)
    assert expected in refused.value.detail.en
    assert len(remote.requests) == 1
    async with database.reading() as session:
        (row,) = await session.scalars(select(FeedRow))
    assert row.cursor is None


@ONLY_SQLITE
async def test_a_service_that_is_away_or_an_address_that_is_none(database: Database, remote: Receiver) -> None:
    remote.stop()
    for url in (
        remote.url,
        "http://[::1/v1/feed",
        "https://matching-service.invalid/f",
        f"https://{'a' * 64}.example/",
    ):
        with pytest.raises(Unavailable):
            await load(database, url)


@ONLY_SQLITE
async def test_a_cursor_that_does_not_move_is_no_endless_loop(database: Database, remote: Receiver) -> None:
    remote.answer_body = page(item("a"), cursor="c1", has_more=True)
    with pytest.raises(Unavailable, match="cursor does not move"):
        await load(database, remote.url)
    assert len(remote.requests) == 2


@ONLY_SQLITE
async def test_a_page_that_is_too_large_is_asked_for_in_parts(
    database: Database, remote: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matching_service.feeds.remote._MAX_PAGE_BYTES", 20_000)

    def content(request: Received) -> bytes:
        start, limit = int(request.query.get("cursor", "0")), int(request.query["limit"])
        items = [item(f"p{n}", summary="长" * 100) for n in range(100)][start : start + limit]
        return page(*items, cursor=str(start + len(items)), has_more=start + len(items) < 100)

    remote.content = content
    assert counts(await load(database, remote.url)) == (100, 0, 0, 0, 0, 0)
    monkeypatch.setattr("matching_service.feeds.remote._MAX_PAGE_BYTES", 100)
    with pytest.raises(Unavailable, match="too large"):
        await load(database, remote.url, restart=True)


async def test_of_two_imports_at_once_the_second_stores_nothing(database: Database, remote: Receiver) -> None:
    """Both have read the same page; the one that comes second finds the cursor moved."""
    pages = {None: page(item("a"), cursor="c1", has_more=True), "c1": page(item("b"), cursor="c2")}

    def content(request: Received) -> bytes:
        return pages[request.query.get("cursor")]

    remote.content = content
    remote.may_answer.clear()
    slow = asyncio.create_task(load(database, remote.url))
    assert await asyncio.to_thread(remote.arrived.wait, 30)
    remote.may_answer.set()
    outcomes = await asyncio.gather(slow, load(database, remote.url), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(error, Conflict) and error.code == "feed_import_running" for error in refused)
    assert await count(database, ProfileRow) == 2
    assert await count(database, OutboxRow) == 2


# --- the command


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_the_command_tells_what_it_did_and_what_was_wrong(
    remote: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GZ_KEY", "secret")
    pages = {None: page(item("good"), item("bad", kind="robot")), "c1": page(item("bad"), cursor="c2"), "c2": page()}
    remote.content = lambda request: pages[request.query.get("cursor")]
    load_it = ["import-feed", remote.url, "--source", "guangzhou"]
    closed = "http://127.0.0.1:9/v1/feed"
    _, first, second, third, away, *wrong = run_all(
        [["migrate"], [*load_it, "--key-env", "GZ_KEY", "--json"], load_it, load_it, ["import-feed", closed, "--source", "guangzhou"],
         ["import-feed", remote.url, "--source", "广州"], [*load_it, "--key-env", "NOT_SET"],
         ["import-feed", "ftp://x", "--source", "gz"], ["import-feed", remote.url]],
        tmp_path,
    )  # fmt: skip
    assert first[0] == 1
    assert json.loads(first[1]) == {
        "created": 1, "updated": 0, "unchanged": 0, "removed": 0, "skipped": 0, "rejected": 1,
    }  # fmt: skip
    assert "profile bad /kind: 取值不在允许范围内" in first[2]
    assert remote.requests[0].headers["authorization"] == "Bearer secret"
    assert second[0] == 1  # the item that was kept was still bad when it was tried, before the page that mends it
    assert third[0] == 0, third[2]
    assert away[0] == 1
    assert "无法读取对方数据流" in away[2]
    assert "Traceback" not in away[2]
    assert [code for code, _, _ in wrong] == [2, 2, 2, 2]


@ONLY_SQLITE
@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["deliver"]])
def test_a_mistake_in_the_mapping_file_is_named_before_anything_begins(
    cli: Cli, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "mapping.toml").write_text("[kczg.demand.fields]\ntitel = 'xqmc'\n")
    done = cli.run(*command, MATCHING_FEED_MAPPING=str(tmp_path / "mapping.toml"))
    assert failed_in_both_languages(done)
    assert "titel" in done.stderr
