"""A full line is answered with 503 and when to come back, on every path that ranks or takes bulks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from http_checks import UNKNOWN_ID, assert_problem, is_chinese

from matching_service.api.admission import BulkQueue, RankingQueue
from matching_service.matching.engine import Engine

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
QUERY = {"query": {"title": "谐波减速器"}}
RANKINGS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/v1/matches", QUERY),
    ("POST", "/v1/matches/explain", QUERY | {"profile_id": UNKNOWN_ID}),
    ("POST", f"/v1/profiles/{UNKNOWN_ID}/matches", {}),
    ("GET", f"/v1/demands/{UNKNOWN_ID}/similar", None),
]
BULKS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/v1/profiles/bulk", {"items": [{"kind": "expert", "name": "甲"}]}),
    ("POST", "/v1/demands/bulk", {"items": [{"title": "泵"}]}),
]


async def _never() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def _all_turns_taken(app: FastAPI, *, n_waiting: int = 0) -> AsyncIterator[None]:
    ranking, bulk = RankingQueue(n_running=1, n_waiting=n_waiting), BulkQueue(n_running=1, n_waiting=n_waiting)
    app.state.services.add(ranking)
    app.state.services.add(bulk)
    async with ranking.turn(_never), bulk.turn(_never):
        yield


@ONLY_SQLITE
@pytest.mark.parametrize(("method", "path", "body"), RANKINGS + BULKS)
async def test_a_full_line_says_when_to_come_back(
    app: FastAPI, http: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None
) -> None:
    async with _all_turns_taken(app):
        answer = await http.request(method, path, json=body)
        english = await http.request(method, path, json=body, headers={"accept-language": "en"})
    assert is_chinese(assert_problem(answer, 503, "overloaded")["detail"])
    assert not is_chinese(assert_problem(english, 503, "overloaded")["detail"])
    assert int(answer.headers["retry-after"]) > 0
    assert (await http.request(method, path, json=body)).status_code != 503


@ONLY_SQLITE
async def test_what_ranks_nothing_is_answered_while_the_line_is_full(app: FastAPI, http: httpx.AsyncClient) -> None:
    async with _all_turns_taken(app):
        assert (await http.get("/health/live")).status_code == 200
        assert (await http.post("/v1/demands", json={"title": "泵"})).status_code == 201
        assert_problem(await http.post("/v1/matches", json={"query": {}}), 422, "invalid_body", "/query/title")


@ONLY_SQLITE
async def test_a_bulk_that_is_refused_stores_nothing_and_may_be_sent_again(
    app: FastAPI, http: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "k"}
    body = {"items": [{"title": "泵", "external_id": "1"}]}
    async with _all_turns_taken(app):
        assert_problem(await http.post("/v1/demands/bulk", json=body, headers=key), 503, "overloaded")
    assert (await http.get("/v1/demands")).json()["items"] == []
    answer = await http.post("/v1/demands/bulk", json=body, headers=key)
    assert [item["status"] for item in answer.json()["items"]] == ["created"]


@ONLY_SQLITE
async def test_an_index_that_loads_says_when_to_come_back(app: FastAPI, http: httpx.AsyncClient) -> None:
    app.state.services.get(Engine).profiles.is_open = False
    for answer in (await http.post("/v1/matches", json=QUERY), await http.get("/health/ready")):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


@ONLY_SQLITE
async def test_a_client_that_hangs_up_leaves_the_line(app: FastAPI, http: httpx.AsyncClient) -> None:
    request = http.build_request("POST", "/v1/matches", json=QUERY)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/matches", "raw_path": b"/v1/matches", "query_string": b"", "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }  # fmt: skip
    messages = iter([{"type": "http.request", "body": request.content}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async with _all_turns_taken(app, n_waiting=1):
        await app(scope, receive, send)
        waiting = asyncio.create_task(http.post("/v1/matches", json=QUERY))
        while app.state.services.get(RankingQueue)._n_free:  # noqa: ASYNC110  # until it stands in the place that was left
            await asyncio.sleep(0)
    assert sent[0]["status"] == 503
    assert (await waiting).status_code == 200
