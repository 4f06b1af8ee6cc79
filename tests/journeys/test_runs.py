"""Match runs over HTTP: started, watched, cancelled, resumed, compared with the run before."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
from conftest import Server
from http_checks import (
    assert_problem,
    create,
    finished_run,
    in_database,
    match,
    profile_ids,
    publish,
    read_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import day_of, now, today
from matching_service.runs.queries import get_run
from matching_service.store.shortlists import MatchListRow, MatchRunRow


def _run(http: httpx.Client) -> dict[str, Any]:
    started = http.post("/v1/match-runs", json={"scope": "open"})
    assert started.status_code == 202, started.text
    assert started.headers["location"] == f"/v1/match-runs/{started.json()['id']}"
    return finished_run(http, started.headers["location"])


def _changes(http: httpx.Client, run: dict[str, Any], demand_id: str) -> dict[str, Any] | None:
    changes = {one["demand_id"]: one for one in read_all(http, f"/v1/match-runs/{run['id']}/changes", limit=7)}
    return changes.get(demand_id)


_COPIED = (
    "top_k", "events_as_of", "index_version", "index_as_of", "index_profiles", "lexicon_version", "encoder_version",
    "weights_version", "frequencies_version", "stability",
)  # fmt: skip


@contextmanager
def _stopped_run(server: Server, http: httpx.Client, finished: dict[str, Any], demand_id: str) -> Iterator[str]:
    """A run as a process that died leaves it: running, made with the same as a finished one, and with one list."""

    async def insert(session: AsyncSession) -> str:
        like = await get_run(session, finished["id"])
        copied = {name: getattr(like, name) for name in _COPIED}
        moment = now() - timedelta(minutes=1)
        run = MatchRunRow(scope="open", state="running", created_at=moment, n_demands=9, **copied)
        session.add(run)
        await session.flush()
        as_of = {"events_as_of": like.events_as_of, "index_as_of": like.index_as_of, "ranked_on": day_of(moment)}
        session.add(MatchListRow(run_id=run.id, demand_id=demand_id, state="done", **as_of))
        return run.id

    run_id = in_database(server, insert)
    try:
        yield run_id
    finally:
        http.post(f"/v1/match-runs/{run_id}/cancel")


def test_a_second_run_is_refused_naming_the_first_until_that_is_cancelled(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source)["id"]
        with _stopped_run(server, http, _run(http), demand) as first:
            refused = assert_problem(http.post("/v1/match-runs", json={}), 409, "run_in_progress")
            assert f"/v1/match-runs/{first}/resume" in refused["detail"]
            assert f"/v1/match-runs/{first}/cancel" in refused["detail"]
            assert_problem(http.get(f"/v1/demands/{demand}/matches"), 404, "no_match_run")
            cancelled = http.post(f"/v1/match-runs/{first}/cancel")
            assert cancelled.status_code == 200
            assert cancelled.json()["state"] == "cancelled"
            assert cancelled.json()["finished_at"]
            assert http.get(f"/v1/match-runs/{first}").json() == cancelled.json()
            assert_problem(http.post(f"/v1/match-runs/{first}/cancel"), 409, "run_not_running")
        assert_problem(http.get(f"/v1/demands/{demand}/matches"), 404, "no_match_run")
        assert _run(http)["state"] == "finished"


def test_a_run_that_was_broken_off_is_told_from_a_living_one_and_completed(server: Server, source: str) -> None:
    with server.client("batch") as batch, server.client() as http:
        text = f"谐波减速器 {source}"
        profile = create(http, "profiles", source=source, summary=text)["id"]
        done, left = (create(http, "demands", source=source, title=text)["id"] for _ in range(2))
        for demand in (done, left):
            publish(http, demand)
        finished = _run(http)
        with _stopped_run(server, http, finished, done) as run_id:
            stopped = batch.get(f"/v1/match-runs/{run_id}").json()
            assert (stopped["state"], stopped["is_interrupted"], stopped["remaining_s"]) == ("running", True, None)
            resumed = batch.post(f"/v1/match-runs/{run_id}/resume")
            assert resumed.status_code == 202
            run = finished_run(batch, f"/v1/match-runs/{run_id}")
            assert (run["state"], run["is_interrupted"], run["n_failed"]) == ("finished", False, 0)
            assert run["n_demands"] == finished["n_demands"]
            assert run["n_done"] == finished["n_demands"] - 1
        assert http.get(f"/v1/demands/{done}/matches").json()["items"] == []  # as the first process left it
        assert profile_ids(http.get(f"/v1/demands/{left}/matches").json())[0] == profile


def test_a_finished_run_can_neither_be_cancelled_nor_resumed(server: Server) -> None:
    with server.client("batch") as http:
        run = _run(http)
        for step in ("cancel", "resume"):
            problem = assert_problem(http.post(f"/v1/match-runs/{run['id']}/{step}"), 409, "run_not_running")
            assert run["id"] in problem["detail"]
            assert "finished" in problem["detail"]


def test_a_run_ranks_the_open_demands_and_says_how_far_it_is(server: Server, source: str) -> None:
    with server.client() as http:
        text = f"谐波减速器 {source}"
        profile = create(http, "profiles", source=source, summary=text)["id"]
        demands = {state: create(http, "demands", source=source, title=text)["id"] for state in ("draft", "open")}
        publish(http, demands["open"])
        run = _run(http)
        listed = http.get(f"/v1/demands/{demands['open']}/matches").raise_for_status().json()
        now_ranked = match(http, demand_id=demands["open"])
        assert_problem(http.get(f"/v1/demands/{demands['draft']}/matches"), 404, "no_match_run")
    assert (run["scope"], run["state"], run["n_failed"]) == ("open", "finished", 0)
    assert run["n_done"] == run["n_demands"] >= 1
    assert run["created_at"] <= run["heartbeat_at"] <= run["finished_at"]
    assert (run["is_interrupted"], run["remaining_s"], run["estimated_finish_at"]) == (False, None, None)
    assert listed["run_id"] == run["id"]
    assert profile_ids(listed)[0] == profile
    assert profile_ids(listed) == profile_ids(now_ranked)
    assert [item["score"] for item in listed["items"]] == [item["score"] for item in now_ranked["items"]]


def test_a_run_says_what_changed_since_the_list_before(server: Server, source: str) -> None:
    with server.client() as http:
        text = f"谐波减速器 {source}"
        demand = create(http, "demands", source=source, title=text)["id"]
        publish(http, demand)
        first_profile = create(http, "profiles", source=source, summary=text)["id"]
        first = _changes(http, _run(http), demand)
        unchanged = _changes(http, _run(http), demand)
        second_profile = create(http, "profiles", source=source, name=text, kind="team", summary=text, keywords=[text])[
            "id"
        ]
        http.delete(f"/v1/profiles/{first_profile}").raise_for_status()
        third_run = _run(http)
        third = _changes(http, third_run, demand)
        listed = http.get(f"/v1/demands/{demand}/matches").json()
    assert first is not None
    assert (first["entered"][0]["profile_id"], first["entered"][0]["rank"]) == (first_profile, 1)
    assert first["entered"][0]["causes"][0]["code"] == "first_list"
    assert (first["left"], first["moved"]) == ([], [])
    assert unchanged is None
    assert third is not None
    entered, left = third["entered"][0], third["left"][0]
    assert (entered["profile_id"], entered["name"]) == (second_profile, text)
    assert entered["rank"] == profile_ids(listed).index(second_profile) + 1
    assert [cause["code"] for cause in entered["causes"]] == ["new_profile"]
    assert (left["profile_id"], left["name"], left["rank"]) == (None, None, 1)
    assert left["causes"] == [
        {"code": "deleted", "fields": [], "works": [], "zh": "画像已删除。", "en": "The profile was deleted."}
    ]
    assert first_profile not in str(third)


def test_a_run_over_what_changed_keeps_the_other_lists(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source, title=f"谐波减速器 {source}")["id"]
        publish(http, demand)
        full = _run(http)
        answer = http.post("/v1/match-runs", json={"scope": "changed"})
        assert answer.status_code == 202
        nothing_changed = finished_run(http, answer.headers["location"])
        assert (nothing_changed["scope"], nothing_changed["state"]) == ("changed", "finished")
        assert nothing_changed["n_demands"] == full["n_demands"]
        assert (nothing_changed["n_done"], nothing_changed["n_kept"]) == (0, full["n_demands"])
        assert http.get(f"/v1/demands/{demand}/matches").json()["run_id"] == full["id"]
        assert read_all(http, f"/v1/match-runs/{nothing_changed['id']}/changes") == []
        assert read_all(http, f"/v1/match-runs/{nothing_changed['id']}/failures") == []


def test_who_refuses_leaves_the_list_until_asked_again(server: Server, source: str) -> None:
    with server.client() as http:
        text = f"谐波减速器 {source}"
        demand = create(http, "demands", source=source, title=text)["id"]
        publish(http, demand)
        profile = create(http, "profiles", source=source, summary=text)["id"]
        _run(http)
        path = http.post("/v1/suggestions", json={"demand_id": demand, "profile_id": profile}).headers["location"]
        reasons: list[list[str]] = []
        for steps in (("contacted", "no_answer"), ("contacted",)):
            for to in steps:
                http.post(f"{path}/transitions", json={"to": to}).raise_for_status()
            started = http.post("/v1/match-runs", json={"scope": "changed"})
            changes = _changes(http, finished_run(http, started.headers["location"]), demand)
            assert changes is not None
            reasons += [
                [cause["code"] for cause in one["causes"]]
                for one in changes["left"] + changes["entered"]
                if one["profile_id"] == profile
            ]
    assert reasons == [["refused"], ["asked_again"]]


def test_the_changes_of_one_demands_own_list_are_read_too(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source)["id"]
        profiles = [create(http, "profiles", source=source, summary="谐波减速器")["id"] for _ in range(2)]
        match(http, demand_id=demand, candidates=profiles, store=True)
        second = match(http, demand_id=demand, candidates=profiles[:1], store=True)
        changes = http.get(f"/v1/match-runs/{second['run_id']}/changes").raise_for_status().json()
    left = [place["profile_id"] for place in changes["items"][0]["left"]]
    assert left == [profiles[1]]
    assert changes["items"][0]["entered"] == []
    assert changes["next_cursor"] is None


def test_what_changed_since_a_moment_in_all_demands(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source, title="减速器")["id"]
        profiles = [create(http, "profiles", source=source, summary="谐波减速器")["id"] for _ in range(2)]
        match(http, demand_id=demand, candidates=profiles, store=True)
        second = match(http, demand_id=demand, candidates=profiles[:1], store=True)
        at = http.get(f"/v1/match-runs/{second['run_id']}").json()["finished_at"]
        newest = http.get("/v1/changes", params={"since": at}).raise_for_status().json()["items"][-1]
        by_day = read_all(http, "/v1/changes", since=f"{today()}")
        before = read_all(http, "/v1/changes", since="2999-01-01")
        for wrong in ("", "yesterday", "2026-11-30T08:00:00"):
            assert_problem(http.get("/v1/changes", params={"since": wrong}), 422, "invalid_parameter", "since")
    assert (newest["demand_id"], newest["demand_title"], newest["run_id"]) == (demand, "减速器", second["run_id"])
    assert newest["left"][0]["profile_id"] == profiles[1]
    assert next(one["run_id"] for one in by_day if one["demand_id"] == demand) == second["run_id"]
    assert before == []


def test_runs_are_listed_with_the_newest_first(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source, title="减速器")["id"]
        own = [match(http, demand_id=demand, store=True)["run_id"] for _ in range(2)]
        _run(http)
        every = [run["id"] for run in read_all(http, "/v1/match-runs", scope="demand", state="finished")]
        (newest,) = http.get("/v1/match-runs", params={"limit": 1}).json()["items"]
        assert_problem(http.get("/v1/match-runs", params={"state": "ended"}), 422, "invalid_parameter", "state")
    assert every[:2] == own[::-1]
    assert (newest["scope"], newest["state"]) == ("open", "finished")


def test_decisions_survive_a_run(server: Server, source: str) -> None:
    with server.client() as http:
        text = f"谐波减速器 {source}"
        demand = create(http, "demands", source=source, title=text)["id"]
        publish(http, demand)
        good = create(http, "profiles", source=source, summary=text)["id"]
        far = create(http, "profiles", source=source, kind="society", name="养殖", summary="草鱼饲料配方")["id"]
        items = match(http, demand_id=demand, candidates=[good, far], store=True)["items"]
        for item in items:
            decision = "rejected" if item["profile"]["id"] == good else "pinned"
            http.put(f"/v1/matches/{item['match_id']}/decision", json={"decision": decision}).raise_for_status()
        _run(http)
        listed = http.get(f"/v1/demands/{demand}/matches").json()
    assert good not in profile_ids(listed)
    assert {item["profile"]["id"]: item["decision"] for item in listed["items"]}[far] == "pinned"
