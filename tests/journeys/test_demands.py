"""Demands over HTTP: storing, changing, listing, batches, and the states of a demand's life."""

from datetime import timedelta
from typing import Any

import pytest
from conftest import Server
from http_checks import (
    UNKNOWN_ID,
    assert_problem,
    complete,
    create,
    in_database,
    is_chinese,
    move,
    publish,
    read_all,
)
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import today
from matching_service.store.audit import AuditRow
from matching_service.store.demands import DemandContactRow

PATH = "/v1/demands"

FULL: dict[str, Any] = {
    "title": "机器人用谐波减速器疲劳寿命提升",
    "problem": "柔轮在额定负载下运行约5000小时后齿根出现裂纹。",
    "key_technology": "齿形优化；喷丸",
    "expected_goal": "额定寿命≥10000 h，回差≤1 arcmin",
    "keywords": ["谐波减速器", "柔轮"],
    "must_have": ["谐波减速器"],
    "nice_to_have": ["有限元"],
    "region": "440605",
    "cluster": "智能制造装备及机器人",
    "industry_code": "C3453",
    "funding_wan": 80.5,
    "start_year": today().year,
    "end_year": today().year + 1,
    "cooperation": "joint",
    "wanted_partners": ["高校", "科研院所"],
    "field": "机械工程",
    "expires_on": (today() + timedelta(days=200)).isoformat(),
    "visibility": "restricted",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", ""),
        ("POST", "/transitions"),
        ("GET", "/history"),
        ("GET", "/matches"),
        ("GET", "/similar"),
        ("GET", "/submission"),
        ("GET", "/contact"),
    ],
)
def test_an_unknown_demand_is_not_found(server: Server, method: str, path: str) -> None:
    body = {"PATCH": {"title": "a"}, "POST": {"to": "published"}}.get(method)
    with server.client() as http:
        answer = http.request(method, f"{PATH}/{UNKNOWN_ID}{path}", json=body)
    assert UNKNOWN_ID in assert_problem(answer, 404, "demand_not_found")["detail"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"title": None}, "/title"),
        ({"title": ""}, "/title"),
        ({"visibility": None}, "/visibility"),
        ({"status": "published"}, "/status"),
        ({"external_id": "x"}, "/external_id"),
        ({"keywords": "泵"}, "/keywords"),
    ],
)
def test_a_change_that_would_spoil_a_demand_is_refused(
    server: Server, source: str, change: dict[str, object], pointer: str
) -> None:
    with server.client() as http:
        made = create(http, "demands", source=source)
        assert_problem(http.patch(f"{PATH}/{made['id']}", json=change), 422, "invalid_body", pointer)
        assert http.get(f"{PATH}/{made['id']}").json() == made


def test_a_change_is_checked_together_with_what_is_stored(server: Server, source: str) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'demands', source=source, start_year=2026, end_year=2027)['id']}"
        assert_problem(http.patch(path, json={"end_year": 2025}), 422, "end_before_start", "/end_year")
        assert_problem(
            http.patch(path, json={"organization_id": UNKNOWN_ID}), 422, "organization_not_found", "/organization_id"
        )
        assert http.patch(path, json={"start_year": None, "end_year": 2025}).status_code == 200


def test_an_external_id_is_unique_within_its_source(server: Server, source: str) -> None:
    with server.client() as http:
        first = create(http, "demands", source=source, external_id="D-9")
        again = http.post(PATH, json={"title": "a", "source": source, "external_id": "D-9"})
        create(http, "demands", source=f"{source}b", external_id="D-9")
    assert first["id"] in assert_problem(again, 409, "external_id_taken", "/external_id")["detail"]


@pytest.mark.parametrize("header", ['"7"', "1", 'W/"2"', "nonsense"])
def test_a_version_that_is_not_the_newest_is_not_changed(server: Server, source: str, header: str) -> None:
    with server.client(**{"If-Match": header}) as http:
        path = f"{PATH}/{create(http, 'demands', source=source)['id']}"
        assert_problem(http.patch(path, json={"title": "b"}), 412, "etag_mismatch")
        assert_problem(http.post(f"{path}/transitions", json={"to": "submitted"}), 412, "etag_mismatch")
        assert http.get(path).json()["status"] == "draft"


