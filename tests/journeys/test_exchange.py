"""Webhooks and the feed by HTTP, on the real server with a real receiver."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import Cli, Server
from http_checks import UNKNOWN_ID, assert_problem, create, in_database, is_chinese, match, publish
from sqlalchemy import select, update
from webhooks.receivers import Receiver

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.store.database import Database
from matching_service.store.webhooks import DeliveryRow, WebhookRow, WebhookStateRow
from matching_service.webhooks import service as webhooks
from matching_service.webhooks.schemas import WebhookCreate


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver().start()
    yield started
    started.stop()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """An administrator who leaves no subscription behind for the tests that follow."""
    with server.client() as client:
        yield client
        for row in client.get("/v1/webhooks", params={"limit": 200}).json()["items"]:
            client.delete(f"/v1/webhooks/{row['id']}")


def subscribe(http: httpx.Client, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    body = {"url": receiver.url, "audience": "office"} | fields
    made: dict[str, Any] = http.post("/v1/webhooks", json=body).raise_for_status().json()
    return made


def deliveries(http: httpx.Client, webhook: dict[str, Any], **parameters: Any) -> list[dict[str, Any]]:
    found = http.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=parameters).raise_for_status()
    items: list[dict[str, Any]] = found.json()["items"]
    return items


def read_to_the_end(http: httpx.Client, cursor: str | None = None, **parameters: Any) -> tuple[list[Any], str]:
    items: list[Any] = []
    while True:
        asked = parameters | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/feed", params=asked).raise_for_status().json()
        items += page["items"]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return items, str(cursor)


def test_a_portal_is_told_of_its_demand(http: httpx.Client, receiver: Receiver, source: str) -> None:
    webhook = subscribe(http, receiver, events=["demand.*"], audience="public")
    demand = create(http, "demands", source=source)
    publish(http, demand["id"])
    http.patch(f"/v1/demands/{demand['id']}", json={"funding_wan": 80}).raise_for_status()
    assert receiver.wait_for(1)
    while (receiver.accepted[-1].json["data"] or {}).get("funding_wan") != 80:
        assert receiver.wait_for(len(receiver.accepted) + 1)
    bodies = [request.json for request in receiver.accepted]
    assert {body["entity_id"] for body in bodies} == {demand["id"]}
    assert [body["seq"] for body in bodies] == sorted(body["seq"] for body in bodies)
    assert (bodies[-1]["data"]["status"], bodies[-1]["data"]["funding_wan"]) == ("published", 80)
    assert all(request.is_signed_with(webhook["secret"]) for request in receiver.accepted)
    sent = {request.id for request in receiver.accepted}
    found = deliveries(http, webhook)
    assert sent <= {delivery["id"] for delivery in found}
    assert {delivery["state"] for delivery in found} <= {"delivered", "skipped", "pending"}
    assert {delivery["order_key"] for delivery in found} == {f"demand:{demand['id']}"}


def test_the_secret_is_shown_once(http: httpx.Client, receiver: Receiver) -> None:
    webhook = subscribe(http, receiver)
    path = f"/v1/webhooks/{webhook['id']}"
    changed = http.patch(path, json={"events": ["profile.created"]})
    assert changed.json()["events"] == ["profile.created"]
    second = http.post(f"{path}/secret", headers={"Idempotency-Key": webhook["id"]})
    again = http.post(f"{path}/secret", headers={"Idempotency-Key": webhook["id"]})  # the first answer was lost
    assert again.json() == second.json() | {"secret": None}
    assert second.json()["secret"] != webhook["secret"]
    assert webhook["both_sign_until"] is None
    assert http.get(path).json()["both_sign_until"] == second.json()["both_sign_until"] > second.json()["updated_at"]
    for answer in (http.get(path), http.get("/v1/webhooks"), changed):
        assert answer.status_code == 200
        assert webhook["secret"] not in answer.text
        assert "secret" not in answer.text
    http.post(f"{path}/test").raise_for_status()
    assert all(receiver.accepted[-1].is_signed_with(one["secret"]) for one in (webhook, second.json()))


def test_a_failure_is_seen_and_a_dead_letter_replayed(
    server: Server, http: httpx.Client, receiver: Receiver, source: str
) -> None:
    receiver.answer = lambda _request: 500
    receiver.answer_body = "数据库已满".encode()
    webhook = subscribe(http, receiver, events=["demand.*"])
    path = f"/v1/webhooks/{webhook['id']}"
    demand = create(http, "demands", source=source)
    publish(http, demand["id"])
    assert receiver.arrived.wait(60)
    deadline = time.monotonic() + 60
    while not (failed := [d for d in deliveries(http, webhook, state="pending") if d["last_status"]]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (failed[0]["last_status"], failed[0]["last_error"]) == (500, "HTTP 500 数据库已满")
    assert_problem(
        http.post(f"{path}/replay", json={"delivery_ids": [failed[0]["id"]]}), 409, "not_dead", "/delivery_ids"
    )
    http.patch(path, json={"is_active": False}).raise_for_status()

    async def give_up(session: Any) -> None:
        await session.execute(update(DeliveryRow).where(DeliveryRow.id == failed[0]["id"]).values(state="dead"))

    in_database(server, give_up)
    receiver.answer = lambda _request: 200
    http.patch(path, json={"is_active": True}).raise_for_status()
    (dead,) = deliveries(http, webhook, state="dead")
    assert (dead["event"], dead["entity_id"], dead["next_attempt_at"]) == ("demand.created", demand["id"], None)
    assert http.post(f"{path}/replay").json() == {"n_deliveries": 1}
    assert receiver.wait_for(2)
    assert receiver.accepted[0].id == dead["id"]
    assert receiver.accepted[0].json["event"] == "demand.created"
    assert_problem(http.post(f"{path}/skip", json={"delivery_ids": [dead["id"]]}), 409, "not_dead")


def test_a_trial_says_what_the_receiver_said(http: httpx.Client, receiver: Receiver) -> None:
    webhook = subscribe(http, receiver, events=["organization.merged"])
    path = f"/v1/webhooks/{webhook['id']}/test"
    answer = http.post(path).json()
    assert (answer["delivered"], answer["status"], answer["error"]) == (True, 204, None)
    (request,) = receiver.requests
    assert (request.json["event"], request.json["entity_id"]) == ("webhook.test", webhook["id"])
    assert request.is_signed_with(webhook["secret"])
    receiver.answer = lambda _request: 401
    assert http.post(path).json()["error"] == "HTTP 401"
    receiver.stop()
    assert http.post(path).json()["status"] is None
    assert deliveries(http, webhook) == []


def test_lists_and_decisions_are_told_to_the_office_in_the_demands_order(
    server: Server, http: httpx.Client, receiver: Receiver, source: str
) -> None:
    topic = f"谐波减速器 {source}"
    profile = create(http, "profiles", source=source, name="卓砺川", summary=topic)
    demand = create(http, "demands", source=source, title=topic, external_id="D-1")
    publish(http, demand["id"])
    _, cursor = read_to_the_end(http, entity="match")
    webhook = subscribe(http, receiver, events=["match.*", "match_list.*"])
    listed = match(http, demand_id=demand["id"], candidates=[profile["id"]], store=True)["items"][0]
    assert receiver.wait_for(1)
    http.put(f"/v1/matches/{listed['match_id']}/decision", json={"decision": "pinned"}).raise_for_status()
    match(http, demand_id=demand["id"], candidates=[profile["id"]], store=True)  # nothing changed, nothing is told
    assert receiver.wait_for(2)
    changed, decided = [request.json for request in receiver.accepted]
    list_id = changed["entity_id"]
    assert (decided["event"], decided["entity_id"]) == ("match.pinned", listed["match_id"])
    assert decided["data"]["demand_id"] == demand["id"]
    assert decided["data"]["profile"]["name"] == "卓砺川"
    assert decided["data"]["decision"] == "pinned"
    assert (changed["event"], changed["data"]["id"], changed["data"]["demand_id"]) == (
        "match_list.changed", list_id, demand["id"],
    )  # fmt: skip
    (entry,) = changed["data"]["items"]
    assert (entry["rank"], entry["decision"], entry["profile"]["id"]) == (1, None, profile["id"])
    assert {delivery["order_key"] for delivery in deliveries(http, webhook)} == {f"demand:{demand['id']}"}
    items, _ = read_to_the_end(http, cursor, entity="match")
    of_list, of_match = [item["data"] for item in items if item["entity_id"] in {list_id, listed["match_id"]}]
    assert of_match == decided["data"]
    assert [(entry["decision"], entry["profile"]["id"]) for entry in of_list["items"]] == [("pinned", profile["id"])]
    http.patch(f"/v1/profiles/{profile['id']}", json={"visibility": "withdrawn"}).raise_for_status()
    items, _ = read_to_the_end(http, cursor, entity="match")
    assert [item["data"]["items"] for item in items if item["entity_id"] == list_id] == [[]]
    assert [item["deleted"] for item in items if item["entity_id"] == listed["match_id"]] == [True]


def test_the_feed_tells_each_key_what_it_may_see(server: Server, http: httpx.Client, source: str) -> None:
    with server.client("portal") as portal:
        _, office_cursor = read_to_the_end(http)
        _, portal_cursor = read_to_the_end(portal)
        public = create(http, "profiles", source=source, name="甲")
        restricted = create(http, "profiles", source=source, name="乙", visibility="restricted")
        draft = create(http, "demands", source=source)
        changed, later = read_to_the_end(portal, portal_cursor)
        shown = {item["entity_id"]: item["deleted"] for item in changed}
        assert shown == {public["id"]: False, restricted["id"]: True}
        assert read_to_the_end(portal, later)[0] == []
        items, _ = read_to_the_end(http, office_cursor)
        assert {item["entity_id"] for item in items} == {public["id"], restricted["id"], draft["id"]}
        assert not any(item["deleted"] for item in items)
        assert_problem(portal.get("/v1/feed", params={"entity": "match"}), 403, "forbidden")


def test_who_may_do_what(server: Server) -> None:
    for role in ("portal", "staff", "batch"):
        with server.client(role) as client:
            assert_problem(client.get("/v1/webhooks"), 403, "forbidden")
            assert_problem(client.post("/v1/webhooks", json={"url": "https://portal.example/"}), 403, "forbidden")
            assert_problem(client.post(f"/v1/webhooks/{UNKNOWN_ID}/replay"), 403, "forbidden")
    with server.client("batch") as client:
        assert_problem(client.get("/v1/feed"), 403, "forbidden")
    with server.client("") as client:
        assert_problem(client.get("/v1/feed"), 401, "key_missing")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "invalid_body", "/url"),
        ({"url": "ftp://portal.example/"}, "invalid_url", "/url"),
        ({"url": "https://p.example/", "events": []}, "invalid_body", "/events"),
        ({"url": "https://p.example/", "events": ["demand"]}, "invalid_body", "/events/0"),
        ({"url": "https://p.example/", "events": ["*.created"]}, "invalid_body", "/events/0"),
        ({"url": "https://p.example/", "audience": "everybody"}, "invalid_body", "/audience"),
        ({"url": "https://p.example/", "mapping": "kczg"}, "unknown_mapping", "/mapping"),
        ({"url": "https://p.example/", "is_active": "maybe"}, "invalid_body", "/is_active"),
        ({"url": "https://p.example/", "secret": "mine"}, "invalid_body", "/secret"),
        ({"url": "https://p.example/" + "a" * 2000}, "invalid_body", "/url"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(http: httpx.Client, body: Any, code: str, pointer: str) -> None:
    problem = assert_problem(http.post("/v1/webhooks", json=body), 422, code, pointer)
    assert all(is_chinese(error["message"]) for error in problem["errors"])
    assert http.get("/v1/webhooks").json()["items"] == []


def test_what_is_not_there_and_what_somebody_else_changed(http: httpx.Client, receiver: Receiver) -> None:
    missing = f"/v1/webhooks/{UNKNOWN_ID}"
    for answer in (
        http.get(missing), http.patch(missing, json={}), http.delete(missing), http.get(f"{missing}/deliveries"),
        http.post(f"{missing}/replay"), http.post(f"{missing}/test"),
        http.post(f"{missing}/skip", json={"delivery_ids": ["x"]}),
    ):  # fmt: skip
        assert_problem(answer, 404, "webhook_not_found")
    webhook = subscribe(http, receiver)
    path = f"/v1/webhooks/{webhook['id']}"
    stale = {"If-Match": http.get(path).headers["etag"]}
    http.patch(path, json={"events": ["demand.*"]}, headers=stale).raise_for_status()
    assert_problem(http.patch(path, json={"events": ["*"]}, headers=stale), 412, "etag_mismatch")
    assert_problem(http.delete(path, headers=stale), 412, "etag_mismatch")
    assert http.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("parameters", "code", "pointer"),
    [
        ({"entity": "people"}, "unknown_entity", "entity"),
        ({"entity": "demand,"}, "unknown_entity", "entity"),
        ({"cursor": "nonsense"}, "invalid_cursor", "cursor"),
        ({"limit": "0"}, "invalid_parameter", "limit"),
        ({"limit": "201"}, "invalid_parameter", "limit"),
        ({"mapping": "kczg"}, "unknown_mapping", "mapping"),
    ],
)
def test_a_feed_that_cannot_be_is_refused(http: httpx.Client, parameters: Any, code: str, pointer: str) -> None:
    problem = assert_problem(http.get("/v1/feed", params=parameters), 422, code, pointer)
    assert all(is_chinese(error["message"]) for error in problem["errors"])


def test_a_cursor_belongs_to_what_was_asked_for(http: httpx.Client, source: str) -> None:
    """A reader that adds a kind of record to its question would never see the older ones of it."""
    _, cursor = read_to_the_end(http, entity="profile")
    wider = {"cursor": cursor, "entity": "demand,profile"}
    assert_problem(http.get("/v1/feed", params=wider), 422, "cursor_of_other_entities", "cursor")
    create(http, "demands", source=source)
    profile = create(http, "profiles", source=source)
    items, _ = read_to_the_end(http, cursor)  # without an entity the cursor's own
    assert [item["entity_id"] for item in items] == [profile["id"]]


def test_metrics_count_what_is_not_delivered(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    assert 'matching_webhook_deliveries{state="dead"}' in text
    assert 'matching_webhook_deliveries{state="pending"}' in text
    assert "matching_webhook_attempts_total" in text


# --- a sender that is killed


async def prepare(database_url: str, url: str) -> str:
    database = Database(database_url)
    async with database.transaction() as session:
        data = WebhookCreate(url=url, audience="office")
        row: WebhookRow = await webhooks.create_webhook(session, data, COMMAND_LINE, mappings={}, allow_private=True)
    async with database.transaction() as session:
        for title in ("甲", "乙"):
            await create_demand(session, DemandCreate(title=title), COMMAND_LINE)
    await database.close()
    return row.id


async def let_the_lease_end(database_url: str) -> None:
    database = Database(database_url)
    async with database.transaction() as session:
        (state,) = await session.scalars(select(WebhookStateRow))
        assert state.lease_holder is not None
        assert state.lease_until is not None
        state.lease_until = state.lease_until.replace(year=2020)
    await database.close()


def test_a_killed_process_loses_nothing(cli: Cli, database_url: str, receiver: Receiver) -> None:
    """The receiver has the event, and nobody wrote that down: it is sent again, with the same id."""
    asyncio.run(prepare(database_url, receiver.url))
    receiver.may_answer.clear()
    command = [sys.executable, "-m", "matching_service", "deliver"]
    dying = subprocess.Popen(command, env=cli.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert receiver.arrived.wait(120)
    os.kill(dying.pid, signal.SIGKILL)
    dying.communicate(timeout=60)
    receiver.may_answer.set()
    asyncio.run(let_the_lease_end(database_url))
    done = cli.run("deliver", "--json")
    assert done.returncode == 0, done.stderr
    assert '"delivered": 2' in done.stdout
    first, again, other = receiver.requests
    assert first.id == again.id != other.id
    assert [request.json["data"]["title"] for request in receiver.requests] == ["甲", "甲", "乙"]
