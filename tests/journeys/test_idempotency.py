"""``Idempotency-Key``: a POST that is repeated, because its answer was lost, does its work once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
from conftest import Server, serving
from http_checks import assert_problem, complete, create, finished_run, publish, read_all


def _key(source: str) -> dict[str, str]:
    return {"Idempotency-Key": f"key of {source}"}


def _assert_same_answer(first: httpx.Response, again: httpx.Response) -> None:
    assert first.is_success, first.text
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.status_code == first.status_code
    assert again.content == first.content
    for header in ("content-type", "location", "etag"):
        assert again.headers.get(header) == first.headers.get(header)


def test_a_key_does_not_open_a_door(server: Server, source: str) -> None:
    with server.client("") as http:
        assert_problem(http.post("/v1/demands", json={"title": "泵"}, headers=_key(source)), 401, "key_missing")


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_that_is_empty_or_too_long_is_refused(server: Server, key: str) -> None:
    with server.client() as http:
        answer = http.post("/v1/demands", json={"title": "泵"}, headers={"Idempotency-Key": key})
    assert_problem(answer, 422, "invalid_parameter", "idempotency-key")


def test_the_same_key_with_another_body_is_refused(server: Server, source: str) -> None:
    with server.client(**_key(source)) as http:
        http.post("/v1/demands", json={"title": "泵", "cluster": source}).raise_for_status()
        answer = http.post("/v1/demands", json={"title": "阀", "cluster": source})
        assert_problem(answer, 422, "idempotency_key_reused")
        assert_problem(
            http.post("/v1/profiles", json={"title": "泵", "cluster": source}), 422, "idempotency_key_reused"
        )
        assert len(read_all(http, "/v1/demands", cluster=source)) == 1


def test_a_demand_that_is_posted_twice_is_stored_once(server: Server, source: str) -> None:
    body = {"title": "泵", "cluster": source}
    with server.client("portal", **_key(source)) as http:
        _assert_same_answer(http.post("/v1/demands", json=body), http.post("/v1/demands", json=body))
        assert len(read_all(http, "/v1/demands", cluster=source)) == 1


@pytest.mark.parametrize(
    ("what", "item"), [("demands", {"title": "泵"}), ("profiles", {"kind": "team", "name": "泵队"})]
)
def test_a_batch_that_is_posted_twice_is_stored_once(
    server: Server, source: str, what: str, item: dict[str, str]
) -> None:
    body = {"items": [item | {"source": source, "external_id": "1"}, item | {"source": source}, {"title": ""}]}
    with server.client(**_key(source)) as http:
        first, again = (http.post(f"/v1/{what}/bulk", json=body) for _ in range(2))
    _assert_same_answer(first, again)
    assert [result["status"] for result in again.json()["items"]] == ["created", "created", "invalid"]


def test_a_transition_that_is_posted_twice_happens_once(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source)
        path = f"/v1/demands/{demand['id']}"
        complete(http, demand["id"])
        first, again = (
            http.post(f"{path}/transitions", json={"to": "submitted"}, headers=_key(source)) for _ in range(2)
        )
        _assert_same_answer(first, again)
        history = http.get(f"{path}/history").json()["items"]
    assert [step["to"] for step in history] == ["draft", "submitted"]


def test_a_stored_match_that_is_posted_twice_makes_one_run(server: Server, source: str) -> None:
    with server.client() as http:
        create(http, "profiles", source=source, summary="谐波减速器")
        demand_id = create(http, "demands", source=source)["id"]
        body = {"demand_id": demand_id, "store": True, "min_as_of": None}  # the client would ask for the first answer
        first, again = (http.post("/v1/matches", json=body, headers=_key(source)) for _ in range(2))
    _assert_same_answer(first, again)
    assert first.json()["run_id"]


def test_a_run_that_is_started_twice_runs_once(server: Server, source: str) -> None:
    with server.client("batch", **_key(source)) as http:
        first = http.post("/v1/match-runs", json={"scope": "open"})
        finished_run(http, first.headers["location"])
        _assert_same_answer(first, http.post("/v1/match-runs", json={"scope": "open"}))


def test_the_answer_stays_the_same_though_the_record_changed(server: Server, source: str) -> None:
    with server.client() as http:
        first = http.post("/v1/demands", json={"title": "泵", "source": source}, headers=_key(source))
        publish(http, first.json()["id"])
        again = http.post("/v1/demands", json={"title": "泵", "source": source}, headers=_key(source))
    _assert_same_answer(first, again)


def test_a_key_belongs_to_the_one_who_sent_it(server: Server, source: str) -> None:
    ids: set[str] = set()
    for role in ("staff", "portal"):
        with server.client(role, **_key(source)) as http:
            ids.add(http.post("/v1/demands", json={"title": "泵", "source": source}).raise_for_status().json()["id"])
    assert len(ids) == 2


def test_a_refused_request_is_not_remembered(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source)
        path = f"/v1/demands/{demand['id']}/transitions"
        assert_problem(http.post(path, json={"to": "expired"}, headers=_key(source)), 409, "illegal_transition")
        publish(http, demand["id"])
        assert http.post(path, json={"to": "expired"}, headers=_key(source)).status_code == 200


@pytest.mark.parametrize("own_id", [{}, {"external_id": "1"}])
def test_many_at_the_same_time_have_one_answer(server: Server, source: str, own_id: dict[str, str]) -> None:
    body = {"title": "泵", "cluster": source, "source": source, **own_id}
    with server.client(**_key(source)) as http, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _n: http.post("/v1/demands", json=body), range(8)))
        (record,) = read_all(http, "/v1/demands", cluster=source)
    assert [answer.status_code for answer in answers] == [201] * 8
    assert {answer.json()["id"] for answer in answers} == {record["id"]}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


@pytest.fixture(scope="module")
def servers(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two server processes on one database."""
    with serving(server.cli, tmp_path_factory.mktemp("second") / "server.log") as base_url:
        yield server, replace(server, base_url=base_url)