@pytest.mark.parametrize("header", ['"1"', "*", 'W/"1"', '"7", "1"'])
def test_the_newest_version_is_changed(server: Server, source: str, header: str) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'demands', source=source)['id']}"
        changed = http.patch(path, json={"title": "b"}, headers={"If-Match": header})
    assert changed.status_code == 200
    assert changed.headers["etag"] == '"2"'


def test_what_was_stored_is_read_back(server: Server, source: str) -> None:
    with server.client("portal") as http:
        organization = create(http, "organizations", source=source, external_id="O")
        made = http.post(PATH, json=FULL | {"source": source, "organization_external_id": "O"})
        read = http.get(made.headers["location"])
    assert made.status_code == 201
    assert made.json() == read.json()
    assert made.headers["etag"] == read.headers["etag"]
    expected = FULL | {"source": source, "organization_id": organization["id"], "status": "draft", "external_id": None}
    assert expected.items() <= read.json().items()
    assert read.json()["created_at"].endswith(("Z", "+00:00"))


def test_a_title_alone_makes_a_draft(server: Server, source: str) -> None:
    with server.client() as http:
        made = create(http, "demands", source=source, title="  泵  ")
    assert made["title"] == "泵"
    assert made["status"] == "draft"
    assert made["keywords"] == []
    assert made["problem"] is None


def test_a_change_keeps_what_is_not_sent_and_empties_what_is_null(server: Server, source: str) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'demands', source=source, **FULL)['id']}"
        change: dict[str, Any] = {"problem": None, "funding_wan": None, "keywords": [], "title": "新题"}
        changed = http.patch(path, json=change).json()
    expected = FULL | change
    assert {name: changed[name] for name in expected} == expected


def test_a_change_of_nothing_keeps_the_version(server: Server, source: str) -> None:
    with server.client() as http:
        made = http.post(PATH, json=FULL | {"source": source})
        path = made.headers["location"]
        for change in ({}, {"title": FULL["title"], "keywords": FULL["keywords"]}):
            assert http.patch(path, json=change).headers["etag"] == made.headers["etag"]


def test_pages_neither_skip_nor_repeat_while_rows_come_in(server: Server, source: str) -> None:
    with server.client() as http:
        made = [create(http, "demands", cluster=source)["id"] for _ in range(5)]
        first = http.get(PATH, params={"cluster": source, "limit": 2}).json()
        create(http, "demands", cluster=source)
        second = http.get(PATH, params={"cluster": source, "limit": 2, "cursor": first["next_cursor"]}).json()
        third = http.get(PATH, params={"cluster": source, "limit": 2, "cursor": second["next_cursor"]}).json()
    assert [row["id"] for page in (first, second, third) for row in page["items"]] == made[::-1]
    assert third["next_cursor"] is None


def test_a_page_that_ends_exactly_has_no_next_one(server: Server, source: str) -> None:
    with server.client() as http:
        for _ in range(2):
            create(http, "demands", cluster=source)
        page = http.get(PATH, params={"cluster": source, "limit": 2}).json()
    assert len(page["items"]) == 2
    assert page["next_cursor"] is None


def test_the_list_is_filtered(server: Server, source: str) -> None:
    with server.client() as http:
        pump = create(http, "demands", cluster=source, region="440605", title=f"水泵 100%_ {source}")["id"]
        valve = create(http, "demands", cluster=source, region="510100", title="阀", problem="与水泵相连")["id"]
        publish(http, valve)

        def listed(**parameters: str) -> list[str]:
            return [row["id"] for row in read_all(http, PATH, cluster=source, **parameters)]

        assert listed(q="水泵") == [valve, pump]
        assert listed(q="100%_") == [pump]
        assert listed(q="10%_") == []
        assert listed(region="44") == [pump]
        assert listed(region="510100") == [valve]
        assert listed(status="published") == [valve]
        assert listed(status="draft") == [pump]
        assert listed(status="draft", region="51") == []
        assert [row["id"] for row in read_all(http, PATH, q=source)] == [pump]


