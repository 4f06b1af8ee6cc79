"""The filters of lists: by the sender's own id, by state, by region at its level, and one search for all."""

from typing import Any

import httpx
import pytest
from http_checks import assert_problem

from matching_service.api.fields import region_prefix


@pytest.mark.parametrize(
    ("code", "prefix"),
    [
        ("440000", "44"), ("440600", "4406"), ("440605", "440605"), ("44", "44"), ("4406", "4406"), ("4400", "44"),
        ("441900", "4419"), ("440", "440"), ("110100", "1101"), ("100000", "10"), ("000000", "00"), ("44060", "44060"),
    ],
)  # fmt: skip
def test_a_code_means_all_that_lies_in_its_region(code: str, prefix: str) -> None:
    assert region_prefix(code) == prefix


async def _create(http: httpx.AsyncClient, what: str, **fields: Any) -> str:
    least = {
        "demands": {"title": "需求"},
        "profiles": {"kind": "expert", "name": "卓砺川"},
        "organizations": {"name": "某机构"},
    }
    made: str = (await http.post(f"/v1/{what}", json=least[what] | fields)).raise_for_status().json()["id"]
    return made


async def _found(http: httpx.AsyncClient, what: str, parameters: Any) -> set[str]:
    answer = (await http.get(f"/v1/{what}", params=parameters)).raise_for_status()
    return {item["id"] for item in answer.json()["items"]}


@pytest.mark.parametrize("what", ["demands", "profiles", "organizations"])
async def test_records_are_found_by_the_ids_of_their_sender(http: httpx.AsyncClient, what: str) -> None:
    mine = await _create(http, what, external_id="A-1", source="甲", region="440605")
    await _create(http, what, external_id="A-1", source="乙", region="440105")
    other = await _create(http, what, external_id="A-10", source="甲", region="440600")
    assert await _found(http, what, {"external_id": "A-1", "source": "甲"}) == {mine}
    assert await _found(http, what, {"source": "甲"}) == {mine, other}
    for region in ("440600", "4406"):
        assert await _found(http, what, {"region": region}) == {mine, other}
    assert len(await _found(http, what, {"region": "440000"})) == 3
    assert await _found(http, what, {"region": "440605"}) == {mine}


async def test_changes_since_a_moment(http: httpx.AsyncClient) -> None:
    first = await _create(http, "demands")
    second = (await http.post("/v1/demands", json={"title": "后"})).json()
    assert await _found(http, "demands", {"updated_since": second["updated_at"]}) == {second["id"]}
    await http.patch(f"/v1/demands/{first}", json={"title": "改"})
    assert await _found(http, "demands", {"updated_since": second["updated_at"]}) == {first, second["id"]}
    naive = await http.get("/v1/demands", params={"updated_since": "2026-01-01T00:00:00"})
    assert_problem(naive, 422, "invalid_parameter", "updated_since")
    assert_problem(await http.get("/v1/demands?updated_since=gestern"), 422, "invalid_parameter", "updated_since")


async def test_states_may_be_named_together_and_open_is_a_group_of_them(http: httpx.AsyncClient) -> None:
    draft = await _create(http, "demands")
    assert await _found(http, "demands", [("status", "draft"), ("status", "published")]) == {draft}
    assert await _found(http, "demands", [("status", "submitted"), ("status", "published")]) == set()
    assert await _found(http, "demands", {"open": "true"}) == set()
    assert await _found(http, "demands", {"open": "false"}) == {draft}
    assert await _found(http, "demands", {"open": "", "status": ""}) == {draft}
    assert await _found(http, "demands", {"open": "true", "status": "draft"}) == set()
    assert_problem(await http.get("/v1/demands?status=draft&status=x"), 422, "invalid_parameter")


@pytest.mark.parametrize(
    ("q", "text", "is_found"),
    [
        ("招商 公司", "招商引资的投资公司", True), ("招商 学校", "招商引资的投资公司", False), ("C形钢", "Ｃ形钢冷弯成型", True),
        ("铝合金型材", "鋁合金型材挤压", True), ("型材", "鋁合金型材挤压", True), ("C++", "Ｃ形钢冷弯成型", False),
        ("c++", "用 C++ 写控制程序", True), ("C#", "C 语言", False), ("可编程控制器", "PLC 程序", True),
        ("ＰＬＣ", "可编程控制器", True), ("1000mm", "行程 1 米", True), ("%", "谐波", False), ("_", "谐波", False),
        ("谐波减速器 柔轮", "柔轮开裂的谐波减速器", True), ("\u3000", "谐波", True),
    ],
)  # fmt: skip
async def test_one_search_for_all_lists(http: httpx.AsyncClient, q: str, text: str, is_found: bool) -> None:  # noqa: FBT001
    for what, field in (("demands", "title"), ("profiles", "name"), ("organizations", "name")):
        made = await _create(http, what, **{field: text})
        assert (made in await _found(http, what, {"q": q})) is is_found, what


async def test_codes_texts_and_the_name_of_the_organization_are_searched(http: httpx.AsyncClient) -> None:
    organization = await _create(http, "organizations", name="佛山液压件厂", introduction="做油缸", external_id="O-77")
    demand = await _create(http, "demands", organization_id=organization, external_id="D-77", must_have=["往复密封"])
    profile = await _create(http, "profiles", organization_id=organization, external_id="P-77", summary="研究往复密封")
    assert await _found(http, "organizations", {"q": "油缸 o-77"}) == {organization}
    assert await _found(http, "demands", {"q": "液压件厂 往复密封 d-77"}) == {demand}
    assert await _found(http, "profiles", {"q": "液压件厂 往复密封 p-77"}) == {profile}
    assert await _found(http, "demands", {"organization_id": organization}) == {demand}
    assert await _found(http, "profiles", {"organization_id": organization}) == {profile}


async def test_pages_of_a_search_neither_skip_nor_repeat(http: httpx.AsyncClient) -> None:
    wanted = [await _create(http, "demands", title=f"{'泵' if n % 3 == 0 else '阀'}{n}") for n in range(13)][::3]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        answer = (await http.get("/v1/demands", params={"q": "泵", "limit": 2, "cursor": cursor})).json()
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
    assert seen == wanted[::-1]


async def test_a_match_takes_a_region_at_its_level(http: httpx.AsyncClient) -> None:
    inside, outside = [
        await _create(http, "profiles", summary="往复密封", region=code) for code in ("440605", "440105")
    ]
    for regions, expected in (
        (["440600"], {inside}),
        (["440000"], {inside, outside}),
        (["440600", "440105"], {inside, outside}),
    ):
        body = {"query": {"title": "往复密封"}, "regions": regions}
        answer = (await http.post("/v1/matches", json=body)).raise_for_status().json()
        assert {item["profile"]["id"] for item in answer["items"]} == expected


async def test_the_board_takes_a_region_at_its_level(http: httpx.AsyncClient) -> None:
    for region, code in (("440600", 200), ("4406", 200), ("x", 422)):
        assert (await http.get("/v1/board", params={"region": region})).status_code == code
