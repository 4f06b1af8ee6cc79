"""Demands over HTTP: storing, changing, listing, batches, and the states of a demand's life."""

from typing import Any

import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, is_chinese, publish, read_all

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
    "start_year": 2026,
    "end_year": 2027,
    "cooperation": "joint",
    "visibility": "restricted",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", ""), ("POST", "/transitions"), ("GET", "/history"), ("GET", "/matches"), ("GET", "/similar")],
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
        assert_problem(http.post(f"{path}/transitions", json={"to": "published"}), 412, "etag_mismatch")
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
        change = {"problem": None, "funding_wan": None, "keywords": [], "title": "新题"}
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
        path = f"{PATH}/{create(http, 'demands', source=source)['id']}"
        from_draft = http.post(f"{path}/transitions", json={"to": "closed"})
        http.post(f"{path}/transitions", json={"to": "published"}).raise_for_status()
        again = http.post(f"{path}/transitions", json={"to": "published"})
        http.post(f"{path}/transitions", json={"to": "closed"}).raise_for_status()
        ended = http.post(f"{path}/transitions", json={"to": "draft"}, headers={"accept-language": "en"})
    detail = assert_problem(from_draft, 409, "illegal_transition")["detail"]
    assert "draft" in detail
    assert "published" in detail
    assert "closed" in assert_problem(again, 409, "illegal_transition")["detail"].split("；")[-1]
    assert "ended" in assert_problem(ended, 409, "illegal_transition")["detail"]


def test_the_history_says_who_when_and_why(server: Server, source: str) -> None:
    with server.client("portal") as portal, server.client("staff") as http:
        path = f"{PATH}/{create(portal, 'demands', source=source)['id']}"
        published = http.post(f"{path}/transitions", json={"to": "published", "opinion": "同意发榜"})
        history = http.get(f"{path}/history").json()
        read = http.get(path)
    assert published.json() == read.json()
    assert published.headers["etag"] == read.headers["etag"] == '"2"'
    assert read.json()["status"] == "published"
    assert history["next_cursor"] is None
    steps = history["items"]
    assert [(step["from"], step["to"], step["opinion"]) for step in steps] == [
        (None, "draft", None),
        ("draft", "published", "同意发榜"),
    ]
    assert steps[0]["actor_id"] != steps[1]["actor_id"]
    assert steps[0]["at"] <= steps[1]["at"]
    assert steps[1]["at"] == read.json()["published_at"]


@pytest.mark.parametrize("opinion", ["x" * 5_001, 5, "\x00"])
def test_an_opinion_has_limits(server: Server, source: str, opinion: object) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'demands', source=source)['id']}/transitions"
        assert_problem(http.post(path, json={"to": "published", "opinion": opinion}), 422, "invalid_body", "/opinion")
