"""Profiles over HTTP: storing with works, changing, deleting, batches, and contact data behind its own door."""

from datetime import timedelta
from typing import Any

import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, in_database, match, profile_ids, read_all
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import today
from matching_service.store.audit import AuditRow

PATH = "/v1/profiles"

FULL: dict[str, Any] = {
    "kind": "team",
    "name": "精密传动服务团",
    "summary": "从事精密传动研究，主攻谐波齿轮柔轮疲劳与齿形优化。",
    "keywords": ["谐波传动", "柔轮"],
    "fields": ["机械工程"],
    "region": "440600",
    "country": "DE",
    "language": "de",
    "title": "教授",
    "honours": ["中国工程院院士"],
    "clusters": ["装备制造"],
    "capacity": 3,
    "available_from": today().isoformat(),
    "available_until": (today() + timedelta(days=200)).isoformat(),
    "visibility": "restricted",
}
WORKS: list[dict[str, Any]] = [
    {"external_id": "w1", "kind": "paper", "title": "柔轮裂纹萌生", "abstract": "应力谱。", "year": 2024},
    {"external_id": None, "kind": "patent", "title": "一种柔轮", "abstract": None, "year": None},
    {"external_id": "w2", "kind": "other", "title": "齿形优化", "abstract": None, "year": 1900},
]


def _without_ids(works: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in work.items() if name != "id"} for work in works]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", ""), ("DELETE", ""), ("GET", "/contact"), ("PUT", "/contact"), ("POST", "/matches")],
)
def test_an_unknown_profile_is_not_found(server: Server, method: str, path: str) -> None:
    with server.client() as http:
        answer = http.request(method, f"{PATH}/{UNKNOWN_ID}{path}", json={} if method != "GET" else None)
    assert_problem(answer, 404, "profile_not_found")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": None}, "/name"),
        ({"kind": None}, "/kind"),
        ({"kind": "robot"}, "/kind"),
        ({"country": None}, "/country"),
        ({"country": "de"}, "/country"),
        ({"works": [{"title": ""}]}, "/works/0/title"),
        ({"works": [{"id": UNKNOWN_ID, "title": "a"}]}, "/works/0/id"),
        ({"capacity": -1}, "/capacity"),
        ({"visibility": "secret"}, "/visibility"),
        ({"phone": "0757"}, "/phone"),
    ],
)
def test_a_change_that_would_spoil_a_profile_is_refused(
    server: Server, source: str, change: dict[str, object], pointer: str
) -> None:
    with server.client() as http:
        made = create(http, "profiles", source=source)
        assert_problem(http.patch(f"{PATH}/{made['id']}", json=change), 422, "invalid_body", pointer)
        assert http.get(f"{PATH}/{made['id']}").json() == made


def test_a_change_is_checked_together_with_what_is_stored(server: Server, source: str) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'profiles', source=source, available_until='2026-06-30')['id']}"
        late = http.patch(path, json={"available_from": "2026-07-01"})
        assert_problem(late, 422, "end_before_start", "/available_until")
        twice = {"works": [{"title": "a", "external_id": "w"}, {"title": "b", "external_id": "w"}]}
        assert_problem(http.patch(path, json=twice), 422, "duplicate_work", "/works/1/external_id")
        nobody = http.patch(path, json={"organization_id": UNKNOWN_ID})
        assert_problem(nobody, 422, "organization_not_found", "/organization_id")


def test_an_external_id_is_unique_within_its_source(server: Server, source: str) -> None:
    with server.client() as http:
        first = create(http, "profiles", source=source, external_id="A-17")
        again = http.post(PATH, json={"kind": "expert", "name": "乙", "source": source, "external_id": "A-17"})
    assert first["id"] in assert_problem(again, 409, "external_id_taken", "/external_id")["detail"]


def test_a_version_that_is_not_the_newest_is_neither_changed_nor_deleted(server: Server, source: str) -> None:
    with server.client() as http:
        made = http.post(PATH, json={"kind": "expert", "name": "甲", "source": source})
        path, seen = made.headers["location"], {"If-Match": made.headers["etag"]}
        changed = http.patch(path, json={"works": [{"title": "a"}]}, headers=seen)
        assert changed.headers["etag"] != made.headers["etag"]
        assert_problem(http.patch(path, json={"name": "乙"}, headers=seen), 412, "etag_mismatch")
        assert_problem(http.delete(path, headers=seen), 412, "etag_mismatch")
        assert http.get(path).json()["name"] == "甲"
        assert http.delete(path, headers={"If-Match": changed.headers["etag"]}).status_code == 204
        assert_problem(http.get(path), 404, "profile_not_found")
        assert_problem(http.delete(path), 404, "profile_not_found")


