"""Decisions of staff over HTTP: undone, made for many pairs at once, and a known profile put on a list by hand."""

from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, match, profile_ids, publish

SUMMARIES = ("研究谐波减速器柔轮疲劳。", "精密减速器与齿轮传动。", "减速器润滑。")


def _demand_with_list(http: httpx.Client, source: str) -> tuple[str, list[str], dict[str, str]]:
    """A published demand, the ids of three profiles in the order of its list, and the match ids by profile id."""
    for summary in SUMMARIES:
        create(http, "profiles", source=source, clusters=[source], summary=summary)
    demand: str = create(http, "demands", source=source, title="谐波减速器柔轮疲劳开裂")["id"]
    publish(http, demand)
    stored = match(http, demand_id=demand, clusters=[source], store=True)
    assert len(stored["items"]) == len(SUMMARIES)
    return demand, profile_ids(stored), {item["profile"]["id"]: item["match_id"] for item in stored["items"]}


def _shown(http: httpx.Client, demand: str) -> list[tuple[str, str | None]]:
    answer = http.get(f"/v1/demands/{demand}/matches").raise_for_status().json()
    return [(item["profile"]["id"], item["decision"]) for item in answer["items"]]


def _bulk(http: httpx.Client, *items: dict[str, Any]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = (
        http.post("/v1/decisions/bulk", json={"items": items}).raise_for_status().json()["items"]
    )
    return results


@pytest.mark.parametrize("decision", ["pinned", "shortlisted", "rejected"])
def test_a_decision_can_be_undone(server: Server, source: str, decision: str) -> None:
    with server.client("staff") as http:
        demand, ids, match_ids = _demand_with_list(http, source)
        before = _shown(http, demand)
        address = f"/v1/matches/{match_ids[ids[2]]}/decision"
        http.put(address, json={"decision": decision, "reason": "面谈"}).raise_for_status()
        assert dict(_shown(http, demand))[ids[2]] == decision
        undone = http.put(address, json={"decision": None}).raise_for_status().json()
        assert (undone["decision"], undone["reason"], undone["profile_id"]) == (None, None, ids[2])
        assert _shown(http, demand) == before
        http.put(address, json={"decision": None}).raise_for_status()  # nothing to undo is no error
        again = match(http, demand_id=demand, clusters=[source], store=True)
        assert profile_ids(again) == ids
        assert http.get(f"/v1/demands/{demand}/decisions").json()["items"] == []


def test_pinned_profiles_come_first_at_once_and_on_later_lists(server: Server, source: str) -> None:
    with server.client("staff") as http:
        demand, ids, match_ids = _demand_with_list(http, source)
        http.put(f"/v1/matches/{match_ids[ids[2]]}/decision", json={"decision": "pinned"}).raise_for_status()
        shown = http.get(f"/v1/demands/{demand}/matches").json()["items"]
        assert [item["profile"]["id"] for item in shown] == [ids[2], ids[0], ids[1]]
        assert [item["rank"] for item in shown] == [3, 1, 2]
        for store in (False, True):
            assert profile_ids(match(http, demand_id=demand, clusters=[source], store=store)) == [
                ids[2],
                ids[0],
                ids[1],
            ]


def test_a_rejected_profile_that_left_the_list_is_named_and_taken_back(server: Server, source: str) -> None:
    with server.client("staff") as http:
        demand, ids, match_ids = _demand_with_list(http, source)
        http.put(f"/v1/matches/{match_ids[ids[0]]}/decision", json={"decision": "rejected"}).raise_for_status()
        match(http, demand_id=demand, clusters=[source], store=True)
        assert ids[0] not in dict(_shown(http, demand))
        (decision,) = http.get(f"/v1/demands/{demand}/decisions").json()["items"]
        assert (decision["profile_id"], decision["decision"]) == (ids[0], "rejected")
        assert decision["profile_name"]
        http.put(f"/v1/matches/{match_ids[ids[0]]}/decision", json={"decision": None}).raise_for_status()
        assert profile_ids(match(http, demand_id=demand, clusters=[source], store=True)) == ids


def test_many_pairs_at_once_each_with_its_result(server: Server, source: str) -> None:
    with server.client("staff") as http:
        demand, ids, _ = _demand_with_list(http, source)
        off_list = create(http, "profiles", source=source, summary="草鱼养殖。")["id"]
        pair = {"demand_id": demand}
        results = _bulk(
            http,
            {**pair, "profile_id": ids[0], "decision": "shortlisted", "reason": "合适"},
            {**pair, "profile_id": off_list, "decision": "rejected"},
            {**pair, "profile_id": UNKNOWN_ID, "decision": "rejected"},
            {"demand_id": UNKNOWN_ID, "profile_id": ids[0], "decision": None},
            {**pair, "profile_id": ids[1], "decision": "perhaps"},
            {**pair, "profile_id": ids[1]},
            {**pair, "profile_id": ids[0], "decision": "shortlisted", "reason": "合适"},
            {**pair, "profile_id": ids[2], "decision": None},
        )
        assert [result["status"] for result in results] == [
            "created", "created", "invalid", "invalid", "invalid", "invalid", "unchanged", "unchanged",
        ]  # fmt: skip
        assert [result["errors"][0]["pointer"] for result in results[2:6]] == [
            "/profile_id", "/demand_id", "/decision", "/decision",
        ]  # fmt: skip
        decided = {
            item["profile_id"]: item["decision"] for item in http.get(f"/v1/demands/{demand}/decisions").json()["items"]
        }
        assert decided == {ids[0]: "shortlisted", off_list: "rejected"}
        undone = _bulk(http, *({**pair, "profile_id": id_, "decision": None} for id_ in (ids[0], off_list)))
        assert [result["status"] for result in undone] == ["updated", "updated"]
        assert http.get(f"/v1/demands/{demand}/decisions").json()["items"] == []


def test_a_known_expert_is_put_on_the_list_by_hand(server: Server, source: str) -> None:
    with server.client("staff") as http:
        known = create(http, "profiles", source=source, name="老朋友", summary="草鱼养殖。")["id"]
        demand, _, _ = _demand_with_list(http, source)
        answer = http.post(f"/v1/demands/{demand}/matches", json={"profile_id": known, "reason": "曾合作"})
        made = answer.raise_for_status().json()
        assert made["items"][0]["profile"]["id"] == known
        assert made["items"][0]["decision"] == "pinned"
        assert _shown(http, demand)[0] == (known, "pinned")
        assert len(_shown(http, demand)) > 1
        (decision,) = http.get(f"/v1/demands/{demand}/decisions").json()["items"]
        assert (decision["profile_name"], decision["reason"]) == ("老朋友", "曾合作")
        changes = http.get(f"/v1/match-runs/{made['run_id']}/changes").json()["items"][0]
        (entered,) = [entry for entry in changes["entered"] if entry["profile_id"] == known]
        assert [cause["code"] for cause in entered["causes"]] == ["pinned"]


def test_a_profile_that_may_not_be_proposed_is_not_put_on_the_list(server: Server, source: str) -> None:
    with server.client("staff") as http:
        demand, ids, match_ids = _demand_with_list(http, source)
        before = _shown(http, demand)
        away = create(http, "profiles", source=source, available_from="2999-01-01")["id"]
        problem = assert_problem(
            http.post(f"/v1/demands/{demand}/matches", json={"profile_id": away}), 409, "may_not_be_proposed"
        )
        assert [error["code"] for error in problem["errors"]] == ["unavailable"]
        missing = http.post(f"/v1/demands/{demand}/matches", json={"profile_id": UNKNOWN_ID})
        assert_problem(missing, 404, "profile_not_found")
        assert _shown(http, demand) == before
        http.put(f"/v1/matches/{match_ids[ids[0]]}/decision", json={"decision": "rejected"}).raise_for_status()
        problem = assert_problem(
            http.post(f"/v1/demands/{demand}/matches", json={"profile_id": ids[0]}), 409, "may_not_be_proposed"
        )
        assert [error["code"] for error in problem["errors"]] == ["rejected"]
