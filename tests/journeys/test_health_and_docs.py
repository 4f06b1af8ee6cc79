"""Health, metrics, request ids, and a description of the interface that works without the internet."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, create, move, publish, read_all

_PROBLEM = "application/problem+json"
_REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Assets(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in {"script", "img", "iframe"}:
            self.addresses += [address for address in (found.get("src"),) if address]
        if tag == "link":
            self.addresses += [address for address in (found.get("href"),) if address]
        if address := found.get("spec-url"):
            self.addresses.append(address)


def _openapi(http: httpx.Client) -> dict[str, Any]:
    described: dict[str, Any] = http.get("/openapi.json").raise_for_status().json()
    return described


def _operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Operations under /v1 as ``"POST /v1/demands"``."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/v1")
    }


def test_the_process_is_alive_and_ready(server: Server, source: str) -> None:
    with server.client("") as http, server.client() as admin:
        create(admin, "profiles", source=source)
        assert http.get("/health/live").json() == {"status": "alive"}
        ready = http.get("/health/ready")
    assert ready.status_code == 200
    body = ready.json()
    assert body["status"] == "ready"
    assert all(body[check]["ok"] for check in ("database", "migrations", "index"))
    assert {"index_as_of", "index_behind", "index_profiles"} <= set(body)


def test_ready_says_how_far_the_index_is_behind(server: Server, source: str) -> None:
    with server.client() as http:
        for _ in range(100):  # the index follows by itself, and may do so before the question is asked
            create(http, "profiles", source=source)
            behind = http.get("/health/ready").json()
            if behind["index_behind"]:
                break
        answer = http.post("/v1/matches", json={"query": {"title": "泵"}}).json()
        caught_up = http.get("/health/ready").json()
    assert behind["index_behind"] >= 1
    assert caught_up["index_behind"] == 0
    assert caught_up["index_as_of"] == answer["index"]["as_of"]
    assert caught_up["index_profiles"] == answer["index"]["profiles"]


def test_metrics_count_requests_by_route_not_by_id(server: Server) -> None:
    with server.client() as http:
        http.get(f"/v1/demands/{UNKNOWN_ID}")
        metrics = http.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    line = 'matching_http_request_seconds_count{method="GET",route="/v1/demands/{demand_id}",status="404"}'
    assert line in metrics.text
    assert "matching_index_profiles" in metrics.text
    assert "matching_night_run_age_seconds" in metrics.text
    assert UNKNOWN_ID not in metrics.text


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_work_without_the_internet(server: Server, page: str) -> None:
    with server.client("") as http:
        html = http.get(page)
        assert html.status_code == 200
        assets = _Assets()
        assets.feed(html.text)
        addresses = {*assets.addresses, *re.findall(r"""url:\s*['"]([^'"]+)['"]""", html.text)}
        assert addresses
        for address in addresses:
            whole = urljoin(f"{server.base_url}{page}", address)
            assert urlsplit(whole).netloc in {urlsplit(server.base_url).netloc, ""}, address
            if not address.startswith("data:"):
                assert http.get(whole).status_code == 200, address
    assert not re.search(r"url\(\s*['\"]?https?://", html.text)


def test_every_error_is_described_as_a_problem(server: Server) -> None:
    with server.client("") as http:
        described = _openapi(http)
    assert "Problem" in described["components"]["schemas"]
    assert "HTTPValidationError" not in described["components"]["schemas"]
    for name, operation in _operations(described).items():
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"422", "500"} <= set(errors), name
        assert ({"401", "403"} <= set(errors)) == bool(operation.get("security")), name
        for status, answer in errors.items():
            assert set(answer["content"]) == {_PROBLEM}, (name, status)
            assert answer["content"][_PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}, (name, status)


def test_a_path_with_an_id_may_answer_404(server: Server) -> None:
    with server.client("") as http:
        described = _openapi(http)
    missing = {name for name, one in _operations(described).items() if "{" in name and "404" not in one["responses"]}
    assert missing == {"GET /v1/reports/{period}"}  # a period is always there, or refused


def test_every_body_of_a_post_has_an_example(server: Server) -> None:
    with server.client("") as http:
        described = _openapi(http)
    without: list[str] = []
    for name, operation in _operations(described).items():
        if not name.startswith("POST") or "requestBody" not in operation:
            continue
        (content,) = operation["requestBody"]["content"].values()  # JSON, or a form with a file
        schema = content["schema"]
        names = [schema.get("$ref", ""), *(one.get("$ref", "") for one in schema.get("anyOf", []))]
        models = [described["components"]["schemas"][ref.rsplit("/", 1)[1]] for ref in names if ref]
        if not (content.get("examples") or content.get("example") or any(model.get("examples") for model in models)):
            without.append(name)
    assert without == []


def test_the_examples_are_accepted(server: Server, source: str) -> None:
    with server.client("") as http:
        schemas = _openapi(http)["components"]["schemas"]
    bodies = {"organizations": "OrganizationCreate", "demands": "DemandCreate", "profiles": "ProfileCreate"}
    with server.client() as http:
        for path, schema in bodies.items():
            example = schemas[schema]["examples"][0] | {"source": source}
            example.pop("credit_code", None)  # unique in the database, which other tests share
            assert http.post(f"/v1/{path}", json=example).status_code == 201
        assert http.post("/v1/matches", json=schemas["MatchBody"]["examples"][0]).status_code == 200


def test_the_examples_hold_dates_that_are_accepted_today(server: Server, source: str) -> None:
    with server.client("staff") as http:
        schemas = _openapi(http)["components"]["schemas"]
        example = schemas["DemandCreate"]["examples"][0] | {"source": source}
        demand = http.post("/v1/demands", json=example).raise_for_status().json()["id"]
        publish(http, demand)
        move(http, demand, "matching")
        move(http, demand, "contracted", contract_number=f"FS-{source}")
        project = read_all(http, "/v1/projects", demand_id=demand)[0]["id"]
        planned = http.post(f"/v1/projects/{project}/milestones", json=schemas["MilestoneCreate"]["examples"][0])
        done = http.patch(planned.headers["location"], json=schemas["MilestonePatch"]["examples"][0])
    assert (planned.status_code, done.json().get("state")) == (201, "done"), done.text


def test_a_key_is_described_as_the_way_in(server: Server) -> None:
    with server.client("") as http:
        described = _openapi(http)
    scheme = next(iter(described["components"]["securitySchemes"].values()))
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    open_to_all = {name for name, operation in _operations(described).items() if not operation.get("security")}
    assert open_to_all == {"GET /v1/board", "GET /v1/board.atom", "GET /v1/board/{demand_id}"}


REQUESTS = {
    "200": ("GET", "/v1/demands?limit=1"),
    "201": ("POST", "/v1/demands"),
    "404 of a record": ("GET", f"/v1/demands/{UNKNOWN_ID}"),
    "404 of a path": ("GET", "/nothing"),
    "405": ("DELETE", "/v1/demands"),
    "422": ("GET", "/v1/demands?limit=0"),
    "no key needed": ("GET", "/health/live"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_id_is_echoed_or_made(server: Server, source: str, case: str) -> None:
    method, path = REQUESTS[case]
    body = {"title": "泵", "source": source} if method == "POST" else None
    with server.client() as http:
        echoed = http.request(method, path, json=body, headers={"X-Request-ID": f"{source}.A_1"})
        made = [http.request(method, path, json=body) for _ in range(2)]
    assert echoed.headers["x-request-id"] == f"{source}.A_1"
    ids = [answer.headers["x-request-id"] for answer in made]
    assert ids[0] != ids[1]
    assert all(_REQUEST_ID.fullmatch(one) for one in ids)
    if echoed.status_code >= 400:
        assert echoed.json()["request_id"] == f"{source}.A_1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, 'a"b', "%0a", b"\xe8\xb0\x90"])
def test_a_request_id_that_could_harm_a_log_is_replaced(server: Server, given: Any) -> None:
    with server.client("") as http:
        answer = http.get("/health/live", headers={"X-Request-ID": given})
    assert _REQUEST_ID.fullmatch(answer.headers["x-request-id"])
