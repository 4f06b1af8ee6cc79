"""Metrics name every route as the code has it, however a request to it ends."""

import httpx
import pytest
from fastapi import FastAPI
from http_checks import with_ids
from prometheus_client import REGISTRY

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def counted(method: str, route: str, status: int) -> float:
    """Requests so far with these labels."""
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("matching_http_request_seconds_count", labels) or 0.0


async def test_every_route_is_named_with_and_without_a_key(app: FastAPI, http: httpx.AsyncClient) -> None:
    nobody = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")
    for path, operations in app.openapi()["paths"].items():
        for method in map(str.upper, operations):
            for client in (http, nobody):
                answer = await client.request(method, with_ids(path), json=None if method == "GET" else {})
                assert counted(method, path, answer.status_code) >= 1, (method, path, answer.status_code)
    await nobody.aclose()


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("HEAD", "/v1/demands", "/v1/demands", 200),
        ("DELETE", "/v1/demands", "/v1/demands", 405),
        ("PUT", "/v1/organizations/similar", "/v1/organizations/similar", 405),
        ("GET", "/v1/nothing", "unmatched", 404),
        ("GET", "/v1/demands/a/b/c", "unmatched", 404),
    ],
)
async def test_other_ends_of_a_request(
    http: httpx.AsyncClient, method: str, path: str, route: str, status: int
) -> None:
    before = counted(method, route, status)
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert counted(method, route, status) == before + 1
