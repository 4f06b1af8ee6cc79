"""The table of permissions is what the routes do: every published route, tried with every role and without a key."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from http_checks import with_ids

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.api.permissions import RoutePermission, as_page, route_permissions
from matching_service.app import create_app
from matching_service.foundation.settings import Settings
from matching_service.store.database import Database

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
STEPS = {"/v1/demands/{demand_id}/transitions", "/v1/claims/{claim_id}/transitions"}
"""Need the action of the step, which the body names."""
PUBLIC = {"/", "/health/live", "/health/ready", "/v1/board", "/v1/board.atom", "/v1/board/{demand_id}"}
NO_ACTION = STEPS | {"/v1/codes/{name}"}


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_page(route_permissions(create_app(Settings()))), "make permissions"


def test_every_route_names_its_action() -> None:
    rows = route_permissions(create_app(Settings()))
    assert len(rows) > 90
    assert {row.path for row in rows if not row.needs_key} == PUBLIC
    assert {row.path for row in rows if row.needs_key and not row.actions} == NO_ACTION


async def _answers(client: httpx.AsyncClient, rows: list[RoutePermission]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        body: Any = None if row.method == "GET" else {}
        answer = await client.request(row.method, with_ids(row.path), json=body)
        found[row.method, row.path] = answer.status_code
    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # who may do what does not depend on the database
async def test_every_route_answers_every_role_as_the_table_says(
    app: FastAPI, http: httpx.AsyncClient, database: Database
) -> None:
    assert http is not None  # the application is open
    rows = route_permissions(app)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as nobody:
        for (method, path), status in (await _answers(nobody, rows)).items():
            assert (status == 401) == (path not in PUBLIC), (method, path, status)
    for role in Role:
        async with database.transaction() as session:
            _, key = await create_key(
                session, name=role, role=role, expires_at=None, actor=COMMAND_LINE, source="甲" if role is Role.PORTAL else None
            )  # fmt: skip
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            answers = await _answers(client, rows)
        for row in rows:
            status = answers[row.method, row.path]
            assert status != 401, row
            assert status < 500 or row.path == "/health/ready", (row, status)
            if row.path not in STEPS | PUBLIC:
                assert (status == 403) == (role not in row.roles), (role, row, status)
