"""Many questions at the same time: each is answered or asked to come back, and the server stays well."""

import asyncio

import httpx
from conftest import Server
from http_checks import assert_problem, create, match, profile_ids

N_QUESTIONS = 200
N_PROFILES = 100
QUESTION = {"query": {"title": "谐波减速器柔轮疲劳寿命", "must_have": ["谐波减速器"]}, "top_k": N_PROFILES}


async def _rush(server: Server) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """The answers to all questions, asked at once, and to whether the process is alive, asked until then."""
    with server.client("staff") as keyed:
        authorization = {"Authorization": keyed.headers["authorization"]}
    async with httpx.AsyncClient(
        base_url=server.base_url,
        headers=authorization,
        limits=httpx.Limits(max_connections=N_QUESTIONS + 1),
        timeout=300,
        trust_env=False,
    ) as http:
        asked = asyncio.gather(*(http.post("/v1/matches", json=QUESTION) for _ in range(N_QUESTIONS)))
        alive = [await http.get("/health/live")]
        while not asked.done():
            alive.append(await http.get("/health/live"))
        return await asked, alive


def test_a_rush_is_answered_or_asked_to_come_back(server: Server, source: str) -> None:
    items = [
        {"source": source, "external_id": str(n), "kind": "expert", "name": "甲", "summary": f"谐波减速器柔轮疲劳{n}"}
        for n in range(N_PROFILES)
    ]
    with server.client() as http:
        http.post("/v1/profiles/bulk", json={"items": items}).raise_for_status()
        match(http, **QUESTION)  # the index has seen them all
        answers, alive = asyncio.run(_rush(server))
        wanted = create(http, "profiles", source=source, summary="谐波减速器")["id"]
        assert profile_ids(match(http, **QUESTION, candidates=[wanted])) == [wanted]
    assert {answer.status_code for answer in alive} == {200}
    assert 200 in {answer.status_code for answer in answers}
    for answer in answers:
        if answer.status_code == 200:
            assert len(answer.json()["items"]) == N_PROFILES
        else:
            assert_problem(answer, 503, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
