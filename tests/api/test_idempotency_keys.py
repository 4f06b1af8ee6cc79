"""``Idempotency-Key`` on every route that takes it, on both databases: equal requests at once have one answer."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from conftest import BACKENDS, fresh_database
from fastapi import FastAPI
from http_checks import assert_problem
from sqlalchemy import Connection, Transaction, event, func, select, update
from sqlalchemy.orm import Session

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.api import idempotency
from matching_service.api.fields import SHOWN_ONCE
from matching_service.app import create_app
from matching_service.demands.queries import get_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.files.background import BackgroundImports
from matching_service.foundation.clock import now, today
from matching_service.foundation.logs import request_id
from matching_service.foundation.settings import Settings
from matching_service.matching.engine import Engine
from matching_service.profiles.queries import get_profile
from matching_service.profiles.service import delete_profile
from matching_service.runs import service as runs
from matching_service.store.access import AnsweredProfileRow, IdempotentAnswerRow
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow
from matching_service.store.ownership import owning
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import MatchRunRow
from matching_service.store.webhooks import DeliveryRow
from matching_service.webhooks.schemas import CreatedWebhook

NAME = "卓砺川"
WITHOUT_A_KEY = {"/v1/webhooks/{webhook_id}/test", "/v1/imports"}
"""POSTs that take no key: a trial, which whoever repeats it wants again, and an upload, which is not held to be compared."""


@dataclass(frozen=True)
class World:
    """A server in this process with an administrator's client, and short ways to records."""

    app: FastAPI
    database: Database
    http: httpx.AsyncClient

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        made: dict[str, Any] = (await self.http.post(path, json=body)).raise_for_status().json()
        return made

    async def organization(self) -> str:
        return str((await self.post("/v1/organizations", name=f"某厂{uuid4().hex}"))["id"])

    async def profile(self, **fields: Any) -> str:
        return str((await self.post("/v1/profiles", kind="expert", name=NAME, summary="谐波减速器", **fields))["id"])

    async def demand(self, status: DemandStatus = DemandStatus.PUBLISHED) -> str:
        made = await self.post("/v1/demands", title="谐波减速器柔轮疲劳开裂")
        async with self.database.transaction() as session:
            await adopt_status(session, await get_demand(session, made["id"]), status, actor=COMMAND_LINE)
        return str(made["id"])

    async def run(self) -> str:
        """A run that is broken off: nobody works on it."""
        async with self.database.transaction() as session:
            for earlier in await session.scalars(select(MatchRunRow).where(MatchRunRow.state == "running")):
                earlier.state = "cancelled"
        async with owning(
            self.database, "run", patience_s=60
        ) as is_mine:  # the server ends its chunk of the earlier one
            assert is_mine
        async with self.database.transaction() as session:
            return (await runs.start_run(self.app.state.services.get(Engine), session, COMMAND_LINE)).id

    async def webhook(self) -> str:
        return str((await self.post("/v1/webhooks", url="https://portal.example/hook", is_active=False))["id"])

    async def dead_letter(self) -> tuple[str, str]:
        webhook_id = await self.webhook()
        await self.demand()  # something has happened that could be told of
        async with self.database.transaction() as session:
            seq = await session.scalar(select(func.max(OutboxRow.seq)))
            row = DeliveryRow(webhook_id=webhook_id, seq=seq, order_key="", state="dead", next_attempt_at=now())
            session.add(row)
        return webhook_id, row.id

    async def delete_profiles(self) -> None:
        async with self.database.transaction() as session:
            for profile_id in (await session.scalars(select(ProfileRow.id))).all():
                await delete_profile(session, await get_profile(session, profile_id), COMMAND_LINE)

    async def rest(self) -> None:
        """Wait until no import is at work: what it writes has the id of the request that began it."""
        while self.app.state.services.get(BackgroundImports).at_work:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def count(self, *tables: Any) -> list[int]:
        async with self.database.reading() as session:
            return [await session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


@dataclass(frozen=True, slots=True)
class Post:
    """A request that can be sent any number of times."""

    path: str
    body: Any = None
    if_match: str | None = None


async def _engagement(world: World) -> Post:
    visit = {"kind": "visit", "held_on": f"{today()}", "profile_id": await world.profile()}
    return Post("/v1/engagements", visit)


async def _match(world: World) -> Post:
    await world.profile()
    return Post("/v1/matches", {"query": {"title": "谐波减速器"}})


async def _stored_match(world: World) -> Post:
    await world.profile()
    return Post("/v1/matches", {"demand_id": await world.demand(), "store": True})


async def _explanation(world: World) -> Post:
    return Post("/v1/matches/explain", {"query": {"title": "谐波减速器"}, "profile_id": await world.profile()})


async def _decisions(world: World) -> Post:
    pair = {"demand_id": await world.demand(), "profile_id": await world.profile()}
    return Post("/v1/decisions/bulk", {"items": [pair | {"decision": "shortlisted"}]})


async def _added_by_hand(world: World) -> Post:
    profile_id = await world.profile()
    return Post(f"/v1/demands/{await world.demand()}/matches", {"profile_id": profile_id})


async def _conflicts(world: World) -> Post:
    hidden = await world.profile(visibility="hidden")
    return Post(f"/v1/demands/{await world.demand()}/conflicts", {"candidates": [hidden]})


async def _reverse_match(world: World) -> Post:
    await world.demand()
    return Post(f"/v1/profiles/{await world.profile()}/matches", {})


async def _start(world: World) -> Post:
    run_id = await world.run()
    (await world.http.post(f"/v1/match-runs/{run_id}/cancel")).raise_for_status()
    return Post("/v1/match-runs", {"scope": "open"})


async def _cancel(world: World) -> Post:
    return Post(f"/v1/match-runs/{await world.run()}/cancel")


async def _resume(world: World) -> Post:
    return Post(f"/v1/match-runs/{await world.run()}/resume")


async def _milestone(world: World) -> Post:
    demand_id = await world.demand(DemandStatus.CONTRACTED)
    (project,) = (await world.http.get("/v1/projects", params={"demand_id": demand_id})).json()["items"]
    path = f"/v1/projects/{project['id']}"
    etag = (await world.http.get(path)).headers["etag"]
    return Post(f"{path}/milestones", {"title": "样机", "due_on": f"{today()}"}, etag)


async def _profile(_world: World) -> Post:
    return Post("/v1/profiles", {"kind": "expert", "name": NAME, "external_id": uuid4().hex})


async def _profiles(_world: World) -> Post:
    item = {"kind": "expert", "name": NAME}
    return Post("/v1/profiles/bulk", {"items": [item | {"external_id": uuid4().hex}, item, {"name": ""}]})


async def _webhook(_world: World) -> Post:
    return Post("/v1/webhooks", {"url": "https://portal.example/hook", "is_active": False})


async def _secret(world: World) -> Post:
    return Post(f"/v1/webhooks/{await world.webhook()}/secret")


async def _replay(world: World) -> Post:
    webhook_id, delivery_id = await world.dead_letter()
    return Post(f"/v1/webhooks/{webhook_id}/replay", {"delivery_ids": [delivery_id]})


async def _skip(world: World) -> Post:
    webhook_id, delivery_id = await world.dead_letter()
    return Post(f"/v1/webhooks/{webhook_id}/skip", {"delivery_ids": [delivery_id]})


async def _demand(_world: World) -> Post:
    return Post("/v1/demands", {"title": "泵", "external_id": uuid4().hex})


async def _demands(_world: World) -> Post:
    return Post("/v1/demands/bulk", {"items": [{"title": "泵", "external_id": uuid4().hex}, {"title": "阀"}, {}]})


async def _demand_step(world: World) -> Post:
    path = f"/v1/demands/{await world.demand()}"
    etag = (await world.http.get(path)).headers["etag"]
    return Post(f"{path}/transitions", {"to": "matching"}, etag)


async def _suggestion(world: World) -> Post:
    return Post("/v1/suggestions", {"demand_id": await world.demand(), "profile_id": await world.profile()})


async def _suggestion_step(world: World) -> Post:
    made = await world.http.post("/v1/suggestions", json=(await _suggestion(world)).body)
    return Post(f"/v1/suggestions/{made.json()['id']}/transitions", {"to": "contacted"}, made.headers["etag"])


async def _claim(world: World) -> Post:
    pair = {"demand_id": await world.demand(), "profile_id": await world.profile()}
    return Post("/v1/claims", pair | {"offer": "六个月给出样机"})


async def _claim_step(world: World) -> Post:
    made = await world.http.post("/v1/claims", json=(await _claim(world)).body)
    return Post(f"/v1/claims/{made.json()['id']}/transitions", {"to": "withdrawn"}, made.headers["etag"])


async def _programme_record(_world: World) -> Post:
    return Post("/v1/programme-records", {"kind": "forum", "title": "峰会", "started_on": f"{today()}"})


async def _organization(_world: World) -> Post:
    return Post("/v1/organizations", {"name": f"某厂{uuid4().hex}"})


async def _merger(world: World) -> Post:
    path, into = f"/v1/organizations/{await world.organization()}", await world.organization()
    return Post(f"{path}/merge", {"into": into}, (await world.http.get(path)).headers["etag"])


async def _preview(world: World) -> str:
    files = {"file": ("a.csv", "需求名称\n泵\n".encode())}
    made = await world.http.post("/v1/imports", params={"what": "demands"}, files=files)
    return f"/v1/imports/{made.raise_for_status().json()['id']}"


async def _confirmation(world: World) -> Post:
    return Post(f"{await _preview(world)}/confirm")


async def _undoing(world: World) -> Post:
    path = await _preview(world)
    (await world.http.post(f"{path}/confirm")).raise_for_status()
    await world.rest()
    return Post(f"{path}/undo")


POSTS: dict[str, Sequence[Callable[[World], Awaitable[Post]]]] = {
    "/v1/engagements": (_engagement,),
    "/v1/matches": (_match, _stored_match),
    "/v1/matches/explain": (_explanation,),
    "/v1/decisions/bulk": (_decisions,),
    "/v1/demands/{demand_id}/conflicts": (_conflicts,),
    "/v1/demands/{demand_id}/matches": (_added_by_hand,),
    "/v1/profiles/{profile_id}/matches": (_reverse_match,),
    "/v1/match-runs": (_start,),
    "/v1/match-runs/{run_id}/cancel": (_cancel,),
    "/v1/match-runs/{run_id}/resume": (_resume,),
    "/v1/projects/{project_id}/milestones": (_milestone,),
    "/v1/profiles": (_profile,),
    "/v1/profiles/bulk": (_profiles,),
    "/v1/webhooks": (_webhook,),
    "/v1/webhooks/{webhook_id}/secret": (_secret,),
    "/v1/webhooks/{webhook_id}/replay": (_replay,),
    "/v1/webhooks/{webhook_id}/skip": (_skip,),
    "/v1/demands": (_demand,),
    "/v1/demands/bulk": (_demands,),
    "/v1/demands/{demand_id}/transitions": (_demand_step,),
    "/v1/suggestions": (_suggestion,),
    "/v1/suggestions/{suggestion_id}/transitions": (_suggestion_step,),
    "/v1/claims": (_claim,),
    "/v1/claims/{claim_id}/transitions": (_claim_step,),
    "/v1/programme-records": (_programme_record,),
    "/v1/imports/{import_id}/confirm": (_confirmation,),
    "/v1/imports/{import_id}/undo": (_undoing,),
    "/v1/organizations": (_organization,),
    "/v1/organizations/{organization_id}/merge": (_merger,),
}
EVERY_POST = pytest.mark.parametrize(
    "prepare", [prepare for several in POSTS.values() for prepare in several], ids=lambda one: one.__name__.strip("_")
)
SHOW_A_SECRET = {"_webhook", "_secret"}
TELLS_OF_A_PERSON = {
    "_added_by_hand", "_engagement", "_match", "_stored_match", "_explanation", "_conflicts", "_reverse_match", "_profile", "_profiles",
    "_suggestion", "_suggestion_step", "_claim", "_claim_step",
}  # fmt: skip


@pytest.fixture(scope="module", params=BACKENDS)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("idempotency")
    url = fresh_database(request, request.param, folder, is_migrated=True)
    return Settings(database_url=url, data_dir=folder, encoder="none")


@pytest.fixture(scope="module")
async def world(settings: Settings) -> AsyncIterator[World]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        database = app.state.services.get(Database)
        async with database.transaction() as session:
            _, key = await create_key(session, name="k", role=Role.ADMIN, expires_at=None, actor=COMMAND_LINE)
        transport = httpx.ASGITransport(app=app)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
            while (await http.get("/health/ready")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            yield World(app, database, http)


async def _send(world: World, post: Post, key: str, *, request_id: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key, "X-Request-ID": request_id or uuid4().hex}
    headers |= {"If-Match": post.if_match} if post.if_match else {}
    answer = await world.http.post(post.path, json=post.body, headers=headers)
    await world.rest()
    return answer


@contextmanager
def _commits_of_requests_fail(name: str | None = None) -> Iterator[None]:
    """Those of the request with this id, or of all; background work commits on."""

    def fail(_session: Session) -> None:
        if request_id.get() is not None and request_id.get() == (name or request_id.get()):
            raise RuntimeError("the disk is full")

    event.listen(Session, "before_commit", fail)
    try:
        yield
    finally:
        event.remove(Session, "before_commit", fail)


async def test_every_route_that_takes_the_key_is_tested(world: World) -> None:
    paths = world.app.openapi()["paths"]
    posts = {path: paths[path]["post"] for path in paths if "post" in paths[path]}
    takes_it = {
        path
        for path, operation in posts.items()
        if any(one["name"] == "idempotency-key" for one in operation.get("parameters", ()))
    }
    assert takes_it == set(POSTS)
    assert takes_it == {path for path in posts if path.startswith("/v1/")} - WITHOUT_A_KEY
    for path in takes_it:
        assert "410" in posts[path]["responses"], path


@EVERY_POST
async def test_four_equal_requests_at_once_have_one_answer_and_do_the_work_once(
    world: World, prepare: Callable[[World], Awaitable[Post]]
) -> None:
    post, key = await prepare(world), uuid4().hex
    async with world.database.reading() as session:
        before = await session.scalar(select(func.max(AuditRow.id))) or ""
    answers = await asyncio.gather(*(_send(world, post, key) for _ in range(4)))
    answers.append(await _send(world, post, key))
    assert {answer.status_code for answer in answers} <= {200, 201, 202}, [answer.text for answer in answers]
    first = [answer for answer in answers if "idempotent-replayed" not in answer.headers]
    again = [answer for answer in answers if answer.headers.get("idempotent-replayed") == "true"]
    assert (len(first), len(again)) == (1, 4)
    for answer in again:
        assert answer.status_code == first[0].status_code
        for header in ("content-type", "location", "etag"):
            assert answer.headers.get(header) == first[0].headers.get(header)
        if prepare.__name__ in SHOW_A_SECRET:
            assert answer.json() == first[0].json() | {"secret": None}
        else:
            assert answer.content == first[0].content
    async with world.database.reading() as session:
        workers = select(func.count(AuditRow.request_id.distinct())).where(AuditRow.id > before)
        assert (await session.scalar(workers) or 0) <= 1


@EVERY_POST
async def test_what_failed_left_no_row_and_the_next_does_the_work(
    world: World, prepare: Callable[[World], Awaitable[Post]]
) -> None:
    post, key = await prepare(world), uuid4().hex
    before = await world.count(IdempotentAnswerRow, AuditRow)
    with _commits_of_requests_fail():
        assert_problem(await _send(world, post, key), 500, "internal_error")
    assert await world.count(IdempotentAnswerRow, AuditRow) == before
    answer = await _send(world, post, key)
    assert answer.is_success, answer.text
    assert "idempotent-replayed" not in answer.headers


@EVERY_POST
async def test_the_row_of_the_key_is_the_first_thing_that_is_written_or_read(
    world: World, prepare: Callable[[World], Awaitable[Post]]
) -> None:
    """In the transaction that does the work; so whoever waits for it has neither read nor locked anything."""
    post, statements = await prepare(world), dict[Transaction | None, list[str]]()

    def note(connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.setdefault(connection.get_transaction(), []).append(statement)

    event.listen(world.database.engine.sync_engine, "before_cursor_execute", note)
    try:
        (await _send(world, post, uuid4().hex)).raise_for_status()
    finally:
        event.remove(world.database.engine.sync_engine, "before_cursor_execute", note)
    works = [one for one in statements.values() if any("INSERT INTO idempotent_answers" in each for each in one)]
    assert len(works) == 1
    first = next(place for place, each in enumerate(works[0]) if "INSERT INTO idempotent_answers" in each)
    assert all("idempotent_answers" in each for each in works[0][:first])
    assert first <= 1


@EVERY_POST
async def test_an_answer_is_erased_with_the_person_it_tells_of(
    world: World, prepare: Callable[[World], Awaitable[Post]]
) -> None:
    await world.delete_profiles()
    post, key = await prepare(world), uuid4().hex
    answer = (await _send(world, post, key)).raise_for_status()
    async with world.database.reading() as session:
        people = set(await session.scalars(select(ProfileRow.id)))
    tells = any(one in answer.text or one in post.path for one in people)
    assert tells == (prepare.__name__ in TELLS_OF_A_PERSON)
    await world.delete_profiles()
    before = await world.count(ProfileRow, AuditRow)
    again = await _send(world, post, key)
    if tells:
        assert_problem(again, 410, "answer_erased")
        assert_problem(await _send(world, Post(post.path, {"another": "body"}), key), 410, "answer_erased")
    else:
        assert again.headers["idempotent-replayed"] == "true"
    assert await world.count(ProfileRow, AuditRow) == before
    async with world.database.reading() as session:
        kept = b"".join(body or b"" for body in await session.scalars(select(IdempotentAnswerRow.body)))
        assert await session.scalar(select(func.count()).select_from(AnsweredProfileRow)) == 0
    assert not any(one.encode() in kept for one in people)
    assert NAME.encode() not in kept


async def test_an_answer_that_is_made_while_its_person_is_deleted_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    post, key, is_answered = await _explanation(world), uuid4().hex, asyncio.Event()
    loop, ids_in = asyncio.get_running_loop(), idempotency._ids_in

    def note(body: bytes) -> set[str]:
        loop.call_soon_threadsafe(is_answered.set)
        return ids_in(body)

    monkeypatch.setattr(idempotency, "_ids_in", note)
    async with world.database.transaction() as session:
        await delete_profile(session, await get_profile(session, post.body["profile_id"]), COMMAND_LINE)
        asking = asyncio.create_task(_send(world, post, key))
        await is_answered.wait()
    assert (await asking).status_code == 200
    assert_problem(await _send(world, post, key), 410, "answer_erased")


async def test_a_person_that_was_deleted_does_not_come_back(world: World) -> None:
    body = {"kind": "expert", "name": NAME, "works": [{"title": "柔轮疲劳寿命"}]}
    posts = [Post("/v1/profiles", body), Post("/v1/profiles/bulk", {"items": [body | {"external_id": uuid4().hex}]})]
    for post in posts:
        key = uuid4().hex
        (await _send(world, post, key)).raise_for_status()
        await world.delete_profiles()
        for language, words in (("zh", "换一个新的键"), ("en", "take a new key")):
            world.http.headers["Accept-Language"] = language
            assert words in assert_problem(await _send(world, post, key), 410, "answer_erased")["detail"]
        assert await world.count(ProfileRow) == [0]
    (await _send(world, posts[0], uuid4().hex)).raise_for_status()  # somebody wants it again


async def test_no_stored_answer_holds_a_secret(world: World) -> None:
    secrets: list[str] = []
    for prepare in (_webhook, _secret):
        post, key = await prepare(world), uuid4().hex
        first, again = await _send(world, post, key), await _send(world, post, key)
        secrets.append(first.json()["secret"])
        assert again.json() == first.json() | {"secret": None}
        assert again.headers["idempotent-replayed"] == "true"
    async with world.database.reading() as session:
        rows = await session.execute(select(IdempotentAnswerRow.headers, IdempotentAnswerRow.body))
        kept = "".join(f"{headers}{(body or b'').decode()}" for headers, body in rows)
    assert all(secret.startswith("whsec_") for secret in secrets)
    assert "whsec_" not in kept


async def test_every_secret_in_an_answer_is_marked(world: World) -> None:
    schemas = world.app.openapi()["components"]["schemas"]
    secrets = {
        (name, field)
        for name, schema in schemas.items()
        for field in schema.get("properties", {})
        if re.search("secret|password|token|^key$", field)
    }
    assert secrets == {("CreatedWebhook", "secret")}
    assert SHOWN_ONCE in CreatedWebhook.model_fields["secret"].metadata


async def test_an_answer_expires(world: World) -> None:
    post, key = Post("/v1/demands", {"title": "泵"}), uuid4().hex
    first = await _send(world, post, key)
    for age, is_kept in ((timedelta(hours=71, minutes=59), True), (timedelta(hours=72, seconds=1), False)):
        async with world.database.transaction() as session:
            mine = IdempotentAnswerRow.idempotency_key == key
            await session.execute(update(IdempotentAnswerRow).where(mine).values(created_at=now() - age))
        answers = await asyncio.gather(*(_send(world, post, key) for _ in range(4)))
        assert {answer.json()["id"] == first.json()["id"] for answer in answers} == {is_kept}
        assert sum("idempotent-replayed" not in answer.headers for answer in answers) == (not is_kept)
    async with world.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(IdempotentAnswerRow).where(mine)) == 1


@pytest.mark.parametrize("how", ["patched", "sent again in bulk"])
@pytest.mark.parametrize("visibility", ["hidden", "withdrawn"])
async def test_an_answer_is_erased_when_the_person_is_hidden(world: World, visibility: str, how: str) -> None:
    external_id = uuid4().hex
    profile_id = await world.profile(source="s", external_id=external_id)
    post, key = Post("/v1/matches", {"query": {"title": "谐波减速器"}, "candidates": [profile_id]}), uuid4().hex
    assert NAME in (await _send(world, post, key)).text
    if how == "patched":
        (await world.http.patch(f"/v1/profiles/{profile_id}", json={"visibility": visibility})).raise_for_status()
    else:
        item = {"source": "s", "external_id": external_id, "kind": "expert", "name": NAME, "visibility": visibility}
        await world.post("/v1/profiles/bulk", items=[item])
    assert_problem(await _send(world, post, key), 410, "answer_erased")


@pytest.mark.parametrize("prepare", [_demand, _demand_step, _demands, _stored_match], ids=lambda one: one.__name__)
async def test_when_the_first_fails_one_of_those_that_wait_does_the_work(
    world: World, prepare: Callable[[World], Awaitable[Post]]
) -> None:
    post, key = await prepare(world), uuid4().hex
    with _commits_of_requests_fail("fails"):
        failing, *others = await asyncio.gather(
            _send(world, post, key, request_id="fails"), *(_send(world, post, key) for _ in range(3))
        )
    assert failing.status_code == 500 or failing.headers["idempotent-replayed"] == "true"
    assert len({(answer.status_code, answer.content) for answer in others}) == 1
    assert others[0].is_success
    n_first = sum("idempotent-replayed" not in answer.headers for answer in others)
    assert n_first == 1
