"""Following up over HTTP: a suggestion from the first contact on, visits written down, a calendar of what is due."""

from datetime import timedelta

import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, publish, read_all

from matching_service.foundation.clock import today

ENGAGEMENTS, SUGGESTIONS, CALENDAR = "/v1/engagements", "/v1/suggestions", "/v1/calendar"


def test_a_suggestion_is_followed_from_contact_to_refusal(server: Server, source: str) -> None:
    with server.client("staff") as http:
        demand = create(http, "demands", source=source)["id"]
        profile = create(http, "profiles", source=source)["id"]
        body = {"demand_id": demand, "profile_id": profile}
        early = http.post(SUGGESTIONS, json=body)
        publish(http, demand)
        made = http.post(SUGGESTIONS, json=body)
        path = made.headers["location"]
        again = http.post(SUGGESTIONS, json=body)
        illegal = http.post(f"{path}/transitions", json={"to": "met"})
        stale = http.post(f"{path}/transitions", json={"to": "contacted"}, headers={"If-Match": '"9"'})
        contacted = http.post(f"{path}/transitions", json={"to": "contacted"}).raise_for_status().json()
        unexplained = http.post(f"{path}/transitions", json={"to": "declined"})
        http.post(f"{path}/transitions", json={"to": "declined", "reason": "no_time"}).raise_for_status()
        history = http.get(f"{path}/history").json()["items"]
        listed = read_all(http, SUGGESTIONS, demand_id=demand, status="declined")
        conflicts = http.post(f"/v1/demands/{demand}/conflicts", json={"candidates": [profile]}).json()["items"]
        moved = http.get(f"/v1/demands/{demand}").json()
    assert_problem(early, 409, "demand_not_open")
    assert made.status_code == 201
    assert made.json()["next_statuses"] == ["contacted", "not_suitable", "closed"]
    assert (made.json()["demand_title"], bool(made.json()["profile_name"])) == (listed[0]["demand_title"], True)
    assert made.json()["id"] in assert_problem(again, 409, "already_suggested")["detail"]
    assert assert_problem(illegal, 409, "illegal_transition")["legal"] == ["contacted", "not_suitable", "closed"]
    assert_problem(stale, 412, "etag_mismatch")
    assert contacted["status"] == "contacted"
    assert_problem(unexplained, 422, "transition_incomplete", "/reason")
    assert [(step["from"], step["to"], step["reason"]) for step in history] == [
        (None, "suggested", None), ("suggested", "contacted", None), ("contacted", "declined", "no_time"),
    ]  # fmt: skip
    assert [row["id"] for row in listed] == [made.json()["id"]]
    assert [reason["code"] for reason in conflicts[0]["reasons"]] == ["refused"]
    assert moved["status"] == "matching"


def test_a_visit_stands_in_the_calendar_and_its_next_step_is_due_until_it_is_done(server: Server, source: str) -> None:
    day = today()
    monday = day - timedelta(days=day.weekday())
    with server.client("staff") as http:
        organization = create(http, "organizations", source=source)["id"]
        visit = {
            "kind": "visit", "held_on": monday.isoformat(), "staff": source, "people": ["陈工"], "note": "油温偏高",
            "organization_id": organization, "next_step": "给出方案", "next_step_on": day.isoformat(),
        }  # fmt: skip
        made = http.post(ENGAGEMENTS, json=visit)
        path = made.headers["location"]
        old = visit | {"held_on": "2020-01-06", "next_step": "旧事", "next_step_on": "2020-01-07"}
        http.post(ENGAGEMENTS, json=old).raise_for_status()
        week = http.get(CALENDAR, params={"staff": source}).json()
        due = http.get(f"{CALENDAR}/due", params={"staff": source}).json()
        done = http.patch(path, json={"outcome": "已给出", "next_step_done": True}).raise_for_status().json()
        due_after = http.get(f"{CALENDAR}/due", params={"staff": source}).json()
        planned = http.patch(path, json={"next_step": "试机", "next_step_on": day.isoformat()}).json()
        listed = read_all(http, ENGAGEMENTS, organization_id=organization, **{"from": monday.isoformat()})
        calendar = http.get(f"{CALENDAR}.ics", params={"staff": source})
        mine = http.get(CALENDAR).json()["staff"]
    assert made.status_code == 201
    assert [(item["what"], item["engagement"]["next_step"]) for item in week["items"]] == [
        ("engagement", "给出方案"), ("next_step", "给出方案"),
    ]  # fmt: skip
    assert (week["first"], week["last"]) == (monday.isoformat(), (monday + timedelta(days=6)).isoformat())
    assert [(item["engagement"]["next_step"], item["is_overdue"]) for item in due["items"]] == [
        ("旧事", True), ("给出方案", False),
    ]  # fmt: skip
    assert done["next_step_done_at"] is not None
    assert [item["engagement"]["next_step"] for item in due_after["items"]] == ["旧事"]
    assert planned["next_step_done_at"] is None
    assert [row["id"] for row in listed] == [made.json()["id"]]
    assert calendar.headers["content-type"] == "text/calendar; charset=utf-8"
    assert "SUMMARY:走访：陈工\r\n" in calendar.text
    assert mine == "test staff"


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"kind": "party"}, "invalid_body", "/kind"),
        ({"held_on": "soon"}, "invalid_body", "/held_on"),
        ({"demand_id": UNKNOWN_ID}, "demand_not_found", "/demand_id"),
        ({"profile_id": "x"}, "profile_not_found", "/profile_id"),
        ({"organization_id": UNKNOWN_ID}, "organization_not_found", "/organization_id"),
        ({"next_step_on": "2026-12-01"}, "next_step_missing", "/next_step"),
        ({"people": ["x"] * 51}, "invalid_body", "/people"),
    ],
)
def test_an_engagement_that_names_what_is_not_there_is_refused(
    server: Server, source: str, change: dict[str, object], code: str, pointer: str
) -> None:
    body = {"kind": "contact", "held_on": "2026-11-25", "staff": source}
    with server.client("staff") as http:
        assert_problem(http.post(ENGAGEMENTS, json=body | change), 422, code, pointer)
        path = http.post(ENGAGEMENTS, json=body).headers["location"]
        assert_problem(http.patch(path, json=change), 422, code, pointer)
        assert_problem(http.patch(path, json={"note": "x"}, headers={"If-Match": '"9"'}), 412, "etag_mismatch")
        assert len(read_all(http, ENGAGEMENTS, staff=source)) == 1


@pytest.mark.parametrize("days", [("2026-01-01", "2026-06-01"), ("2026-01-02", "2026-01-01")])
def test_a_calendar_is_of_some_weeks(server: Server, days: tuple[str, str]) -> None:
    with server.client("staff") as http:
        answer = http.get(CALENDAR, params={"from": days[0], "to": days[1]})
        beyond = http.get(CALENDAR, params={"from": "9999-12-31"})
    assert_problem(answer, 422, "invalid_days", "to")
    assert_problem(beyond, 422, "invalid_parameter", "from")
