"""What every answer tells browsers and caches, and that no answer repeats what a header claims."""

import httpx
import pytest
from fastapi import FastAPI
from http_checks import published, with_ids

from matching_service.store.database import Database

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_every_answer_is_protected(app: FastAPI, http: httpx.AsyncClient) -> None:
    paths = app.openapi()["paths"]
    for path, operations in paths.items():
        for method in operations:
            answer = await http.request(method, with_ids(path), json=None if method == "get" else {})
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            kept = answer.headers.get("cache-control", "")
            if path.startswith("/v1/") and not path.startswith("/v1/board"):
                secret = path.endswith("/contact") or path.startswith("/v1/webhooks")
                assert kept == ("no-store" if secret else "private, no-cache"), (path, kept)


async def test_pages_of_the_documentation_may_run_their_scripts(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.status_code == 200
    assert "content-security-policy" not in page.headers
    assert page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "forged",
    [{"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}, {"Forwarded": "host=evil.example;proto=https"}],
)
async def test_no_answer_repeats_a_forged_host(
    http: httpx.AsyncClient, database: Database, forged: dict[str, str]
) -> None:
    demand = await published(http, database)
    for path in ("/v1/board.atom", "/v1/board", f"/v1/board/{demand}", "/v1/demands", "/"):
        answer = await http.get(path, headers=forged)
        assert answer.status_code == 200
        assert "evil.example" not in answer.text + str(answer.headers), path
