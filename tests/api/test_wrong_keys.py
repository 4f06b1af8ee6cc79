"""Wrong keys are slowed down by address, and nobody else is."""

import logging

import httpx
import pytest
from fastapi import FastAPI
from http_checks import assert_problem

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.api import authentication
from matching_service.store.database import Database

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the counter sees."""
    moment = [1_000.0]
    monkeypatch.setattr(authentication, "monotonic", lambda: moment[0])
    return moment


def from_address(app: FastAPI, address: str, key: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_after_twenty_wrong_keys_an_address_must_wait(
    app: FastAPI, http: httpx.AsyncClient, passing: list[float], method: str
) -> None:
    assert http is not None
    async with from_address(app, "10.0.0.1", "mk_wrong") as guesser:
        statuses = [(await guesser.request(method, "/v1/demands", json={})).status_code for _ in range(25)]
        assert statuses == [401] * 20 + [429] * 5
        refused = await guesser.request(method, "/v1/demands", json={})
        assert_problem(refused, 429, "too_many_wrong_keys")
        assert 1 <= int(refused.headers["retry-after"]) <= 4
        passing[0] += 6.1
        assert [(await guesser.get("/v1/demands")).status_code for _ in range(3)] == [401, 401, 429]
    async with from_address(app, "10.0.0.2", "mk_wrong") as other:
        assert (await other.get("/v1/demands")).status_code == 401


async def test_a_key_that_was_right_before_stays_right_at_a_shared_address(
    app: FastAPI, http: httpx.AsyncClient, database: Database, passing: list[float]
) -> None:
    assert http is not None
    keys = []
    for name in ("先来", "后到"):
        async with database.transaction() as session:
            made = await create_key(session, name=name, role=Role.STAFF, expires_at=None, actor=COMMAND_LINE)
            keys.append(made[1])
    async with (
        from_address(app, "10.0.0.1", keys[0]) as known,
        from_address(app, "10.0.0.1", keys[1]) as late,
        from_address(app, "10.0.0.1", "mk_wrong") as guesser,
        from_address(app, "10.0.0.1", "") as nobody,
    ):
        assert (await known.get("/v1/demands")).status_code == 200
        for _ in range(25):
            await guesser.get("/v1/demands")
        assert (await known.get("/v1/demands")).status_code == 200
        assert (await late.get("/v1/demands")).status_code == 429
        assert (await nobody.get("/v1/board")).status_code == 200
        passing[0] += 3.1
        assert (await late.get("/v1/demands")).status_code == 200


async def test_the_log_names_principal_and_address_and_no_key(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await http.get("/v1/demands", params={"q": "机密"})
    (told,) = [vars(record) for record in caplog.records if record.message == "request_finished"]
    assert told["principal"]
    assert told["address"] == "127.0.0.1"
    assert not any(secret in str(told) for secret in ("机密", http.headers["authorization"].split()[1]))