def test_a_batch_stores_the_good_items_and_names_the_errors_of_the_others(server: Server, source: str) -> None:
    good = {"title": "泵", "source": source, "external_id": "1"}
    items: list[Any] = [
        good,
        {"source": source, "external_id": "2"},
        good,
        "泵",
        {"title": "阀", "source": source, "external_id": "3", "organization_id": UNKNOWN_ID},
        good | {"title": "水泵"},
        {"title": "a", "keywords": ["", "b"], "region": "44"},
        {"title": "a", "start_year": 2027, "end_year": 2026},
        {"title": "无编号", "source": source},
    ]
    with server.client("portal") as http:
        results = http.post(f"{PATH}/bulk", json={"items": items}).raise_for_status().json()["items"]
        first = http.get(f"{PATH}/{results[0]['id']}").json()
    assert [result["index"] for result in results] == list(range(len(items)))
    assert [result["status"] for result in results] == [
        "created", "invalid", "unchanged", "invalid", "invalid", "updated", "invalid", "invalid", "created",
    ]  # fmt: skip
    assert [[error["pointer"] for error in result["errors"]] for result in results] == [
        [], ["/title"], [], [""], ["/organization_id"], [], ["/keywords/0", "/region"], ["/end_year"], [],
    ]  # fmt: skip
    assert results[0]["id"] == results[2]["id"] == results[5]["id"]
    assert all((result["id"] is None) == (result["status"] == "invalid") for result in results)
    assert all(is_chinese(error["message"]) for result in results for error in result["errors"])
    assert first["title"] == "水泵"


def test_a_batch_that_is_sent_again_changes_nothing_and_a_changed_one_what_differs(server: Server, source: str) -> None:
    items = [{**FULL, "source": source, "external_id": str(n)} for n in range(3)]
    with server.client(**{"accept-language": "en"}) as http:
        created = http.post(f"{PATH}/bulk", json={"items": items}).json()["items"]
        again = http.post(f"{PATH}/bulk", json={"items": items}).json()["items"]
        changed = [items[0], items[1] | {"funding_wan": 81}, {"source": source, "external_id": "2"}]
        third = http.post(f"{PATH}/bulk", json={"items": changed}).json()["items"]
        kept = http.get(f"{PATH}/{created[2]['id']}")
    assert [result["status"] for result in created] == ["created"] * 3
    assert [(result["id"], result["status"]) for result in again] == [(one["id"], "unchanged") for one in created]
    assert [result["status"] for result in third] == ["unchanged", "updated", "invalid"]
    assert third[2]["errors"] == [{"code": "missing", "message": "Field required", "pointer": "/title"}]
    assert kept.headers["etag"] == '"1"'


def test_a_batch_of_a_thousand_is_stored(server: Server, source: str) -> None:
    items = [{"title": f"泵 {n}", "source": source, "external_id": str(n)} for n in range(1_000)]
    with server.client() as http:
        results = http.post(f"{PATH}/bulk", json={"items": items}).raise_for_status().json()["items"]
    assert {result["status"] for result in results} == {"created"}
    assert len({result["id"] for result in results}) == 1_000


def test_an_illegal_transition_lists_the_legal_ones(server: Server, source: str) -> None:
    with server.client() as http:
        demand_id = create(http, "demands", source=source)["id"]
        path = f"{PATH}/{demand_id}"
        from_draft = http.post(f"{path}/transitions", json={"to": "published"})
        publish(http, demand_id)
        again = http.post(f"{path}/transitions", json={"to": "published"})
        offered = http.get(path).json()["next_statuses"]
        move(http, demand_id, "expired")
        ended = http.post(f"{path}/transitions", json={"to": "draft"}, headers={"accept-language": "en"})
    problem = assert_problem(from_draft, 409, "illegal_transition")
    assert problem["legal"] == ["submitted", "withdrawn"]
    assert "draft" in problem["detail"]
    assert "已提交" in problem["detail"]
    assert assert_problem(again, 409, "illegal_transition")["legal"] == offered == ["matching", "expired", "withdrawn"]
    problem = assert_problem(ended, 409, "illegal_transition")
    assert problem["legal"] == []
    assert "ended" in problem["detail"]


def test_a_submission_names_everything_that_is_missing_at_once(server: Server, source: str) -> None:
    with server.client("portal") as http:
        demand_id = create(http, "demands", source=source, start_year=today().year - 1)["id"]
        path = f"{PATH}/{demand_id}"
        refused = http.post(f"{path}/transitions", json={"to": "submitted"})
        assert http.get(path).json()["status"] == "draft"
        complete(http, demand_id)
        http.patch(path, json={"start_year": today().year}).raise_for_status()
        moved = move(http, demand_id, "submitted")
    problem = assert_problem(refused, 422, "form_incomplete")
    assert [error["pointer"] for error in problem["errors"]] == [
        "/problem", "/key_technology", "/keywords", "/cooperation", "/organization_id", "/contact/person",
        "/contact/mobile", "/contact/email", "/start_year",
    ]  # fmt: skip
    assert all(is_chinese(error["message"]) for error in problem["errors"])
    assert moved["status"] == "submitted"