def test_what_was_stored_is_read_back(server: Server, source: str) -> None:
    with server.client("portal") as http:
        organization = create(http, "organizations", source=source)["id"]
        body = FULL | {"source": source, "external_id": "A-17", "organization_id": organization, "works": WORKS}
        made = http.post(PATH, json=body)
        read = http.get(made.headers["location"])
    assert made.status_code == 201
    assert made.json() == read.json()
    assert made.headers["etag"] == read.headers["etag"]
    stored = read.json()
    assert stored | {"works": _without_ids(stored["works"])} == stored | body
    assert len({work["id"] for work in stored["works"]}) == 3


def test_kind_and_name_are_enough(server: Server, source: str) -> None:
    with server.client() as http:
        made = create(http, "profiles", source=source)
    assert (made["works"], made["keywords"], made["summary"]) == ([], [], None)
    assert (made["country"], made["language"], made["visibility"]) == ("CN", "zh", "public")


def test_a_change_keeps_what_is_not_sent_and_empties_what_is_null(server: Server, source: str) -> None:
    with server.client() as http:
        made = create(http, "profiles", source=source, works=WORKS, **FULL)
        change: dict[str, Any] = {"summary": None, "capacity": None, "available_from": None, "honours": []}
        changed = http.patch(f"{PATH}/{made['id']}", json=change).json()
    expected = FULL | change
    assert {name: changed[name] for name in expected} == expected
    assert changed["works"] == made["works"]


def test_works_are_replaced_as_a_list_and_known_ones_keep_their_id(server: Server, source: str) -> None:
    with server.client() as http:
        made = create(http, "profiles", source=source, works=WORKS)
        path = f"{PATH}/{made['id']}"
        wanted = [WORKS[2] | {"title": "齿形再优化"}, {"kind": "paper", "title": "新作"}, WORKS[0]]
        changed = http.patch(path, json={"works": wanted}).json()
        assert http.get(path).json()["works"] == changed["works"]
        emptied = http.patch(path, json={"works": []}).json()
    assert [work["title"] for work in changed["works"]] == ["齿形再优化", "新作", "柔轮裂纹萌生"]
    assert changed["works"][0]["id"] == made["works"][2]["id"]
    assert changed["works"][2]["id"] == made["works"][0]["id"]
    assert changed["works"][1]["id"] not in {work["id"] for work in made["works"]}
    assert emptied["works"] == []


def test_external_ids_of_works_may_change_places(server: Server, source: str) -> None:
    works = [{"external_id": "1", "title": "甲"}, {"external_id": "2", "title": "乙"}, {"title": "丙"}, {"title": "丙"}]
    with server.client() as http:
        path = f"{PATH}/{create(http, 'profiles', source=source, works=works)['id']}"
        swapped = [
            works[0] | {"external_id": "2"},
            works[1] | {"external_id": "1"},
            {"external_id": "3", "title": "丙"},
        ]
        changed = http.patch(path, json={"works": swapped})
    assert changed.status_code == 200, changed.text
    assert [(work["external_id"], work["title"]) for work in changed.json()["works"]] == [
        ("2", "甲"),
        ("1", "乙"),
        ("3", "丙"),
    ]


def test_a_change_of_nothing_keeps_the_version(server: Server, source: str) -> None:
    with server.client() as http:
        made = http.post(PATH, json=FULL | {"source": source, "works": WORKS})
        for change in ({}, FULL, {"works": WORKS}):
            assert http.patch(made.headers["location"], json=change).headers["etag"] == made.headers["etag"]


def test_the_list_is_filtered_and_paged(server: Server, source: str) -> None:
    with server.client() as http:
        kinds = ["expert", "team", "expert", "society", "expert"]
        made = [
            create(http, "profiles", name=f"{source} {n}", kind=kind, region=f"44060{n}")["id"]
            for n, kind in enumerate(kinds)
        ]

        def listed(**parameters: Any) -> list[str]:
            return [row["id"] for row in read_all(http, PATH, q=source, **parameters)]

        assert listed(limit=2) == made[::-1]
        assert listed(kind="expert", limit=1) == [made[4], made[2], made[0]]
        assert listed(region="440603") == [made[3]]
        assert listed(region="4406", kind="team") == [made[1]]
        abroad = create(http, "profiles", name=f"{source} abroad", country="DE", language="de")
        assert abroad["overseas"]
        assert listed(overseas="true") == [abroad["id"]]
        assert abroad["id"] not in listed(overseas="false")
        assert listed(kind="policy") == []


