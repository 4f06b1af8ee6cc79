"""What any HTTP client may expect: HEAD where GET is, conditions, feeds that never go back, an honest 503."""

from xml.etree import ElementTree as ET

import httpx
import pytest
from conftest import Clock
from fastapi import FastAPI
from http_checks import UNKNOWN_ID, assert_problem, published
from sqlalchemy.exc import DBAPIError, OperationalError

from matching_service.foundation.clock import today
from matching_service.store.database import Database, unreachable

ATOM = {"a": "http://www.w3.org/2005/Atom"}


@pytest.mark.parametrize(
    "path", ["/", "/health/live", "/health/ready", "/v1/board", "/v1/board.atom", "/v1/demands", "/metrics", "/openapi.json",
             f"/v1/demands/{UNKNOWN_ID}", "/nowhere"],
)  # fmt: skip
async def test_head_is_get_without_the_body(http: httpx.AsyncClient, path: str) -> None:
    asked, head = await http.get(path), await http.head(path)
    assert head.status_code == asked.status_code
    assert head.headers["content-type"] == asked.headers["content-type"]
    assert head.content == b""


async def test_head_of_what_has_no_get_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.head("/v1/matches")).status_code == 405


async def test_a_star_in_if_none_match_is_any_version(http: httpx.AsyncClient, database: Database) -> None:
    demand_id = await published(http, database)
    for path in ("/v1/board", "/v1/board.atom", f"/v1/board/{demand_id}"):
        answer = await http.get(path, headers={"If-None-Match": "*"})
        assert (answer.status_code, answer.content) == (304, b""), path


async def test_the_address_of_the_service_says_where_to_go(http: httpx.AsyncClient) -> None:
    for path in (await http.get("/")).raise_for_status().json().values():
        if path.startswith("/"):
            assert (await http.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/feed", "/v1/demands", "/v1/board", "/v1/webhooks"])
async def test_a_blank_cursor_is_none(http: httpx.AsyncClient, path: str) -> None:
    for cursor in ("", " "):
        assert (await http.get(path, params={"cursor": cursor})).status_code == 200
    assert_problem(await http.get(path, params={"cursor": "x" * 600}), 422, "invalid_parameter", "cursor")


async def test_a_feed_is_newer_after_an_edit_and_never_older(
    http: httpx.AsyncClient, database: Database, clock: Clock
) -> None:
    async def updated(**parameters: str) -> tuple[str, list[str]]:
        feed = ET.fromstring((await http.get("/v1/board.atom", params=parameters)).raise_for_status().content)
        entries = [entry.text or "" for entry in feed.findall("a:entry/a:updated", ATOM)]
        return feed.findtext("a:updated", "", ATOM), entries

    assert (await updated())[0].startswith(f"{today():%Y-%m-%d}")
    await published(http, database)
    clock.advance(hours=1)
    newest = await published(http, database)
    before, entries = await updated()
    clock.advance(hours=1)
    await http.patch(f"/v1/demands/{newest}", json={"title": "改"})
    edited, edited_entries = await updated()
    assert edited > before
    assert edited_entries[0] > entries[0]
    assert edited_entries[1] == entries[1]
    clock.advance(hours=1)
    await http.post(f"/v1/demands/{newest}/transitions", json={"to": "expired"})
    removed, left = await updated()
    assert (removed > edited, len(left)) == (True, 1)
    assert await updated(q="没有这个词") == (removed, [])


async def test_a_filtered_feed_is_a_feed_of_its_own(http: httpx.AsyncClient) -> None:
    ids = []
    for query in ("", "q=泵", "region=4406&q=泵", "q=泵&region=4406", "q=泵&region="):
        feed = ET.fromstring((await http.get(f"/v1/board.atom?{query}")).content)
        link = feed.find("a:link[@rel='self']", ATOM)
        assert link is not None
        assert (await http.get(link.attrib["href"])).status_code == 200
        ids.append((link.get("href"), feed.findtext("a:id", None, ATOM)))
    assert len({link for link, _ in ids}) == len({own for _, own in ids})
    assert len(set(ids)) == 3
    assert ids[1] == ids[4]
    assert ids[2] == ids[3]


async def test_a_database_that_is_away_is_said_to_be_away(
    http: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is given a database whose address nobody answers, as after a failure of its machine."""
    services = app.state.services
    away = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    board = type(next(one for kind, one in services._by_type.items() if kind.__name__ == "Board"))(away)
    monkeypatch.setitem(services._by_type, Database, away)
    monkeypatch.setitem(services._by_type, type(board), board)
    for path in ("/v1/board", "/v1/board.atom", "/v1/demands", f"/v1/demands/{UNKNOWN_ID}"):
        answer = await http.get(path)
        assert_problem(answer, 503, "database_away")
        assert int(answer.headers["retry-after"]) > 0
    await away.close()


def test_a_fault_of_a_statement_is_not_taken_for_a_database_that_is_away() -> None:
    for fault in (ValueError("x"), FileNotFoundError("template"), PermissionError("x")):
        assert unreachable(fault) is None
    assert unreachable(OperationalError("SELECT", None, Exception("no such column: x"))) is None
    assert unreachable(ConnectionRefusedError()) is not None
    assert unreachable(DBAPIError("SELECT", None, ConnectionResetError())) is not None
