"""A database that hangs, neither answering nor closing, is given up, and taken again when it goes on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI
from http_checks import assert_problem
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from matching_service.store.database import Database, unreachable


@dataclass
class Proxy:
    """Stands before PostgreSQL and passes bytes on, until it is told to hold them."""

    port: int = 0
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self.goes_on.wait()
                writer.write(data)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def hung(database_url: str) -> AsyncIterator[tuple[Database, Proxy]]:
    """A database behind the proxy, with little patience."""
    url = make_url(database_url)
    folder = url.query["host"]
    proxy = Proxy()
    proxy.goes_on.set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await proxy.goes_on.wait()
        inner, outer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        await asyncio.gather(proxy.carry(reader, outer), proxy.carry(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    behind = url.set(host="127.0.0.1", port=port, query={})
    database = Database(behind.render_as_string(hide_password=False), patience_s=0.5)
    yield database, proxy
    proxy.goes_on.set()
    await database.close()
    server.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_statement_is_given_up_and_the_next_one_answered(hung: tuple[Database, Proxy]) -> None:
    database, proxy = hung
    async with database.reading() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    proxy.goes_on.clear()
    with pytest.raises((TimeoutError, DBAPIError)) as given_up:
        async with database.reading() as session:
            await session.execute(text("SELECT 2"))
    assert unreachable(given_up.value) is not None
    proxy.goes_on.set()
    async with database.reading() as session:
        assert await session.scalar(text("SELECT 3")) == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_requests_are_told_to_come_back(
    hung: tuple[Database, Proxy], app: FastAPI, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, proxy = hung
    monkeypatch.setitem(app.state.services._by_type, Database, database)
    assert (await http.get("/v1/demands")).status_code == 200
    proxy.goes_on.clear()
    for method, path in (("GET", "/v1/demands"), ("POST", "/v1/demands"), ("GET", "/v1/audit")):
        answer = await http.request(method, path, json={"title": "柔轮"} if method == "POST" else None)
        assert_problem(answer, 503, "database_away")
        assert int(answer.headers["retry-after"]) > 0
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()["database"]["ok"]) == (503, False)
    proxy.goes_on.set()
    assert (await http.get("/v1/demands")).status_code == 200
