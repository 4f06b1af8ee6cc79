"""Exclusion lists of organizations over HTTP."""

from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, is_chinese

from matching_service.access.policies import Role


def _path(http: httpx.Client, source: str) -> str:
    organization = create(http, "organizations", source=source)
    return f"/v1/organizations/{organization['id']}/exclusions"


def _targets(answer: httpx.Response) -> list[tuple[str | None, str | None, str | None]]:
    items = answer.raise_for_status().json()["items"]
    return [(item["profile_id"], item["organization_id"], item["reason"]) for item in items]


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_the_office_and_portals_read_and_replace_a_list(server: Server, source: str, role: Role) -> None:
    with server.client() as admin:
        path = _path(admin, source)
        rival = create(admin, "organizations", source=source)["id"]
    with server.client(role) as http:
        replaced = http.put(path, json={"items": [{"organization_id": rival}]})
        read = http.get(path)
    if role in {Role.BATCH, Role.AUDITOR}:
        assert_problem(replaced, 403, "forbidden")
        assert_problem(read, 403, "forbidden")
    else:
        assert _targets(replaced) == _targets(read) == [(None, rival, None)]


def test_a_list_is_replaced_and_read_back(server: Server, source: str) -> None:
    with server.client("portal") as http:
        path = _path(http, source)
        assert http.get(path).json() == {"items": [], "next_cursor": None}
        profile = create(http, "profiles", source=source)["id"]
        rival = create(http, "organizations", source=source)["id"]
        items = [{"profile_id": profile, "reason": " "}, {"organization_id": rival, "reason": "竞争对手"}]
        first = http.put(path, json={"items": items})
        again = http.put(path, json={"items": items[::-1]})
        read = http.get(path)
        assert http.put(path, json={"items": []}).json() == {"items": [], "next_cursor": None}
        assert http.get(path).json()["items"] == []
    assert _targets(first) == [(profile, None, None), (None, rival, "竞争对手")]
    assert first.json() == again.json() == read.json()
    assert read.json()["next_cursor"] is None
    assert set(read.json()["items"][0]) == {"profile_id", "organization_id", "reason", "actor_id", "at"}


def test_an_unknown_organization_has_no_list(server: Server) -> None:
    with server.client() as http:
        for organization_id in (UNKNOWN_ID, "17"):
            path = f"/v1/organizations/{organization_id}/exclusions"
            assert_problem(http.get(path), 404, "organization_not_found")
            assert_problem(http.put(path, json={"items": []}), 404, "organization_not_found")


@pytest.mark.parametrize(
    ("body", "error", "pointer"),
    [
        ({}, "missing", "/items"),
        ({"items": None}, "list_type", "/items"),
        ({"items": [{}]}, "one_target", "/items/0"),
        ({"items": [{"profile_id": None, "organization_id": None}]}, "one_target", "/items/0"),
        ({"items": [{"profile_id": UNKNOWN_ID, "organization_id": UNKNOWN_ID}]}, "one_target", "/items/0"),
        ({"items": [{"profile_id": ""}]}, "string_too_short", "/items/0/profile_id"),
        ({"items": [{"profile_id": "\x00"}]}, "control_character", "/items/0/profile_id"),
        ({"items": [{"profile_id": UNKNOWN_ID, "note": "x"}]}, "extra_forbidden", "/items/0/note"),
        ({"items": [{"profile_id": UNKNOWN_ID, "reason": "长" * 5_001}]}, "string_too_long", "/items/0/reason"),
        ({"items": [{"profile_id": UNKNOWN_ID}] * 1_001}, "too_long", "/items"),
    ],
)
def test_an_invalid_list_is_refused_in_both_languages(
    server: Server, source: str, body: dict[str, Any], error: str, pointer: str
) -> None:
    with server.client() as http:
        path = _path(http, source)
        chinese = assert_problem(http.put(path, json=body), 422, "invalid_body", pointer, error=error)
        answer = http.put(path, json=body, headers={"accept-language": "en"})
    english = assert_problem(answer, 422, "invalid_body", pointer, error=error)
    assert all(is_chinese(found["message"]) for found in chinese["errors"])
    assert not any(is_chinese(found["message"]) for found in english["errors"])


def test_every_wrong_entry_is_named_and_the_list_stays_as_it_was(server: Server, source: str) -> None:
    with server.client() as http:
        own = create(http, "organizations", source=source)["id"]
        rival = create(http, "organizations", source=source)["id"]
        profile = create(http, "profiles", source=source)["id"]
        path = f"/v1/organizations/{own}/exclusions"
        http.put(path, json={"items": [{"profile_id": profile}]}).raise_for_status()
        items = [
            {"organization_id": rival},
            {"profile_id": UNKNOWN_ID},
            {"organization_id": own},
            {"organization_id": "no id"},
            {"profile_id": profile},
            {"organization_id": rival, "reason": "again"},
            {"profile_id": profile},
            {"profile_id": rival},
            {"organization_id": profile},
        ]
        chinese = assert_problem(http.put(path, json={"items": items}), 422, "invalid_exclusions")
        english = assert_problem(
            http.put(path, json={"items": items}, headers={"accept-language": "en"}), 422, "invalid_exclusions"
        )
        assert _targets(http.get(path)) == [(profile, None, None)]
    places = [
        ("profile_not_found", "/items/1/profile_id"),
        ("own_organization", "/items/2/organization_id"),
        ("organization_not_found", "/items/3/organization_id"),
        ("duplicate_exclusion", "/items/5/organization_id"),
        ("duplicate_exclusion", "/items/6/profile_id"),
        ("profile_not_found", "/items/7/profile_id"),
        ("organization_not_found", "/items/8/organization_id"),
    ]
    for problem in (chinese, english):
        assert [(error["code"], error["pointer"]) for error in problem["errors"]] == places
    assert is_chinese(chinese["detail"])
    assert not is_chinese(english["detail"])
    assert all(is_chinese(error["message"]) for error in chinese["errors"])
    assert not any(is_chinese(error["message"]) for error in english["errors"])


def test_a_list_of_1000_is_stored(server: Server, source: str) -> None:
    with server.client() as http:
        path = _path(http, source)
        bodies = [{"kind": "expert", "name": f"{n}", "source": source, "external_id": f"{n}"} for n in range(1_000)]
        stored = http.post("/v1/profiles/bulk", json={"items": bodies}).raise_for_status().json()["items"]
        items = [{"profile_id": one["id"]} for one in stored]
        answer = http.put(path, json={"items": items}).raise_for_status().json()
        assert [item["profile_id"] for item in answer["items"]] == [item["profile_id"] for item in items]
        assert len(http.get(path).json()["items"]) == 1_000


def test_an_entry_goes_with_its_profile(server: Server, source: str) -> None:
    with server.client() as http:
        path = _path(http, source)
        gone, kept = (create(http, "profiles", source=source)["id"] for _ in range(2))
        http.put(path, json={"items": [{"profile_id": gone}, {"profile_id": kept}]}).raise_for_status()
        assert http.delete(f"/v1/profiles/{gone}").status_code == 204
        assert _targets(http.get(path)) == [(kept, None, None)]
