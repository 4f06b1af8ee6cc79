"""A commit that fails is an error to the client, never a 201. In one process, so that the commit can be made to fail."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from http_checks import assert_problem
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

DEMAND = {"title": "泵", "external_id": "1"}


@contextmanager
def _commit_fails_with(error: Exception) -> Iterator[None]:
    def fail(_session: Session) -> None:
        raise error

    event.listen(Session, "before_commit", fail)
    try:
        yield
    finally:
        event.remove(Session, "before_commit", fail)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (IntegrityError("INSERT", {}, Exception("deferred constraint")), 409, "constraint_violated"),
        (StaleDataError("somebody else was first"), 412, "row_changed"),
        (RuntimeError("the disk is full"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/demands", DEMAND),
        ("/v1/demands/bulk", {"items": [DEMAND]}),
        ("/v1/profiles", {"kind": "expert", "name": "甲"}),
        ("/v1/organizations", {"name": "甲"}),
    ],
)
async def test_a_failing_commit_is_an_error_and_stores_nothing(  # noqa: PLR0917
    http: httpx.AsyncClient, path: str, body: dict[str, object], error: Exception, status: int, code: str
) -> None:
    with _commit_fails_with(error):
        answer = await http.post(path, json=body)
    assert_problem(answer, status, code)
    assert "disk" not in answer.text
    assert (await http.get(path.removesuffix("/bulk"))).json()["items"] == []


async def test_an_answer_whose_commit_failed_is_not_remembered(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k"}
    with _commit_fails_with(RuntimeError("the disk is full")):
        assert_problem(await http.post("/v1/demands", json=DEMAND, headers=key), 500, "internal_error")
    answer = await http.post("/v1/demands", json=DEMAND, headers=key)
    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers


async def test_a_run_whose_commit_failed_is_not_begun(http: httpx.AsyncClient) -> None:
    with _commit_fails_with(RuntimeError("the disk is full")):
        assert_problem(await http.post("/v1/match-runs", json={}), 500, "internal_error")
    assert (await http.post("/v1/match-runs", json={})).status_code == 202


async def test_contact_data_is_not_shown_when_its_audit_row_cannot_be_kept(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v1/profiles", json={"kind": "expert", "name": "甲"})).json()
    path = f"/v1/profiles/{made['id']}/contact"
    assert (await http.put(path, json={"phone": "0757-1"})).status_code == 200
    with _commit_fails_with(RuntimeError("the disk is full")):
        answer = await http.get(path)
    assert_problem(answer, 500, "internal_error")
    assert "0757-1" not in answer.text
