"""Who wrote what is a reference to a principal, whatever names people give to keys, judges and colleagues."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import assert_problem, create, in_database, publish
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key, renew_key, revoke_key
from matching_service.foundation.clock import today

SHEET = {"feasibility": 26, "targets": 20, "team": 18, "price": 10, "schedule": 8}
OTHER_SHEET = dict.fromkeys(SHEET, 0)


def new_key(server: Server, name: str, role: Role = Role.STAFF) -> tuple[str, str]:
    """Id and key."""

    async def make(session: AsyncSession) -> tuple[str, str]:
        row, key = await create_key(session, name=name, role=role, expires_at=None, actor=COMMAND_LINE)
        return row.id, key

    return in_database(server, make)


@pytest.fixture
def colleagues(server: Server, source: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two people of the office, 甲 and 乙, each with a key of that name (made unlike others by the source)."""
    with ExitStack() as stack:
        yield tuple(  # type: ignore[misc]
            stack.enter_context(
                server.client("", authorization=f"Bearer {new_key(server, name_of(person, source))[1]}")
            )
            for person in "甲乙"
        )


def name_of(person: str, source: str) -> str:
    return f"{person} {source}"


def claim(http: httpx.Client, source: str) -> str:
    demand_id = create(http, "demands", source=source)["id"]
    publish(http, demand_id)
    profile_id = create(http, "profiles", source=source)["id"]
    made = http.post("/v1/claims", json={"demand_id": demand_id, "profile_id": profile_id, "offer": "六个月"})
    return f"/v1/claims/{made.raise_for_status().json()['id']}"


def judge(http: httpx.Client, path: str, points: dict[str, int], name: str | None = None) -> dict[str, Any]:
    answer = http.put(f"{path}/scores", json={"points": points, "judge": name})
    sheet: dict[str, Any] = answer.raise_for_status().json()
    return sheet


def test_nobody_replaces_the_sheet_of_another(colleagues: tuple[httpx.Client, httpx.Client], source: str) -> None:
    first, second = colleagues
    path = claim(first, source)
    own = judge(first, path, SHEET)
    assert own["judge"] == name_of("甲", source)
    other = judge(second, path, OTHER_SHEET, own["judge"])
    assert other["actor_id"] != own["actor_id"]
    sheets = first.get(f"{path}/scores").json()["items"]
    assert [(sheet["actor_id"], sheet["total"]) for sheet in sheets] == [
        (own["actor_id"], 82),
        (other["actor_id"], 0),
    ]
    assert first.get(path).json()["score"] == 41


def test_a_judge_replaces_their_own_sheet_and_enters_one_for_each_guest(
    colleagues: tuple[httpx.Client, httpx.Client], source: str
) -> None:
    first, _ = colleagues
    path = claim(first, source)
    judge(first, path, OTHER_SHEET)
    judge(first, path, SHEET, name_of("甲", source))  # the same as without a name
    for points in (OTHER_SHEET, SHEET):
        judge(first, path, points, "外请专家")
    sheets = first.get(f"{path}/scores").json()["items"]
    assert [(sheet["judge"], sheet["total"]) for sheet in sheets] == [(name_of("甲", source), 82), ("外请专家", 82)]


def test_a_key_of_the_same_name_with_another_role_is_somebody_else(
    server: Server, colleagues: tuple[httpx.Client, httpx.Client], source: str
) -> None:
    first, _ = colleagues
    path = claim(first, source)
    judge(first, path, SHEET)
    _, key = new_key(server, name_of("甲", source), Role.ADMIN)
    with server.client("", authorization=f"Bearer {key}") as administrator:
        judge(administrator, path, OTHER_SHEET)
    assert [sheet["total"] for sheet in first.get(f"{path}/scores").json()["items"]] == [82, 0]


def test_whoever_renews_a_key_stays_who_they_are(server: Server, source: str) -> None:
    key_id, key = new_key(server, source)

    async def renew(session: AsyncSession) -> str:
        return (await renew_key(session, key_id, expires_at=None, actor=COMMAND_LINE))[1]

    renewed = in_database(server, renew)
    keyed: dict[str, Any] = {"headers": {"Idempotency-Key": source}, "json": {"title": "泵", "source": source}}
    with ExitStack() as stack:
        before, after = (
            stack.enter_context(server.client("", authorization=f"Bearer {one}")) for one in (key, renewed)
        )
        path = claim(before, source)
        own = judge(before, path, OTHER_SHEET)
        assert judge(after, path, SHEET)["actor_id"] == own["actor_id"]
        assert [sheet["total"] for sheet in before.get(f"{path}/scores").json()["items"]] == [82]
        visit = plan(before)
        assert calendar(after) == [visit["id"]]
        first, again = (http.post("/v1/demands", **keyed) for http in (before, after))
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        in_database(server, lambda session: revoke_key(session, key_id, actor=COMMAND_LINE))
        assert_problem(before.get("/v1/demands"), 401, "key_revoked")
        assert calendar(after) == [visit["id"]]


def plan(http: httpx.Client, staff: str | None = None) -> dict[str, Any]:
    """A visit today."""
    body = {"kind": "visit", "held_on": f"{today()}", "staff": staff}
    made: dict[str, Any] = http.post("/v1/engagements", json=body).raise_for_status().json()
    return made


def calendar(http: httpx.Client, staff: str | None = None) -> list[str]:
    parameters = {"staff": staff} if staff else {}
    days = http.get("/v1/calendar", params=parameters).raise_for_status().json()
    return [item["engagement"]["id"] for item in days["items"]]


def test_a_calendar_is_of_a_person_and_not_of_a_name(
    server: Server, colleagues: tuple[httpx.Client, httpx.Client], source: str
) -> None:
    first, second = colleagues
    name = name_of("甲", source)
    own, planned = plan(first), plan(second, name)
    assert (own["staff"], planned["staff"]) == (name, name)
    assert planned["staff_id"] == own["staff_id"] is not None
    assert calendar(first) == calendar(second, name) == [own["id"], planned["id"]]
    assert calendar(second) == []
    _, key = new_key(server, name, Role.ADMIN)
    with server.client("", authorization=f"Bearer {key}") as namesake:
        assert calendar(namesake) == []
        unclear = plan(second, name)  # two have this name now, so that both are shown it
        assert unclear["staff_id"] is None
        assert calendar(namesake) == [unclear["id"]]
        assert calendar(first) == [own["id"], planned["id"], unclear["id"]]
        mine = plan(namesake, name)
        assert mine["staff_id"] not in {None, own["staff_id"]}
        assert calendar(namesake) == [unclear["id"], mine["id"]]


def test_an_engagement_is_handed_to_a_colleague_or_to_somebody_without_a_key(
    colleagues: tuple[httpx.Client, httpx.Client], source: str
) -> None:
    first, second = colleagues
    visit = plan(first)
    path = f"/v1/engagements/{visit['id']}"
    handed = first.patch(path, json={"staff": name_of("乙", source)}).raise_for_status().json()
    assert handed["staff_id"] not in {None, visit["staff_id"]}
    assert (calendar(first), calendar(second)) == ([], [visit["id"]])
    guest = second.patch(path, json={"staff": f"丙 {source}"}).raise_for_status().json()
    assert (guest["staff"], guest["staff_id"]) == (f"丙 {source}", None)
    assert (calendar(second), calendar(second, f"丙 {source}")) == ([], [visit["id"]])
