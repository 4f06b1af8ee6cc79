"""Each example runs as its README says, against the real server where it needs one."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import create, move
from webhooks.receivers import Received, Receiver

from matching_service.webhooks.signing import new_secret, signed_headers

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMAND = json.loads((EXAMPLES / "demand.json").read_text(encoding="utf-8"))


@contextmanager
def running(script: str, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / script, *map(str, arguments)],
        env=os.environ | {"NO_PROXY": "*", "PYTHONUTF8": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    output, errors = process.communicate(timeout=300)
    return process.returncode, output.splitlines(), errors


# --- the portal


@pytest.fixture
def form(tmp_path: Path, source: str) -> Path:
    """The example's form, under a source of the test and with a name that no other organization has."""
    path = tmp_path / "demand.json"
    own = {part: fields | {"source": source} for part, fields in DEMAND.items() if part != "contact"}
    own["organization"]["name"] += source
    path.write_text(json.dumps(own | {"contact": DEMAND["contact"]}), encoding="utf-8")
    return path


def portal_of(server: Server, role: str = "portal") -> dict[str, str]:
    return {"MATCHING_URL": server.base_url, "MATCHING_KEY": server.keys[role], "PORTAL_SECONDS": "0.05"}


def lines(process: subprocess.Popen[str], n: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(n)]


def test_the_portal_follows_its_demand_until_it_is_published(server: Server, form: Path) -> None:
    with running("portal.py", form, **portal_of(server)) as portal, server.client("staff") as staff:
        path, state = lines(portal, 2)
        assert state == "submitted", ended(portal)
        move(staff, path.rpartition("/")[2], "reviewed", "published")
        code, states, errors = ended(portal)
        assert (code, states[-1]) == (0, "published"), errors
        assert staff.get(path).json()["title"] == DEMAND["demand"]["title"]


def test_the_portal_tells_why_its_demand_was_returned(server: Server, form: Path) -> None:
    with running("portal.py", form, **portal_of(server)) as portal, server.client("staff") as staff:
        path, _ = lines(portal, 2)
        move(staff, path.rpartition("/")[2], "returned", opinion="请补充工况")
        code, states, errors = ended(portal)
        assert (code, states[-1], errors) == (1, "returned", "请补充工况\n")


def test_the_portal_shows_what_the_service_refuses(server: Server, form: Path) -> None:
    given = json.loads(form.read_text(encoding="utf-8"))
    form.write_text(json.dumps(given | {"contact": {"person": "陈工"}}), encoding="utf-8")
    with running("portal.py", form, **portal_of(server)) as portal:
        code, output, errors = ended(portal)
    assert (code, output) == (1, [])
    assert "422 form_incomplete" in errors
    assert "\n  /contact/mobile: " in errors
    with running("portal.py", form, **portal_of(server) | {"MATCHING_KEY": "wrong"}) as portal:
        assert "POST /v1/organizations: 401 " in ended(portal)[2]
    with running("portal.py", form, **portal_of(server)) as portal:
        assert "POST /v1/organizations: 409 " in ended(portal)[2]


def test_the_portal_repeats_a_request_under_its_key(form: Path) -> None:
    def busy_twice(_request: Received) -> int:
        return 503 if len(stub.requests) < 3 else 418

    stub = Receiver(answer=busy_twice, answer_headers={"Retry-After": "0"}).start()
    try:
        with running("portal.py", form, MATCHING_URL=stub.url.removesuffix("/hook"), MATCHING_KEY="any") as portal:
            code, _, errors = ended(portal)
    finally:
        stub.stop()
    assert code == 1
    assert errors.endswith("POST /v1/organizations: HTTP 418\n")
    assert len(stub.requests) == 3
    assert len({request.headers["idempotency-key"] for request in stub.requests}) == 1


# --- the receiver of webhooks


