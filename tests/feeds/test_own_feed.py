"""A portal is told of its own demands in every state, with the opinion, and of nothing else."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from http_checks import assert_problem

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.demands.queries import get_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.disclosure.representations import represent
from matching_service.store.database import Database
from matching_service.store.outbox import events_after
from matching_service.store.scope import Scope


async def _portal(app: FastAPI, database: Database, source: str) -> httpx.AsyncClient:
    async with database.transaction() as session:
        _, key = await create_key(
            session, name=f"门户 {source}", role=Role.PORTAL, expires_at=None, actor=COMMAND_LINE, source=source
        )
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {key}"})


async def test_the_own_feed(app: FastAPI, http: httpx.AsyncClient, database: Database) -> None:
    async with await _portal(app, database, "甲") as first, await _portal(app, database, "乙") as second:
        mine: dict[str, Any] = (await first.post("/v1/demands", json={"title": "甲的"})).json()
        await second.post("/v1/demands", json={"title": "乙的"})
        await first.post("/v1/profiles", json={"kind": "expert", "name": "公开"})
        feed = (await first.get("/v1/feed", params={"own": "true"})).raise_for_status().json()
        assert [(item["entity_id"], item["data"]["status"]) for item in feed["items"]] == [(mine["id"], "draft")]
        async with database.transaction() as session:
            await adopt_status(
                session, await get_demand(session, mine["id"]), DemandStatus.SUBMITTED, actor=COMMAND_LINE
            )
        step = {"to": "returned", "opinion": "请补充技术指标"}
        (await http.post(f"/v1/demands/{mine['id']}/transitions", json=step)).raise_for_status()
        parameters = {"own": "true", "cursor": feed["next_cursor"]}
        (item,) = (await first.get("/v1/feed", params=parameters)).raise_for_status().json()["items"]
        assert (item["event"], item["data"]["status"]) == ("demand.returned", "returned")
        assert item["data"]["opinion"] == "请补充技术指标"
        assert all(row["data"]["name"] == "公开" for row in (await second.get("/v1/feed")).json()["items"])
    assert_problem(await http.get("/v1/feed", params={"own": "true"}), 422, "source_needed", "own")


async def test_a_webhook_of_a_portal_is_told_of_its_source_alone(http: httpx.AsyncClient, database: Database) -> None:
    for source in ("甲", "乙"):
        await http.post("/v1/demands", json={"title": source, "source": source})
    await http.post("/v1/profiles", json={"kind": "expert", "name": "a", "source": "甲"})
    await http.post("/v1/organizations", json={"name": "a", "source": "甲"})
    async with database.reading() as session:
        events = [
            event
            for entity in ("demand", "profile", "organization")
            for event in await events_after(session, 0, entity=entity, limit=100)
        ]
        told = [item for item in await represent(session, events, "own", Scope("甲")) if item is not None]
    assert [item.data["title"] for item in told if item.data is not None] == ["甲"]
    assert len(told) == 1
    url = {"url": "https://portal.example/hook"}
    for body, pointer in ((url | {"audience": "own"}, "/source"), (url | {"source": "甲"}, "/source")):
        assert_problem(await http.post("/v1/webhooks", json=body), 422, "source_needed", pointer)


@pytest.mark.parametrize("event", ["demand.publish", "demands.published", "demnd.*", "profile.never", "webhook.test"])
async def test_an_event_that_does_not_exist_is_refused(http: httpx.AsyncClient, event: str) -> None:
    body = {"url": "https://portal.example/hook", "events": ["demand.*", event]}
    assert_problem(await http.post("/v1/webhooks", json=body), 422, "invalid_body", "/events/1", error="unknown_event")