# A client of tests would put the least ``min_as_of`` that it knows in front: the bodies must be equal.


def _step(http: httpx.Client, source: str) -> tuple[str, Any, str | None]:
    demand_id = create(http, "demands", source=source)["id"]
    complete(http, demand_id)
    path = f"/v1/demands/{demand_id}"
    return f"{path}/transitions", {"to": "submitted"}, http.get(path).headers["etag"]


def _merger(http: httpx.Client, _source: str) -> tuple[str, Any, str | None]:
    path = f"/v1/organizations/{create(http, 'organizations')['id']}"
    return f"{path}/merge", {"into": create(http, "organizations")["id"]}, http.get(path).headers["etag"]


def _bulk(_http: httpx.Client, source: str) -> tuple[str, Any, str | None]:
    item = {"kind": "expert", "name": "卓砺川", "source": source}
    return "/v1/profiles/bulk", {"items": [item | {"external_id": f"{n}"} for n in range(200)]}, None


def _stored_list(http: httpx.Client, source: str) -> tuple[str, Any, str | None]:
    create(http, "profiles", source=source, summary="谐波减速器")
    demand_id = create(http, "demands", source=source)["id"]
    return "/v1/matches", {"min_as_of": None, "demand_id": demand_id, "store": True}, None


def _explanation(http: httpx.Client, source: str) -> tuple[str, Any, str | None]:
    profile_id = create(http, "profiles", source=source, summary="谐波减速器")["id"]
    body = {"min_as_of": None, "query": {"title": "谐波减速器"}, "profile_id": profile_id}
    return "/v1/matches/explain", body, None


def _subscription(_http: httpx.Client, _source: str) -> tuple[str, Any, str | None]:
    return "/v1/webhooks", {"url": "https://portal.example/hook", "is_active": False}, None


@pytest.mark.parametrize("prepare", [_step, _merger, _bulk, _stored_list, _explanation, _subscription])
def test_equal_requests_to_two_processes_have_one_answer(
    servers: tuple[Server, Server], source: str, prepare: Callable[..., tuple[str, Any, str | None]]
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client(**_key(source))) for server in servers]
        with servers[0].client() as http:
            path, body, etag = prepare(http, source)
        headers = {"If-Match": etag} if etag is not None else {}
        pool = stack.enter_context(ThreadPoolExecutor(8))
        answers = list(pool.map(lambda n: clients[n % 2].post(path, json=body, headers=headers), range(8)))
        if prepare is _subscription:
            clients[0].delete(answers[0].headers["location"]).raise_for_status()
    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers]
    first = [answer.json() for answer in answers if "idempotent-replayed" not in answer.headers]
    again = [answer.json() for answer in answers if "idempotent-replayed" in answer.headers]
    assert len(first) == 1
    without_secret = {"secret": None} if "secret" in first[0] else {}
    assert again == [first[0] | without_secret] * 7
