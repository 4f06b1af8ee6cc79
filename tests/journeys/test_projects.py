"""Projects over HTTP: opened by a contract, filled by the office, their overdue milestones listed."""

from typing import Any

import pytest
from conftest import Server
from http_checks import assert_problem, create, move, publish, read_all

PROJECTS = "/v1/projects"


def _opened(http: Any, source: str) -> tuple[str, str]:
    """Ids of a demand under contract and of its project."""
    demand = create(http, "demands", source=source)["id"]
    publish(http, demand)
    move(http, demand, "matching")
    move(http, demand, "contracted", contract_number=f"FS-{source}")
    return demand, read_all(http, PROJECTS, demand_id=demand)[0]["id"]


def test_a_contract_opens_a_project_that_is_filled_and_accepted(server: Server, source: str) -> None:
    with server.client("staff") as http:
        demand, project = _opened(http, source)
        path = f"{PROJECTS}/{project}"
        opened = http.get(path)
        change = {"contract_amount_wan": 60, "partners": [{"name": "某大学", "role": "承担单位"}]}
        changed = http.patch(path, json=change, headers={"If-Match": opened.headers["etag"]})
        stale = http.patch(path, json=change, headers={"If-Match": opened.headers["etag"]})
        made = http.post(f"{path}/milestones", json={"title": "样机", "due_on": "2020-03-31"})
        where = made.headers["location"]
        overdue = [one for one in http.get(f"{PROJECTS}/overdue", params={"limit": 200}).json()["items"]
                   if one["project_id"] == project]  # fmt: skip
        done = http.patch(where, json={"done_on": "2020-03-20"}).raise_for_status().json()
        removed = http.delete(where)
        gone = http.patch(where, json={"note": "x"})
        move(http, demand, "in_progress")
        move(http, demand, "accepted", opinion="达到指标")
        accepted = http.get(path).json()
        listed = read_all(http, PROJECTS, status="accepted", demand_id=demand)
        with server.client("portal") as portal:
            assert_problem(portal.get(path), 403, "forbidden")
    assert opened.json()["contract_number"] == f"FS-{source}"
    assert (opened.json()["status"], opened.json()["milestones"], opened.json()["acceptance"]) == (
        "contracted",
        [],
        None,
    )
    assert changed.json()["partners"][0]["name"] == "某大学"
    assert_problem(stale, 412, "etag_mismatch")
    assert (made.status_code, made.json()["state"]) == (201, "overdue")
    assert [one["id"] for one in overdue] == [made.json()["id"]]
    assert overdue[0]["demand_id"] == demand
    assert (done["state"], removed.status_code) == ("done", 204)
    assert_problem(gone, 404, "milestone_not_found")
    assert (accepted["status"], accepted["acceptance"]["opinion"]) == ("accepted", "达到指标")
    assert [one["id"] for one in listed] == [project]


def test_the_claim_that_was_chosen_fills_the_project(server: Server, source: str) -> None:
    sheet = {"feasibility": 30, "targets": 25, "team": 20, "price": 15, "schedule": 10}
    with server.client("staff") as http:
        demand = create(http, "demands", source=source)["id"]
        publish(http, demand)
        profile = create(http, "profiles", source=source, name="卓砺川")["id"]
        body = {"demand_id": demand, "profile_id": profile, "offer": "半年", "price_wan": 60}
        path = http.post("/v1/claims", json=body).headers["location"]
        http.put(f"{path}/scores", json={"points": sheet}).raise_for_status()
        http.post(f"{path}/transitions", json={"to": "chosen", "contract_number": "1"}).raise_for_status()
        project = read_all(http, PROJECTS, demand_id=demand)[0]
    assert project["contract_amount_wan"] == 60
    assert project["partners"] == [{"name": "卓砺川", "role": "揭榜方", "profile_id": profile, "organization_id": None}]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"contract_amount_wan": -1}, "/contract_amount_wan"),
        ({"contract_amount_wan": True}, "/contract_amount_wan"),
        ({"partners": [{"role": "x"}]}, "/partners/0/name"),
        ({"partners": [{"name": "甲"}] * 51}, "/partners"),
        ({"status": "closed"}, "/status"),
    ],
)
def test_a_change_that_would_spoil_a_project_is_refused(
    server: Server, source: str, change: dict[str, object], pointer: str
) -> None:
    with server.client("staff") as http:
        _, project = _opened(http, source)
        assert_problem(http.patch(f"{PROJECTS}/{project}", json=change), 422, "invalid_body", pointer)
