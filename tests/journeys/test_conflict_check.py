"""The conflict check over HTTP: asked alone, before anyone is approached."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, is_chinese, match

from matching_service.access.policies import POLICIES, Action, Role
from matching_service.foundation.clock import today

TITLE = "谐波减速器柔轮疲劳开裂"


def _path(http: httpx.Client, source: str, **fields: Any) -> str:
    return f"/v1/demands/{create(http, 'demands', source=source, **fields)['id']}/conflicts"


def _read_all(http: httpx.Client, path: str, body: dict[str, Any] | None, *, limit: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"limit": limit}
    while True:
        page = http.post(path, json=body, params=parameters).raise_for_status().json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        parameters["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_who_may_read_matches_may_check_for_conflicts(server: Server, source: str, role: Role) -> None:
    with server.client() as admin:
        path = _path(admin, source)
    with server.client(role, **{"accept-language": "en"}) as http:
        answer = http.post(path, json={"candidates": []})
    if role in POLICIES[Action.MATCH_READ]:
        assert answer.raise_for_status().json() == {"items": [], "next_cursor": None}
    else:
        assert not is_chinese(assert_problem(answer, 403, "forbidden")["detail"])


def test_an_unknown_demand_is_not_found(server: Server) -> None:
    with server.client() as http:
        for demand_id in (UNKNOWN_ID, "17"):
            path = f"/v1/demands/{demand_id}/conflicts"
            assert is_chinese(assert_problem(http.post(path), 404, "demand_not_found")["detail"])
            english = http.post(path, json={}, headers={"accept-language": "en"})
            assert not is_chinese(assert_problem(english, 404, "demand_not_found")["detail"])


@pytest.mark.parametrize(
    ("body", "error", "pointer"),
    [
        ({"candidates": ["x"] * 5_001}, "too_long", "/candidates"),
        ({"candidates": "x"}, "list_type", "/candidates"),
        ({"candidates": [UNKNOWN_ID, 5]}, "string_type", "/candidates/1"),
        ({"candidates": ["\x00"]}, "control_character", "/candidates/0"),
        ({"profiles": []}, "extra_forbidden", "/profiles"),
    ],
)
def test_an_invalid_body_is_refused_in_both_languages(
    server: Server, source: str, body: dict[str, Any], error: str, pointer: str
) -> None:
    with server.client() as http:
        path = _path(http, source)
        chinese = assert_problem(http.post(path, json=body), 422, "invalid_body", pointer, error=error)
        answer = http.post(path, json=body, headers={"accept-language": "en"})
    english = assert_problem(answer, 422, "invalid_body", pointer, error=error)
    assert is_chinese(chinese["errors"][0]["message"])
    assert not is_chinese(english["errors"][0]["message"])


@pytest.mark.parametrize(("parameter", "value"), [("limit", "0"), ("limit", "201"), ("cursor", "!!")])
def test_a_wrong_page_is_refused(server: Server, source: str, parameter: str, value: str) -> None:
    with server.client() as http:
        answer = http.post(_path(http, source), params={parameter: value})
    code = "invalid_cursor" if parameter == "cursor" else "invalid_parameter"
    assert_problem(answer, 422, code, parameter)


def test_each_reason_is_told_and_a_candidate_without_one_is_not_listed(server: Server, source: str) -> None:
    with server.client("staff") as http:
        own, rival = (create(http, "organizations", source=source)["id"] for _ in range(2))
        demand = create(http, "demands", source=source, title=TITLE, organization_id=own)["id"]
        in_two_days = (today() + timedelta(days=2)).isoformat()
        fields: dict[str, dict[str, Any]] = {
            "own_organization": {"organization_id": own},
            "excluded_by_organization": {},
            "excluded_organization": {"organization_id": rival},
            "unavailable": {"available_from": in_two_days},
            "hidden": {"visibility": "hidden"},
            "withdrawn": {"visibility": "withdrawn"},
            "rejected": {"summary": TITLE},
        }
        ids = {code: create(http, "profiles", source=source, **more)["id"] for code, more in fields.items()}
        free = create(http, "profiles", source=source, available_until=today().isoformat())["id"]
        exclusions = [
            {"profile_id": ids["excluded_by_organization"], "reason": "合作已终止"},
            {"organization_id": rival},
        ]
        http.put(f"/v1/organizations/{own}/exclusions", json={"items": exclusions}).raise_for_status()
        listed = match(http, demand_id=demand, candidates=[ids["rejected"]], store=True)["items"][0]
        http.put(f"/v1/matches/{listed['match_id']}/decision", json={"decision": "rejected"}).raise_for_status()
        ids["not_found"] = UNKNOWN_ID
        candidates = [free, *ids.values()]
        items = _read_all(http, f"/v1/demands/{demand}/conflicts", {"candidates": candidates}, limit=3)
        everything = _read_all(http, f"/v1/demands/{demand}/conflicts", None, limit=200)
    assert [item["profile_id"] for item in items] == sorted(ids.values())
    by_id = {item["profile_id"]: item for item in items}
    for code, profile_id in ids.items():
        item = by_id[profile_id]
        assert set(item) == {"profile", "profile_id", "reasons"}
        (reason,) = item["reasons"]
        assert reason["code"] == code
        assert set(reason["detail"]) == {"zh", "en"}
        assert is_chinese(reason["detail"]["zh"])
        if code == "excluded_by_organization":
            assert "合作已终止" in reason["detail"]["zh"]
            assert "合作已终止" in reason["detail"]["en"]
        else:
            assert not is_chinese(reason["detail"]["en"])
        if code == "not_found":
            assert item["profile"] is None
        else:
            assert {name: value for name, value in item["profile"].items() if name != "organization"} == {
                "id": profile_id, "external_id": None, "kind": "expert", "name": "卓砺川", "region": None,
                "country": "CN", "overseas": False, "language": "zh",
            }  # fmt: skip
            of_organization = {"own_organization", "excluded_organization"}
            assert (item["profile"]["organization"] is not None) == (code in of_organization)
    assert in_two_days in by_id[ids["unavailable"]]["reasons"][0]["detail"]["en"]
    # Other tests share the server, so among all profiles there are others, too.
    assert [item["profile_id"] for item in everything] == sorted(item["profile_id"] for item in everything)
    assert [item for item in everything if item["profile_id"] in by_id] == [i for i in items if i["profile"]]
    assert free not in [item["profile_id"] for item in everything]


def test_without_a_body_all_profiles_are_checked_page_by_page(server: Server, source: str) -> None:
    with server.client("batch") as http, server.client() as admin:
        own = create(admin, "organizations", source=source)["id"]
        inside = {create(admin, "profiles", source=source, organization_id=own)["id"] for _ in range(5)}
        path = _path(admin, source, organization_id=own)
        bodies: list[dict[str, Any] | None] = [None, {}, {"candidates": None}]
        answers = [_read_all(http, path, body, limit=200) for body in bodies]
        paged = _read_all(http, path, {"candidates": sorted(inside)}, limit=2)
    assert answers[0] == answers[1] == answers[2]
    found = {item["profile_id"]: [reason["code"] for reason in item["reasons"]] for item in answers[0]}
    assert {profile_id for profile_id, codes in found.items() if "own_organization" in codes} == inside
    assert [item["profile_id"] for item in paged] == sorted(inside)


def test_the_check_tells_no_contact_data_and_no_texts(server: Server, source: str) -> None:
    secret = f"phone-{source}"
    with server.client() as http:
        profile = create(http, "profiles", source=source, visibility="withdrawn", summary=secret, keywords=[secret])
        contact = {"phone": secret, "email": secret, "address": secret}
        http.put(f"/v1/profiles/{profile['id']}/contact", json=contact).raise_for_status()
        answer = http.post(_path(http, source), json={"candidates": [profile["id"]]})
    assert profile["id"] in answer.text
    assert secret not in answer.text
    assert '"phone"' not in answer.text


def test_a_repeated_check_with_one_key_gives_the_same_answer(server: Server, source: str) -> None:
    with server.client(**{"Idempotency-Key": source}) as http, server.client() as other:
        profile = create(other, "profiles", source=source, visibility="hidden")["id"]
        path = _path(other, source)
        first = http.post(path, json={"candidates": [profile]})
        again = http.post(path, json={"candidates": [profile]})
    assert first.raise_for_status().json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