@contextmanager
def receiving(secret: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The receiver, listening, and its URL."""
    with running("webhook_receiver.py", 0, WEBHOOK_SECRET=secret) as process:
        (listening,) = lines(process, 1)
        yield process, f"http://127.0.0.1:{listening.rpartition(' ')[2]}/hook"


def test_the_receiver_takes_what_the_service_sends(server: Server, source: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("as_if"):
        pytest.skip("the receiver reads the clock of the machine")
    with socket.socket() as probe:  # the service gives the secret for a URL, so the port comes first
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with server.client() as admin:
        hook = {"url": f"http://127.0.0.1:{port}/hook", "events": ["demand.created"], "audience": "office"}
        made = admin.post("/v1/webhooks", json=hook).raise_for_status().json()
        try:
            with running("webhook_receiver.py", port, WEBHOOK_SECRET=made["secret"]) as receiver:
                assert lines(receiver, 1) == [f"listening on port {port}"]
                trial = admin.post(f"/v1/webhooks/{made['id']}/test").json()
                assert (trial["status"], trial["error"]) == (204, None)
                assert lines(receiver, 1) == [f"webhook.test {made['id']}"]
                demand_id = create(admin, "demands", source=source)["id"]
                while (line := lines(receiver, 1)[0]) != f"demand.created {demand_id}":  # demands of other tests
                    assert line, "the receiver has ended"
            with running("webhook_receiver.py", port, WEBHOOK_SECRET=new_secret()) as receiver:
                lines(receiver, 1)
                assert admin.post(f"/v1/webhooks/{made['id']}/test").json()["status"] == 401
        finally:
            admin.delete(f"/v1/webhooks/{made['id']}")


def test_the_receiver_takes_an_event_once_and_refuses_what_is_not_genuine() -> None:
    secret, other = new_secret(), new_secret()
    body = json.dumps({"event": "demand.created", "entity_id": "D-1", "deleted": False}).encode()

    def signed(*secrets: str, at: float = 0.0, message_id: str = "1") -> dict[str, str]:
        return signed_headers(*secrets, message_id=message_id, timestamp=int(time.time() + at), body=body)

    with receiving(secret) as (receiver, url), httpx.Client(trust_env=False) as client:

        def post(headers: dict[str, Any], content: bytes = body) -> int:
            return client.post(url, content=content, headers=headers).status_code

        good = signed(secret)
        assert post(signed(other)) == 401
        assert post(signed(secret, at=-400)) == 401
        assert post(signed(secret, at=400)) == 401
        assert post(good, body + b" ") == 401
        assert post(good | {"Webhook-Id": "2"}) == 401
        for name in good:
            assert post({header: value for header, value in good.items() if header != name}) == 401
            assert post(good | {name: "?"}) == 401
        assert status_of_a_body_announced_as(1_000_001, url) == 413
        assert [post(good), post(good), post(signed(other, secret, message_id="2"))] == [204, 204, 204]
        receiver.terminate()
        _, printed, _ = ended(receiver)
    assert [line.strip() for line in printed] == ["demand.created D-1"] * 2


def status_of_a_body_announced_as(n_bytes: int, url: str) -> int:
    """The answer to a request of which only the headers are sent."""
    connection = http.client.HTTPConnection(httpx.URL(url).netloc.decode())
    try:
        connection.putrequest("POST", "/hook")
        connection.putheader("Content-Length", str(n_bytes))
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_receiver_asks_for_its_secret() -> None:
    with running("webhook_receiver.py", 0, WEBHOOK_SECRET="") as receiver:
        code, _, errors = ended(receiver)
    assert code == 1
    assert "WEBHOOK_SECRET" in errors


# --- the ranked list of a file


def test_the_profiles_of_a_file_are_ranked() -> None:
    with running("rank_csv.py", EXAMPLES / "profiles.csv", EXAMPLES / "demand.txt") as ranking:
        code, output, errors = ended(ranking)
    assert code == 0, errors
    places, scores, levels, names, reasons = zip(*(line.split("\t") for line in output), strict=True)
    assert places == ("1", "2", "3", "4", "5")
    assert list(scores) == sorted(scores, reverse=True)
    assert names[0] == "卓砺川"  # the flexspline's fatigue, in the demand's own words
    assert set(names[1:3]) == {"精密轴承团队", "Ottilie Marchbanks"}  # the same device, in other words and languages
    assert levels[0] == "强相关"
    assert "谐波减速器柔轮疲劳裂纹的齿形修正方法" in reasons[0]


def test_a_file_without_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "profiles.csv"
    path.write_text("id,kind,name\n1,expert,卓砺川\n", encoding="utf-8")
    with running("rank_csv.py", path, EXAMPLES / "demand.txt") as ranking:
        code, _, errors = ended(ranking)
    assert code == 1
    assert "region, summary, keywords, works" in errors
