"""Two portals against each other: a key that is bound to a source finds its own records and no others."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from http_checks import assert_problem

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key, renew_key
from matching_service.store.database import Database

CONTACT = {"person": "陈工", "mobile": "13000000000", "email": "a@example.org"}
BODIES: dict[str, Any] = {
    "PATCH": {},
    "/transitions": {"to": "submitted"},
    "/exclusions": {"items": []},
    "/claims/{claim_id}/transitions": {"to": "withdrawn"},
}


@pytest.fixture
async def portals(
    app: FastAPI, http: httpx.AsyncClient, database: Database
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Clients with keys of the sources 甲 and 乙."""
    clients = [await _client(app, database, source) for source in ("甲", "乙")]
    yield clients[0], clients[1]
    for client in clients:
        await client.aclose()


async def _client(app: FastAPI, database: Database, source: str, *organizations: str) -> httpx.AsyncClient:
    async with database.transaction() as session:
        _, key = await create_key(
            session, name=f"{source} {len(organizations)}", role=Role.PORTAL, expires_at=None, actor=COMMAND_LINE, source=source,
            organization_ids=organizations,
        )  # fmt: skip
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {key}"})


async def _made(client: httpx.AsyncClient, what: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await client.post(f"/v1/{what}", json=fields)).raise_for_status().json()
    return made


async def _records(client: httpx.AsyncClient) -> dict[str, str]:
    """One record of each kind, by the name of its parameter in a path."""
    organization = await _made(client, "organizations", name="某机构", external_id="O")
    demand = await _made(client, "demands", title="柔轮开裂", external_id="D", organization_id=organization["id"])
    profile = await _made(client, "profiles", kind="expert", name="卓砺川", visibility="hidden", external_id="P")
    return {"organization_id": organization["id"], "demand_id": demand["id"], "profile_id": profile["id"]}


async def _claim(http: httpx.AsyncClient, portal: httpx.AsyncClient) -> tuple[str, str]:
    """A published demand of nobody's source, and a portal's claim on it."""
    organization = await _made(http, "organizations", name="需方", region="440605")
    demand = await _made(
        http, "demands", title="求解", problem="a", key_technology="b", keywords=["c"], cooperation="joint",
        organization_id=organization["id"],
    )  # fmt: skip
    await http.put(f"/v1/demands/{demand['id']}/contact", json=CONTACT)
    for state in ("submitted", "reviewed", "published"):
        answer = await http.post(f"/v1/demands/{demand['id']}/transitions", json={"to": state})
        answer.raise_for_status()
    claimant = await _made(portal, "organizations", name="揭榜方")
    claim = await _made(portal, "claims", demand_id=demand["id"], organization_id=claimant["id"], offer="方案")
    return demand["id"], claim["id"]


