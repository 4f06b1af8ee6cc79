"""One demand over HTTP from its draft to the end, by everybody who has a part in it, on both databases."""

from datetime import timedelta
from typing import Any

from conftest import Server
from http_checks import assert_problem, create, match, move, read_all

from matching_service.foundation.clock import today

FORM = {
    "title": "谐波减速器柔轮疲劳开裂", "problem": "运行约5000小时后齿根出现裂纹。", "key_technology": "疲劳寿命≥10000 h",
    "keywords": ["谐波减速器", "柔轮"], "cooperation": "joint", "region": "440605", "funding_wan": 80,
}  # fmt: skip
CLUSTER = "泛家居"
CONTACT = {"person": "陈工", "mobile": "13000000000", "email": "chen@example.org"}
SHEET = {"feasibility": 26, "targets": 20, "team": 18, "price": 10, "schedule": 8}


def _publish(portal: Any, staff: Any, public: Any, source: str) -> str:
    """The enterprise fills its form, is told all that is missing, and once to say more; then it is on the list."""
    enterprise = create(portal, "organizations", source=source)["id"]
    made = portal.post("/v1/demands", json={"title": FORM["title"], "source": source, "cluster": CLUSTER})
    demand: str = made.raise_for_status().json()["id"]
    path = f"/v1/demands/{demand}"
    early = portal.post(f"{path}/transitions", json={"to": "submitted"})
    assert len(assert_problem(early, 422, "form_incomplete")["errors"]) > 3
    portal.patch(path, json=FORM | {"organization_id": enterprise}).raise_for_status()
    portal.put(f"{path}/contact", json=CONTACT).raise_for_status()
    move(portal, demand, "submitted")
    move(staff, demand, "returned", opinion="请补充工况")
    portal.patch(path, json={"problem": "额定负载下运行约5000小时后齿根出现裂纹。"}).raise_for_status()
    move(portal, demand, "submitted")
    assert public.get(f"/v1/board/{demand}").status_code == 404
    move(staff, demand, "reviewed", "published")
    shown = public.get(f"/v1/board/{demand}").raise_for_status()
    assert CONTACT["mobile"] not in shown.text
    assert enterprise not in shown.text
    return demand


def _find(portal: Any, staff: Any, demand: str, source: str) -> str:
    """The expert is found, pinned, and visited."""
    expert: str = create(portal, "profiles", source=source, name="卓砺川", summary="谐波减速器柔轮疲劳")["id"]
    listed = match(staff, demand_id=demand, candidates=[expert], store=True)["items"]
    staff.put(f"/v1/matches/{listed[0]['match_id']}/decision", json={"decision": "pinned"}).raise_for_status()
    visit = {"kind": "visit", "demand_id": demand, "profile_id": expert, "held_on": f"{today()}"}
    staff.post("/v1/engagements", json=visit).raise_for_status()
    return expert


def _choose(portal: Any, staff: Any, demand: str, expert: str) -> str:
    """Two offer, one is chosen, and nobody comes too late; the contract's number."""
    offer: dict[str, Any] = {"demand_id": demand, "offer": "六个月给出样机", "price_wan": 60}
    best = portal.post("/v1/claims", json=offer | {"profile_id": expert}).raise_for_status().headers["location"]
    rival, latecomer = [create(portal, "organizations")["id"] for _ in range(2)]
    other = portal.post("/v1/claims", json=offer | {"organization_id": rival}).raise_for_status()
    staff.put(f"{best}/scores", json={"points": SHEET}).raise_for_status()
    number = f"FS-{demand[:8]}"
    staff.post(f"{best}/transitions", json={"to": "chosen", "contract_number": number}).raise_for_status()
    assert staff.get(best).json()["score"] == sum(SHEET.values())
    won, lost = [portal.get(where).raise_for_status().json() for where in (best, other.headers["location"])]
    assert (won["status"], lost["status"], lost["opinion"]) == ("chosen", "not_chosen", "需求已签约")
    assert "score" not in won
    assert "n_sheets" not in won
    for office in (f"{best}/scores", "/v1/claims"):
        assert_problem(portal.get(office), 403, "forbidden")
    late = portal.post("/v1/claims", json=offer | {"organization_id": latecomer})
    assert_problem(late, 409, "demand_not_open")
    return number


def _carry_out(staff: Any, demand: str) -> dict[str, Any]:
    """The project is filled, late, done, accepted, and then closed for good; as it was accepted."""
    (project,) = read_all(staff, "/v1/projects", demand_id=demand)
    where = f"/v1/projects/{project['id']}"
    move(staff, demand, "in_progress")
    due = {"title": "样机", "due_on": f"{today() - timedelta(days=1)}"}
    milestone = staff.post(f"{where}/milestones", json=due).raise_for_status()
    overdue = staff.get("/v1/projects/overdue", params={"limit": 200}).json()["items"]
    assert (milestone.json()["id"], 1) in [(one["id"], one["days"]) for one in overdue]
    staff.patch(milestone.headers["location"], json={"done_on": f"{today()}"}).raise_for_status()
    staff.patch(where, json={"results": "样机两台，寿命 11200 h"}).raise_for_status()
    move(staff, demand, "accepted", opinion="达到指标")
    accepted: dict[str, Any] = staff.get(where).raise_for_status().json()
    move(staff, demand, "closed")
    assert_problem(staff.patch(where, json={"results": "x"}), 409, "project_closed")
    return accepted


def _counted(staff: Any) -> dict[str, float]:
    """The figures of the cluster in this year's report."""
    report = staff.get(f"/v1/reports/{today():%Y}").raise_for_status().json()
    rows = [row for row in report["by_cluster"] if row["cluster"] == CLUSTER]
    return {name: value for row in rows for name, value in row.items() if isinstance(value, int | float)}


def _served(staff: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_all(staff, "/v1/targets/enterprises/records", cluster=CLUSTER)
    return found


def test_a_demand_goes_from_its_draft_to_an_accepted_project_and_into_the_report(server: Server, source: str) -> None:
    with server.client("portal") as portal, server.client("staff") as staff, server.client("") as public:
        before, served_before = _counted(staff), _served(staff)
        demand = _publish(portal, staff, public, source)
        expert = _find(portal, staff, demand, source)
        number = _choose(portal, staff, demand, expert)
        assert public.get(f"/v1/board/{demand}").status_code == 404
        project = _carry_out(staff, demand)
        steps = staff.get(f"/v1/demands/{demand}/history").raise_for_status().json()["items"]
        counted = {name: value - before.get(name, 0) for name, value in _counted(staff).items()}
        served = [one for one in _served(staff) if one not in served_before]
    assert (project["status"], project["contract_number"], project["contract_amount_wan"]) == ("accepted", number, 60)
    assert [partner["profile_id"] for partner in project["partners"]] == [expert]
    assert [milestone["state"] for milestone in project["milestones"]] == ["done"]
    assert (project["acceptance"]["opinion"], project["results"]) == ("达到指标", "样机两台，寿命 11200 h")
    assert [step["to"] for step in steps if step["from"] is not None] == [
        "submitted", "returned", "submitted", "reviewed", "published", "matching", "contracted", "in_progress",
        "accepted", "closed",
    ]  # fmt: skip
    for stage in ("intake", "published", "matched", "contracted", "accepted"):
        assert counted[stage] == 1
    assert (counted["funding_wan"], counted["contracted_wan"], counted["abandoned"]) == (80, 60, 0)
    assert [one["entity"] for one in served] == ["engagement"]