def test_a_batch_stores_the_good_items_and_names_the_errors_of_the_others(server: Server, source: str) -> None:
    good = FULL | {"source": source, "external_id": "1", "works": WORKS}
    items: list[Any] = [
        good,
        {"name": "无类别", "source": source},
        good,
        good | {"works": WORKS[:1]},
        good | {"external_id": "2", "works": [{"title": "a", "external_id": "w"}, {"title": "b", "external_id": "w"}]},
        good | {"external_id": "3", "works": [{"title": "a", "year": 1}]},
        good | {"external_id": "4", "organization_external_id": "nobody"},
        None,
        good | {"external_id": "5", "available_until": "2025-01-01"},
        good | {"external_id": "6"},
    ]
    with server.client("portal") as http:
        results = http.post(f"{PATH}/bulk", json={"items": items}).raise_for_status().json()["items"]
        first = http.get(f"{PATH}/{results[0]['id']}").json()
        again = http.post(f"{PATH}/bulk", json={"items": [good | {"works": WORKS[:1]}, items[-1]]}).json()["items"]
    assert [result["status"] for result in results] == [
        "created", "invalid", "unchanged", "updated", "invalid", "invalid", "invalid", "invalid", "invalid", "created",
    ]  # fmt: skip
    assert [[error["pointer"] for error in result["errors"]] for result in results] == [
        [], ["/kind"], [], [], ["/works/1/external_id"], ["/works/0/year"], ["/organization_external_id"], [""],
        ["/available_until"], [],
    ]  # fmt: skip
    assert _without_ids(first["works"]) == WORKS[:1]
    assert [result["status"] for result in again] == ["unchanged", "unchanged"]


def test_a_batch_of_changed_works_keeps_the_ids_of_known_ones(server: Server, source: str) -> None:
    item = {"kind": "expert", "name": "甲", "source": source, "external_id": "1", "works": WORKS}
    with server.client() as http:
        made = http.post(f"{PATH}/bulk", json={"items": [item]}).json()["items"][0]
        before = http.get(f"{PATH}/{made['id']}").json()["works"]
        updated = http.post(f"{PATH}/bulk", json={"items": [item | {"works": WORKS[::-1]}]}).json()["items"][0]
        after = http.get(f"{PATH}/{made['id']}").json()["works"]
    assert (updated["id"], updated["status"]) == (made["id"], "updated")
    assert after == before[::-1]


def test_contact_data_needs_its_own_permission(server: Server, source: str) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'profiles', source=source)['id']}/contact"
    for role in ("portal", "batch"):
        with server.client(role) as http:
            assert_problem(http.get(path), 403, "forbidden")
            assert_problem(http.put(path, json={"phone": "1"}), 403, "forbidden")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"phone": "1" * 51}, "/phone"),
        ({"email": 5}, "/email"),
        ({"address": "\x00"}, "/address"),
        ({"fax": "1"}, "/fax"),
    ],
)
def test_contact_data_has_limits(server: Server, source: str, body: dict[str, object], pointer: str) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'profiles', source=source)['id']}/contact"
        assert_problem(http.put(path, json=body), 422, "invalid_body", pointer)


def test_contact_data_that_somebody_else_changed_is_not_overwritten(server: Server, source: str) -> None:
    with server.client() as http:
        path = f"{PATH}/{create(http, 'profiles', source=source)['id']}/contact"
        seen = {"If-Match": http.get(path).headers["etag"]}
        first = http.put(path, json={"phone": "1"}, headers=seen)
        assert first.status_code == 200
        assert_problem(http.put(path, json={"phone": "2"}, headers=seen), 412, "etag_mismatch")
        read = http.get(path)
        assert read.json()["phone"] == "1"
        assert http.put(path, json={"phone": "3"}, headers={"If-Match": read.headers["etag"]}).status_code == 200


def test_contact_data_is_replaced_as_a_whole_and_goes_with_the_profile(server: Server, source: str) -> None:
    nothing = {"phone": None, "email": None, "address": None}
    with server.client("staff") as http:
        profile = f"{PATH}/{create(http, 'profiles', source=source)['id']}"
        assert http.get(f"{profile}/contact").json() == nothing
        first = {"phone": "0757-1", "email": "a@example.org", "address": "佛山"}
        assert http.put(f"{profile}/contact", json=first).json() == first
        assert http.get(f"{profile}/contact").json() == first
        assert http.put(f"{profile}/contact", json={"email": "b@example.org"}).status_code == 200
        assert http.get(f"{profile}/contact").json() == nothing | {"email": "b@example.org"}
        assert http.delete(profile).status_code == 204
        assert_problem(http.get(f"{profile}/contact"), 404, "profile_not_found")


