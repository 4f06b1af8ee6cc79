"""Two servers on one database: what is written through one is found through the other, by the next match."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Cli, Server, serving
from http_checks import assert_problem, create, match, profile_ids, publish

LONG_ENOUGH_S = 120
"""For a machine with much else to do; nothing here is a measurement."""


@pytest.fixture(scope="module")
def other(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A second server on the same machine: it shares database and data folder with the first."""
    with serving(server.cli, tmp_path_factory.mktemp("other") / "server.log") as base_url:
        yield replace(server, base_url=base_url)


def written(response: httpx.Response) -> tuple[dict[str, Any], int]:
    """The answer of a write, and the number of the change."""
    body: dict[str, Any] = response.raise_for_status().json() if response.content else {}
    return body, int(response.headers["X-As-Of"])


def profile(source: str, summary: str, **values: Any) -> dict[str, Any]:
    return {"kind": "expert", "name": "卓砺川", "source": source, "clusters": [source], "summary": summary} | values


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_ENOUGH_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ready(http: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = http.get("/health/ready").raise_for_status().json()
    return answer


def assert_followed(server: Server, other: Server, source: str) -> None:
    """A profile is found, changed and gone through the other server."""
    with server.client() as here, other.client() as there:

        def ask(title: str, seq: int) -> list[dict[str, Any]]:
            answer = match(there, query={"title": title}, clusters=[source], with_none=True, min_as_of=seq)
            assert answer["index"]["pending_vectors"] == 0
            assert answer["index"]["as_of"] >= seq
            items: list[dict[str, Any]] = answer["items"]
            return items

        made, seq = written(here.post("/v1/profiles", json=profile(source, "钢包底吹氩透气砖侵蚀")))
        (found,) = ask("透气砖侵蚀", seq)
        assert found["profile"]["id"] == made["id"]
        assert {part["signal"] for part in found["explanation"]["parts"]} >= {"lexical", "semantic"}
        path = f"/v1/profiles/{made['id']}"

        works = [{"kind": "paper", "title": "海水淡化膜污染清洗", "year": 2024}]
        _, seq = written(here.patch(path, json={"works": works}))
        (found,) = ask("淡化膜污染", seq)
        assert found["explanation"]["evidence"][0]["work_title"] == works[0]["title"]

        _, seq = written(here.patch(path, json={"summary": "古琴斫制髹漆", "works": []}))
        (found,) = ask("古琴髹漆", seq)
        assert found["level"] == "strong"
        (found,) = ask("淡化膜污染", seq)
        assert found["level"] == "none"

        _, seq = written(here.patch(path, json={"visibility": "hidden"}))
        assert ask("古琴髹漆", seq) == []
        _, seq = written(here.patch(path, json={"visibility": "public"}))
        assert len(ask("古琴髹漆", seq)) == 1

        gone = here.delete(path)
        assert gone.status_code == 204
        assert ask("古琴髹漆", written(gone)[1]) == []


def test_a_profile_is_found_changed_and_gone_through_the_other(server: Server, other: Server, source: str) -> None:
    assert_followed(server, other, source)
    assert_followed(other, server, source)


def test_servers_on_two_machines_follow_each_other(server: Server, source: str, tmp_path: Path) -> None:
    """They share a database and no data folder."""
    if server.backend == "sqlite":
        pytest.skip("SQLite is for one machine")
    environment = server.cli.environment | {"MATCHING_DATA_DIR": str(tmp_path / "data")}
    with serving(Cli(environment), tmp_path / "server.log") as base_url:
        elsewhere = replace(server, base_url=base_url)
        assert_followed(server, elsewhere, source)
        assert_followed(elsewhere, server, source)


def test_the_next_match_finds_it_by_its_words_without_being_asked_to_wait(
    server: Server, other: Server, source: str
) -> None:
    """And by its meaning once its vector is there."""
    with server.client() as here, other.client() as there:
        made = create(here, "profiles", **profile(source, "榫卯家具含水率平衡", clusters=[source]))
        answer = match(there, query={"title": "榫卯含水率"}, clusters=[source])
        assert profile_ids(answer) == [made["id"]]
        assert answer["index"]["as_of"] >= 1

        def has_meaning() -> bool:
            parts = match(there, query={"title": "榫卯含水率"}, clusters=[source])["items"][0]["explanation"]["parts"]
            return "semantic" in [part["signal"] for part in parts]

        wait_for(has_meaning)


def test_a_server_that_nobody_asks_follows_too(server: Server, other: Server, source: str) -> None:
    with server.client() as here, other.client("") as there:
        _, seq = written(here.post("/v1/profiles", json=profile(source, "蚕丝脱胶")))
        wait_for(lambda: ready(there)["index_as_of"] >= seq and ready(there)["index_pending_vectors"] == 0)
        assert ready(there)["index_behind"] == 0


def test_a_bulk_is_found_whole_and_its_vectors_are_there_when_they_were_waited_for(
    server: Server, other: Server, source: str
) -> None:
    items = [profile(source, f"稀土永磁电机退磁第{n}种工况", external_id=str(n)) for n in range(120)]
    with server.client() as here, other.client() as there:
        answer, seq = written(here.post("/v1/profiles/bulk", json={"items": items}))
        ids = {item["id"] for item in answer["items"]}
        at_once = match(there, query={"title": "永磁电机退磁"}, clusters=[source], top_k=200)
        assert set(profile_ids(at_once)) == ids
        wait_for(lambda: ready(there)["index_pending_vectors"] == 0)
        for http in (here, there):
            complete = match(http, query={"title": "永磁电机退磁"}, clusters=[source], top_k=200, min_as_of=seq)
            assert set(profile_ids(complete)) == ids
            assert complete["index"]["pending_vectors"] == 0
            assert {part["signal"] for item in complete["items"] for part in item["explanation"]["parts"]} >= {
                "semantic"
            }


def test_both_give_the_same_list_with_the_same_scores(server: Server, other: Server, source: str) -> None:
    """The second encodes what the first has not, or reads its vectors; both know the same frequencies or soon will."""
    with server.client() as here, other.client() as there:
        for n in range(5):
            _, seq = written(here.post("/v1/profiles", json=profile(source, f"高炉喷煤{'粉' * n}制备")))
        query = {"query": {"title": "高炉喷煤粉制备"}, "clusters": [source], "min_as_of": seq}

        def agree() -> bool:
            lists = [match(http, **query) for http in (here, there)]
            return lists[0]["items"] == lists[1]["items"] and len(lists[0]["items"]) == 5

        wait_for(agree)


def test_demands_are_followed_like_profiles(server: Server, other: Server, source: str) -> None:
    with server.client() as here, other.client() as there:
        first, second = (
            create(here, "demands", title=f"茶叶杀青{way}均匀性", source=source, external_id=way)
            for way in ("滚筒", "蒸汽")
        )
        publish(here, first["id"])
        made, seq = written(here.post("/v1/profiles", json=profile(source, "茶叶杀青滚筒")))
        similar = there.get(f"/v1/demands/{first['id']}/similar", params={"min_as_of": seq}).raise_for_status().json()
        assert second["id"] in [item["demand"]["id"] for item in similar["items"]]
        wanted = there.post(f"/v1/profiles/{made['id']}/matches", json={"min_as_of": seq}).raise_for_status().json()
        assert first["id"] in [item["demand"]["id"] for item in wanted["items"]]
        asked = {"demand_id": first["id"], "profile_id": made["id"], "min_as_of": seq}
        assert there.post("/v1/matches/explain", json=asked).raise_for_status().json()["score"] > 0


def test_a_change_that_does_not_come_is_said_to_be_missing(other: Server, source: str) -> None:
    if other.backend != "sqlite":
        pytest.skip("to wait for nothing once is enough")
    with other.client() as there:
        as_of = match(there, query={"title": "水泵"}, clusters=[source])["index"]["as_of"]
        never = there.post("/v1/matches", json={"query": {"title": "水泵"}, "min_as_of": 10**9})
        assert_problem(never, 503, "index_behind")
        again = match(there, query={"title": "水泵"}, clusters=[source], min_as_of=as_of)
        assert again["index"]["as_of"] >= as_of


@pytest.mark.parametrize("min_as_of", [-1, "soon", 1.5])
def test_what_is_no_number_of_a_change_is_refused(server: Server, min_as_of: Any) -> None:
    with server.client() as http:
        body = {"query": {"title": "水泵"}, "min_as_of": min_as_of}
        assert_problem(http.post("/v1/matches", json=body), 422, "invalid_body", "/min_as_of")
