"""Lists of codes, and the codes that are checked when a demand is submitted."""

import httpx
import pytest
from conftest import Server
from fastapi import FastAPI
from http_checks import assert_problem, complete, create, is_chinese

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.store.database import Database


@pytest.mark.parametrize(
    ("name", "code", "zh", "parent"),
    [
        ("regions", "440605", "南海区", "440600"), ("regions", "440000", "广东省", None), ("clusters", "新材料", "新材料", None),
        ("kinds", "expert", "专家", None), ("industries", "C34", "通用设备制造业", "C"), ("cooperation", "joint", "合作研发", None),
        ("statuses", "withdrawn", "已撤回", None), ("decisions", "pinned", "置顶", None),
    ],
)  # fmt: skip
async def test_each_list_has_its_codes(
    http: httpx.AsyncClient, name: str, code: str, zh: str, parent: str | None
) -> None:
    items = (await http.get(f"/v1/codes/{name}")).raise_for_status().json()["items"]
    by_code = {item["code"]: item for item in items}
    assert (by_code[code]["zh"], by_code[code]["parent"]) == (zh, parent)
    assert len(by_code) == len(items)
    assert all(item["en"] and is_chinese(item["zh"]) for item in items)
    assert {item["parent"] for item in items} - {None} <= by_code.keys()


async def test_an_unknown_list_is_refused(http: httpx.AsyncClient) -> None:
    assert_problem(await http.get("/v1/codes/colours"), 422, "invalid_parameter", "name")


@pytest.mark.parametrize("region", ["999999", "440699", "000000"])
def test_a_region_that_does_not_exist_is_refused_at_submission(server: Server, source: str, region: str) -> None:
    with server.client("staff") as http:
        demand = create(http, "demands", source=source, region=region)["id"]
        complete(http, demand)
        http.patch(f"/v1/demands/{demand}", json={"region": region}).raise_for_status()
        answer = http.post(f"/v1/demands/{demand}/transitions", json={"to": "submitted"})
        assert_problem(answer, 422, "form_incomplete", "/region", error="unknown_region")
        http.patch(f"/v1/demands/{demand}", json={"region": "440605"}).raise_for_status()
        http.post(f"/v1/demands/{demand}/transitions", json={"to": "submitted"}).raise_for_status()


async def test_a_portal_submits_to_a_cluster_of_the_plan(
    app: FastAPI, http: httpx.AsyncClient, database: Database
) -> None:
    async with database.transaction() as session:
        _, key = await create_key(
            session, name="门户", role=Role.PORTAL, expires_at=None, actor=COMMAND_LINE, source="甲"
        )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {key}"}
    ) as portal:
        demand = (await portal.post("/v1/demands", json={"title": "a", "cluster": "新材料产业"})).json()["id"]
        step = {"to": "submitted"}
        answer = await portal.post(f"/v1/demands/{demand}/transitions", json=step)
        assert "新材料" in assert_problem(answer, 422, "unknown_cluster", "/cluster")["detail"]
        await portal.patch(f"/v1/demands/{demand}", json={"cluster": "新材料"})
        assert_problem(await portal.post(f"/v1/demands/{demand}/transitions", json=step), 422, "form_incomplete")