def test_each_reading_of_contact_data_leaves_an_audit_row(server: Server, source: str) -> None:
    with server.client("staff") as http:
        profile_id = create(http, "profiles", source=source)["id"]
        http.put(f"{PATH}/{profile_id}/contact", json={"phone": "0757-1"}, headers={"X-Request-ID": f"{source}-write"})
        for n in range(2):
            http.get(f"{PATH}/{profile_id}/contact", headers={"X-Request-ID": f"{source}-{n}"}).raise_for_status()

    async def audit_rows(session: AsyncSession) -> list[AuditRow]:
        rows = await session.scalars(select(AuditRow).where(AuditRow.entity_id == profile_id).order_by(AuditRow.id))
        return list(rows)

    rows = in_database(server, audit_rows)
    assert [row.action for row in rows] == ["create", "write_contact", "read_contact", "read_contact"]
    assert [row.request_id for row in rows[1:]] == [f"{source}-write", f"{source}-0", f"{source}-1"]
    assert len({row.actor_id for row in rows}) == 1
    assert "0757-1" not in "".join(str(row.detail) for row in rows)


def test_contact_data_is_in_no_body_of_a_profile_or_a_match(server: Server, source: str) -> None:
    secret = f"phone-{source}"
    with server.client() as http:
        profile = create(http, "profiles", source=source, name=f"谐波 {source}", summary="谐波减速器")
        demand = create(http, "demands", source=source, title="谐波减速器")
        path = f"{PATH}/{profile['id']}"
        contact = {"phone": secret[:50], "email": secret, "address": secret}
        http.put(f"{path}/contact", json=contact).raise_for_status()
        bodies = [
            http.get(path).text,
            http.patch(path, json={"summary": "谐波减速器柔轮"}).text,
            http.get(PATH, params={"q": source}).text,
            http.post(
                "/v1/matches", json={"demand_id": demand["id"], "candidates": [profile["id"]], "store": True}
            ).text,
            http.get(f"/v1/demands/{demand['id']}/matches").text,
            http.post(f"{path}/matches").text,
        ]
    for body in bodies[:5]:
        assert profile["id"] in body
    for body in bodies:
        assert secret not in body
        assert '"contact"' not in body
        assert '"phone"' not in body


def test_a_hidden_profile_is_read_but_never_ranked(server: Server, source: str) -> None:
    with server.client() as http:
        made = create(http, "profiles", source=source, summary="谐波减速器", visibility="hidden")
        path, question = f"{PATH}/{made['id']}", {"query": {"title": "谐波减速器"}, "candidates": [made["id"]]}
        assert match(http, **question)["items"] == []
        assert http.post(f"{path}/matches").json()["items"] == []
        assert http.get(path).json()["visibility"] == "hidden"
        http.patch(path, json={"visibility": "public"}).raise_for_status()
        assert profile_ids(match(http, **question)) == [made["id"]]
        http.patch(path, json={"visibility": "hidden"}).raise_for_status()
        assert match(http, **question)["items"] == []


def test_a_deleted_profile_is_gone_from_the_next_match_and_from_stored_lists(server: Server, source: str) -> None:
    with server.client() as http:
        gone, kept = (create(http, "profiles", source=source, summary=f"谐波减速器{n}")["id"] for n in range(2))
        demand = create(http, "demands", source=source)["id"]
        question = {"demand_id": demand, "candidates": [gone, kept]}
        assert set(profile_ids(match(http, store=True, **question))) == {gone, kept}
        assert http.delete(f"{PATH}/{gone}").status_code == 204
        assert profile_ids(match(http, **question)) == [kept]
        assert profile_ids(http.get(f"/v1/demands/{demand}/matches").json()) == [kept]


def test_a_filter_that_is_left_blank_restricts_nothing(server: Server) -> None:
    with server.client("staff") as http:
        everything = http.get("/v1/profiles", params={"limit": 1}).raise_for_status().json()
        blank = http.get("/v1/profiles", params={"kind": "", "region": "", "q": "", "limit": 1})
        assert blank.raise_for_status().json()["items"] == everything["items"]
        assert http.get("/v1/demands", params={"status": "", "cluster": "", "region": "", "q": " "}).status_code == 200
