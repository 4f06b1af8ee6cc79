"""A portal takes back what it sent: drafts are deleted, what was submitted is withdrawn, what is published with a reason."""

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
from matching_service.store.database import Database

S = DemandStatus


@pytest.fixture
async def portal(app: FastAPI, http: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    async with database.transaction() as session:
        _, key = await create_key(
            session, name="门户", role=Role.PORTAL, expires_at=None, actor=COMMAND_LINE, source="甲"
        )
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {key}"})


async def _demand_in(portal: httpx.AsyncClient, database: Database, state: S) -> str:
    demand_id: str = (await portal.post("/v1/demands", json={"title": "柔轮"})).raise_for_status().json()["id"]
    async with database.transaction() as session:
        await adopt_status(session, await get_demand(session, demand_id), state, actor=COMMAND_LINE)
    return demand_id


async def _withdraw(portal: httpx.AsyncClient, demand_id: str, **given: Any) -> httpx.Response:
    return await portal.post(f"/v1/demands/{demand_id}/transitions", json={"to": "withdrawn"} | given)


async def test_what_nobody_works_on_yet_is_withdrawn(portal: httpx.AsyncClient, database: Database) -> None:
    for state in (S.DRAFT, S.SUBMITTED, S.RETURNED):
        demand_id = await _demand_in(portal, database, state)
        assert "withdrawn" in (await portal.get(f"/v1/demands/{demand_id}")).json()["next_statuses"]
        withdrawn = (await _withdraw(portal, demand_id)).raise_for_status().json()
        assert (withdrawn["status"], withdrawn["next_statuses"]) == ("withdrawn", [])
    for state in (S.REVIEWED, S.MATCHING, S.CONTRACTED, S.EXPIRED):
        demand_id = await _demand_in(portal, database, state)
        assert_problem(await _withdraw(portal, demand_id, reason="funding"), 409, "illegal_transition")


async def test_a_published_one_is_closed_with_a_reason_and_leaves_the_board(
    portal: httpx.AsyncClient, database: Database
) -> None:
    demand_id = await _demand_in(portal, database, S.PUBLISHED)
    assert (await portal.get(f"/v1/board/{demand_id}")).status_code == 200
    assert_problem(await _withdraw(portal, demand_id), 422, "transition_incomplete", "/reason")
    assert (await _withdraw(portal, demand_id, reason="solved_otherwise")).status_code == 200
    assert_problem(await portal.get(f"/v1/board/{demand_id}"), 404, "not_on_the_board")
    history = (await portal.get(f"/v1/demands/{demand_id}/history")).json()["items"]
    assert (history[-1]["to"], history[-1]["reason"]) == ("withdrawn", "solved_otherwise")


async def test_a_draft_is_deleted_for_good_and_nothing_else_is(portal: httpx.AsyncClient, database: Database) -> None:
    draft = await _demand_in(portal, database, S.DRAFT)
    await portal.put(f"/v1/demands/{draft}/contact", json={"person": "陈工"})
    assert_problem(await portal.delete(f"/v1/demands/{draft}", headers={"If-Match": '"99"'}), 412, "etag_mismatch")
    assert (await portal.delete(f"/v1/demands/{draft}")).status_code == 204
    assert_problem(await portal.get(f"/v1/demands/{draft}"), 404, "demand_not_found")
    for state in (S.SUBMITTED, S.PUBLISHED, S.RETURNED):
        assert_problem(
            await portal.delete(f"/v1/demands/{await _demand_in(portal, database, state)}"), 409, "not_a_draft"
        )