def test_the_enterprise_edits_its_text_before_submission_and_after_a_return(server: Server, source: str) -> None:
    with server.client("portal") as http, server.client("staff") as staff:
        demand_id = create(http, "demands", source=source, external_id="1")["id"]
        path = f"{PATH}/{demand_id}"
        complete(http, demand_id)
        move(http, demand_id, "submitted")
        frozen = http.patch(path, json={"title": "新题", "problem": "新的", "funding_wan": 80})
        item = {"title": "新题", "source": source, "external_id": "1"}
        in_batch = http.post(f"{PATH}/bulk", json={"items": [item]}).json()["items"]
        assert http.get(path).json()["title"] != "新题"
        assert http.patch(path, json={"funding_wan": 80}).status_code == 200
        assert staff.patch(path, json={"expected_goal": "寿命 10000 h"}).status_code == 200
        refused = staff.post(f"{path}/transitions", json={"to": "returned"})
        move(staff, demand_id, "returned", opinion="请补充指标")
        http.patch(path, json={"title": "新题"}).raise_for_status()
        again = move(http, demand_id, "submitted")
    problem = assert_problem(frozen, 409, "text_frozen", "/problem")
    assert [error["pointer"] for error in problem["errors"]] == ["/problem", "/title"]
    assert [(one["status"], one["errors"][0]["pointer"]) for one in in_batch] == [("invalid", "/title")]
    assert_problem(refused, 422, "transition_incomplete", "/opinion")
    assert (again["status"], again["title"]) == ("submitted", "新题")


def test_the_whole_life_is_written_down(server: Server, source: str) -> None:
    with server.client("portal") as portal, server.client("staff") as http:
        demand_id = create(portal, "demands", source=source)["id"]
        path = f"{PATH}/{demand_id}"
        complete(portal, demand_id)
        move(portal, demand_id, "submitted")
        move(http, demand_id, "returned", opinion="请补充指标")
        move(portal, demand_id, "submitted")
        move(http, demand_id, "reviewed")
        published = http.post(f"{path}/transitions", json={"to": "published", "opinion": "同意发榜"})
        read = http.get(path)
        history = http.get(f"{path}/history").json()
        move(http, demand_id, "matching")
        move(http, demand_id, "contracted", contract_number="FS-2026-017")
        move(http, demand_id, "in_progress")
        move(http, demand_id, "accepted", opinion="达到指标")
        closed = move(http, demand_id, "closed")
        whole = http.get(f"{path}/history").json()["items"]
    assert published.json() == read.json()
    assert published.headers["etag"] == read.headers["etag"]
    assert history["next_cursor"] is None
    steps = history["items"]
    assert [(step["from"], step["to"], step["opinion"]) for step in steps] == [
        (None, "draft", None),
        ("draft", "submitted", None),
        ("submitted", "returned", "请补充指标"),
        ("returned", "submitted", None),
        ("submitted", "reviewed", None),
        ("reviewed", "published", "同意发榜"),
    ]
    assert steps[1]["actor_id"] == steps[0]["actor_id"] != steps[2]["actor_id"]
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    assert steps[-1]["at"] == read.json()["published_at"]
    assert (closed["status"], closed["next_statuses"]) == ("closed", [])
    assert [step["to"] for step in whole[6:]] == ["matching", "contracted", "in_progress", "accepted", "closed"]


def test_the_portal_submits_and_nothing_else(server: Server, source: str) -> None:
    with server.client("portal") as http, server.client("batch") as batch, server.client() as admin:
        demand_id = create(http, "demands", source=source)["id"]
        publish(admin, demand_id)
        path = f"{PATH}/{demand_id}/transitions"
        assert_problem(http.post(path, json={"to": "matching"}), 403, "forbidden")
        assert_problem(http.post(path, json={"to": "expired"}), 403, "forbidden")
        assert_problem(batch.post(path, json={"to": "matching"}), 403, "forbidden")
        assert move(batch, demand_id, "expired")["status"] == "expired"


