"""Unknown query parameters are refused on every route, as unknown fields of a body are."""

import httpx
import pytest
from fastapi import FastAPI
from http_checks import assert_problem, with_ids


def _operations(http_paths: dict[str, dict[str, object]]) -> list[tuple[str, str]]:
    return [(method.upper(), with_ids(path)) for path, operations in http_paths.items() for method in operations]


async def test_every_route_refuses_a_parameter_that_it_does_not_have(http: httpx.AsyncClient, app: FastAPI) -> None:
    operations = _operations(app.openapi()["paths"])
    assert len(operations) > 60
    for method, path in operations:
        answer = await http.request(method, path, params={"regoin": "44"}, json=None if method == "GET" else {})
        assert_problem(answer, 422, "invalid_parameter", "regoin", error="unknown_parameter")


@pytest.mark.parametrize("name", ["", "Region", "region ", "offset", "地区", "region[]"])
async def test_what_is_refused_is_named_with_what_there_is(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get("/v1/demands", params={name: "", "limit": "5"})
    body = assert_problem(answer, 422, "invalid_parameter", name, error="unknown_parameter")
    assert all(known in body["detail"] for known in ("region", "cluster", "limit", "cursor"))


async def test_all_unknown_parameters_are_named_at_once(http: httpx.AsyncClient) -> None:
    body = assert_problem(await http.get("/v1/demands?a=1&b=2&a=3"), 422, "invalid_parameter", "a")
    assert [found["pointer"] for found in body["errors"]] == ["a", "b"]


async def test_a_blank_value_is_as_none(http: httpx.AsyncClient) -> None:
    for path in ("/v1/demands", "/v1/profiles", "/v1/organizations", "/v1/board"):
        assert (await http.get(path, params={"q": " ", "region": ""})).status_code == 200, path
