"""What tests over HTTP share: how an error must look, small records to start from, a look into the database."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from conftest import Server
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.store.database import Database

UNKNOWN_ID = "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"
"""Has the form of an id and belongs to nothing."""
_CHINESE = re.compile("[\u4e00-\u9fff]")

Result = TypeVar("Result")


def assert_problem(
    response: httpx.Response, status: int, code: str, pointer: str | None = None, *, error: str | None = None
) -> dict[str, Any]:
    """The answer is problem+json with this status and code, and names the place when one is given."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert body["type"] == f"urn:matching-service:problem:{code}"
    assert body["status"] == status
    assert body["title"], body
    assert body["detail"], body
    assert body["request_id"] == response.headers["x-request-id"]
    if pointer is not None:
        assert pointer in [found["pointer"] for found in body["errors"]], body
    if error is not None:
        assert (error, pointer) in [(found["code"], found["pointer"]) for found in body["errors"]], body
    return body


def is_chinese(text: str) -> bool:
    return _CHINESE.search(text) is not None


def with_ids(path: str) -> str:
    """A path of the OpenAPI description with an id for each of its parameters."""
    return re.sub(r"\{\w+\}", UNKNOWN_ID, path)


def create(http: httpx.Client, what: str, **fields: Any) -> dict[str, Any]:
    """A stored ``demands``, ``profiles`` or ``organizations`` record with the least that is required."""
    least: dict[str, Any] = {
        "demands": {"title": "谐波减速器柔轮疲劳开裂"},
        "profiles": {"kind": "expert", "name": "卓砺川"},
        "organizations": {"name": f"某厂{uuid4().hex}"},  # no name like another: they would be taken for duplicates
    }[what]
    made: dict[str, Any] = http.post(f"/v1/{what}", json=least | fields).raise_for_status().json()
    return made


def move(http: httpx.Client, demand_id: str, *states: str, **given: Any) -> dict[str, Any]:
    """Take steps of a demand's life; ``given`` goes with each of them."""
    moved: dict[str, Any] = {}
    for state in states:
        answer = http.post(f"/v1/demands/{demand_id}/transitions", json={"to": state} | given)
        moved = answer.raise_for_status().json()
    return moved


async def published(http: httpx.AsyncClient, database: Database, **fields: object) -> str:
    """The id of a new demand that is on the board, without the steps before it."""
    body = {"title": "柔轮"} | fields
    demand_id: str = (await http.post("/v1/demands", json=body)).raise_for_status().json()["id"]
    async with database.transaction() as session:
        await adopt_status(session, await get_demand(session, demand_id), DemandStatus.PUBLISHED, actor=COMMAND_LINE)
    return demand_id


def complete(http: httpx.Client, demand_id: str) -> None:
    """Fill what the form lacks for a submission, with texts that hold no word."""
    path = f"/v1/demands/{demand_id}"
    demand = http.get(path).raise_for_status().json()
    least = {"problem": "—", "key_technology": "—", "keywords": ["—"], "cooperation": "other", "region": "440605"}
    change = {name: value for name, value in least.items() if not demand[name]}
    if demand["organization_id"] is None:
        change["organization_id"] = create(http, "organizations")["id"]
    http.patch(path, json=change).raise_for_status()
    contact = {"person": "陈工", "mobile": "13000000000", "email": "chen@example.org"}
    http.put(f"{path}/contact", json=contact).raise_for_status()


def publish(http: httpx.Client, demand_id: str) -> None:
    complete(http, demand_id)
    move(http, demand_id, "submitted", "reviewed", "published")


def match(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """The answer of POST /v1/matches."""
    answer: dict[str, Any] = http.post("/v1/matches", json=body).raise_for_status().json()
    return answer


def profile_ids(answer: dict[str, Any]) -> list[str]:
    return [item["profile"]["id"] for item in answer["items"]]


def read_all(http: httpx.Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = http.get(path, params=parameters | ({"cursor": cursor} if cursor else {})).raise_for_status().json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


def finished_run(http: httpx.Client, location: str) -> dict[str, Any]:
    """The run once it has ended."""
    deadline = time.monotonic() + 120
    while (run := http.get(location).raise_for_status().json())["state"] == "running":
        assert time.monotonic() < deadline, run
        time.sleep(0.05)
    ended: dict[str, Any] = run
    return ended


def in_database(server: Server, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """Do something in the server's own database, as a second process would."""

    async def run() -> Result:
        database = Database(server.cli.environment["MATCHING_DATABASE_URL"])
        try:
            async with database.transaction() as session:
                return await work(session)
        finally:
            await database.close()

    return asyncio.run(run())