async def test_what_a_portal_sends_is_of_its_source(portals: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    first, second = portals
    for sent in ({}, {"source": "乙"}):
        assert (await _made(first, "demands", title="a", **sent))["source"] == "甲"
    for what, fields in (("demands", {"title": "a"}), ("profiles", {"kind": "expert", "name": "a"})):
        ids = []
        for portal in (first, second):
            items = {"items": [fields | {"external_id": "same", "source": "甲"}]}
            (item,) = (await portal.post(f"/v1/{what}/bulk", json=items)).raise_for_status().json()["items"]
            assert item["status"] == "created"
            ids.append(item["id"])
        assert len(set(ids)) == 2


async def test_no_route_with_an_id_finds_a_record_of_another_portal(
    app: FastAPI, http: httpx.AsyncClient, portals: tuple[httpx.AsyncClient, httpx.AsyncClient]
) -> None:
    first, second = portals
    ids = await _records(first)
    _, ids["claim_id"] = await _claim(http, first)
    before = {name: (await http.get(f"/v1/{name.removesuffix('_id')}s/{id_}")).text for name, id_ in ids.items()}
    refused: dict[str, tuple[str, str, Any]] = {}
    for path, operations in app.openapi()["paths"].items():
        known = {name for name in ids if f"{{{name}}}" in path}
        address = path
        for name in known:
            address = address.replace(f"{{{name}}}", ids[name])
        if not known or "{" in address or path.startswith("/v1/board"):
            continue
        for method in map(str.upper, operations):
            body: dict[str, Any] | None = (
                None if method == "GET" else next((BODIES[end] for end in reversed(BODIES) if path.endswith(end)), {})
            )
            answer = await second.request(method, address, json=body)
            assert answer.status_code in {403, 404}, (method, path, answer.text)
            if answer.status_code == 404:
                refused[f"{method} {path}"] = (method, address, body)
    assert len(refused) >= 14, list(refused)
    assert {"GET /v1/demands/{demand_id}/submission", "PUT /v1/organizations/{organization_id}/exclusions"} <= set(
        refused
    )
    for name, text in before.items():
        assert (await http.get(f"/v1/{name.removesuffix('_id')}s/{ids[name]}")).text == text
    for named, (method, address, body) in sorted(refused.items(), key=lambda one: one[1][0] == "DELETE"):  # these last
        assert (await first.request(method, address, json=body)).status_code != 404, named


async def test_lists_show_a_portal_its_own_and_what_is_public(
    http: httpx.AsyncClient, portals: tuple[httpx.AsyncClient, httpx.AsyncClient]
) -> None:
    first, second = portals
    ids = await _records(first)
    shown = await _made(first, "profiles", kind="expert", name="公开")
    for what, name in (("organizations", "organization_id"), ("demands", "demand_id"), ("profiles", "profile_id")):
        for parameters in ({}, {"source": "甲"}, {"q": "o d p 某机构"}):
            listed = (await second.get(f"/v1/{what}", params=parameters)).raise_for_status().json()["items"]
            assert ids[name] not in [item["id"] for item in listed]
        assert ids[name] in [item["id"] for item in (await first.get(f"/v1/{what}")).json()["items"]]
        assert ids[name] in [item["id"] for item in (await http.get(f"/v1/{what}")).json()["items"]]
    similar = await second.get("/v1/organizations/similar", params={"name": "某机构"})
    assert similar.json()["items"] == []
    assert (await second.get(f"/v1/profiles/{shown['id']}")).status_code == 200
    assert_problem(await second.patch(f"/v1/profiles/{shown['id']}", json={"name": "x"}), 404, "profile_not_found")


async def test_a_record_cannot_be_tied_to_an_organization_of_others(
    portals: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    first, second = portals
    ids = await _records(first)
    foreign = {"organization_id": ids["organization_id"]}
    own = await _made(second, "demands", title="a")
    for answer in (
        await second.post("/v1/demands", json={"title": "a"} | foreign),
        await second.post("/v1/profiles", json={"kind": "expert", "name": "a"} | foreign),
        await second.patch(f"/v1/demands/{own['id']}", json=foreign),
        await second.post("/v1/demands", json={"title": "a", "organization_external_id": "O", "source": "甲"}),
    ):
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["code"] == "organization_not_found"


async def test_a_claim_is_its_claimants_alone(
    http: httpx.AsyncClient, portals: tuple[httpx.AsyncClient, httpx.AsyncClient]
) -> None:
    first, second = portals
    demand_id, claim_id = await _claim(http, first)
    assert_problem(await second.get(f"/v1/claims/{claim_id}"), 404, "claim_not_found")
    ids = await _records(first)
    for body, code in (
        ({"demand_id": ids["demand_id"], "organization_id": ids["organization_id"]}, "demand_not_found"),
        ({"demand_id": demand_id, "profile_id": ids["profile_id"]}, "profile_not_found"),
    ):
        assert_problem(await second.post("/v1/claims", json=body | {"offer": "方案"}), 404, code)


async def test_a_key_of_one_organization_has_its_records_alone(
    app: FastAPI, http: httpx.AsyncClient, database: Database
) -> None:
    one, other = [await _made(http, "organizations", name=name) for name in ("一厂", "二厂")]
    wide = await _client(app, database, "丙")
    narrow = await _client(app, database, "丙", one["id"])
    both = await _client(app, database, "丙", one["id"], other["id"])
    async with wide, narrow, both:
        loose = await _made(wide, "demands", title="a", external_id="x")
        own = await _made(narrow, "demands", title="b")
        assert own["organization_id"] == one["id"]
        assert_problem(await narrow.get(f"/v1/demands/{loose['id']}"), 404, "demand_not_found")
        assert (await narrow.get(f"/v1/organizations/{one['id']}")).status_code == 200
        assert (await narrow.get(f"/v1/organizations/{other['id']}")).status_code == 404
        cleared = await narrow.patch(f"/v1/demands/{own['id']}", json={"organization_id": None})
        assert cleared.json()["errors"][0]["code"] == "organization_needed"
        taken = await narrow.post("/v1/demands/bulk", json={"items": [{"title": "c", "external_id": "x"}]})
        assert taken.json()["items"][0]["errors"][0]["code"] == "external_id_taken"
        assert (await both.post("/v1/demands", json={"title": "d"})).json()["errors"][0][
            "code"
        ] == "organization_needed"
        merged = await http.post(f"/v1/organizations/{one['id']}/merge", json={"into": other["id"]})
        assert merged.status_code == 200
        assert (await narrow.get(f"/v1/demands/{own['id']}")).status_code == 200


async def test_a_portal_is_not_shown_what_others_have_not_published(
    portals: tuple[httpx.AsyncClient, httpx.AsyncClient], http: httpx.AsyncClient
) -> None:
    first, second = portals
    fields = {"title": "谐波减速器柔轮疲劳开裂", "problem": "谐波减速器柔轮疲劳开裂"}
    secret = (await _made(first, "demands", **fields))["id"]
    await http.patch(f"/v1/demands/{secret}", json={})
    asked = (await _made(second, "demands", **fields))["id"]
    answer = await second.get(f"/v1/demands/{asked}/submission")
    assert secret not in answer.raise_for_status().text


async def test_a_renewed_key_is_bound_as_the_one_before(http: httpx.AsyncClient, database: Database) -> None:
    organization = await _made(http, "organizations", name="三厂")
    async with database.transaction() as session:
        row, _ = await create_key(
            session, name="丁", role=Role.PORTAL, expires_at=None, actor=COMMAND_LINE, source="丁",
            organization_ids=[organization["id"]],
        )  # fmt: skip
    async with database.transaction() as session:
        renewed, _ = await renew_key(session, row.id, expires_at=None, actor=COMMAND_LINE)
    assert (renewed.source, renewed.organization_ids) == ("丁", [organization["id"]])