def test_whom_to_reach_is_apart_and_each_look_is_recorded(server: Server, source: str) -> None:
    contact = {"person": "陈工", "mobile": "13900001234", "email": "chen@example.org"}
    with server.client("portal") as portal, server.client("staff") as http:
        demand_id = create(portal, "demands", source=source)["id"]
        path = f"{PATH}/{demand_id}"
        assert http.get(f"{path}/contact").json() == dict.fromkeys(contact)
        assert portal.put(f"{path}/contact", json=contact).json() == contact
        read = http.get(f"{path}/contact")
        assert_problem(portal.get(f"{path}/contact"), 403, "forbidden")
        assert_problem(http.put(f"{path}/contact", json=contact, headers={"If-Match": '"1"'}), 412, "etag_mismatch")
        publish(http, demand_id)
        shown = http.get(path).text + http.get(PATH, params={"q": source}).text + http.get(f"{path}/history").text

    async def looks(session: AsyncSession) -> list[str]:
        statement = select(AuditRow.action).where(AuditRow.entity_id == demand_id, AuditRow.action.contains("contact"))
        return list(await session.scalars(statement.order_by(AuditRow.id)))

    assert read.json() == contact
    assert in_database(server, looks)[:3] == ["read_contact", "write_contact", "read_contact"]
    assert not any(value in shown for value in contact.values())


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"mobile": "没有"}, "/mobile"),
        ({"mobile": "1380"}, "/mobile"),
        ({"email": "chen"}, "/email"),
        ({"email": "chen@ example.org"}, "/email"),
        ({"email": "chen@example.org，"}, "/email"),
    ],
)
def test_nobody_is_reached_by_what_is_no_number_or_address(
    server: Server, source: str, wrong: dict[str, str], pointer: str
) -> None:
    with server.client("portal") as http:
        path = f"{PATH}/{create(http, 'demands', source=source)['id']}/contact"
        answer = http.put(path, json={"person": "陈工", **wrong})
    assert_problem(answer, 422, "invalid_body", pointer)
    assert next(iter(wrong.values())) not in answer.text


def test_what_was_stored_under_another_rule_can_be_read(server: Server, source: str) -> None:
    stored = {"person": "陈工", "mobile": "前台转", "email": "chen@example.org，"}
    with server.client("staff") as http:
        demand_id = create(http, "demands", source=source)["id"]

        async def store(session: AsyncSession) -> None:
            session.add(DemandContactRow(demand_id=demand_id, **stored))

        in_database(server, store)
        path = f"{PATH}/{demand_id}/contact"
        assert http.get(path).json() == stored
        assert_problem(http.put(path, json=stored), 422, "invalid_body", "/mobile")


@pytest.mark.parametrize("opinion", ["x" * 5_001, 5, "\x00"])
def test_an_opinion_has_limits(server: Server, source: str, opinion: object) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'demands', source=source)['id']}/transitions"
        assert_problem(http.post(path, json={"to": "submitted", "opinion": opinion}), 422, "invalid_body", "/opinion")


def test_before_submission_the_same_problem_asked_before_is_shown_with_its_outcome(server: Server, source: str) -> None:
    text = {"title": "压铸机料筒冲头磨损", "problem": "镁合金压铸机的冲头与料筒磨损快，三千模次就要更换。"}
    with server.client("portal") as http, server.client("staff") as staff:
        before, draft = (create(http, "demands", source=source, external_id=n, **text)["id"] for n in "12")
        other = create(http, "demands", source=source, title="心肌标志物检测试剂", problem="检测限不够")["id"]
        for demand_id in (before, other):
            publish(staff, demand_id)
        move(staff, before, "matching")
        move(staff, before, "abandoned", reason="no_supplier", opinion="报价过高")
        now_asked = create(http, "demands", source=source, keywords=["冲头"], cooperation="joint", **text)["id"]
        later = create(http, "demands", source=source, **text)["id"]
        publish(staff, later)
        shown = http.get(f"{PATH}/{now_asked}/submission").raise_for_status().json()
        with server.client("batch") as batch:
            assert_problem(batch.get(f"{PATH}/{now_asked}/submission"), 403, "forbidden")
    assert [error["pointer"] for error in shown["missing"]] == [
        "/key_technology", "/organization_id", "/contact/person", "/contact/mobile", "/contact/email",
    ]  # fmt: skip
    found = {item["demand"]["id"]: item["demand"] for item in shown["similar"]}
    assert shown["similar"][0]["demand"]["id"] == before
    assert (found[before]["status"], found[before]["reason"], found[before]["opinion"]) == (
        "abandoned", "no_supplier", "报价过高",
    )  # fmt: skip
    assert found.keys().isdisjoint({draft, other, later, now_asked})
