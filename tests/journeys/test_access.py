"""Who may do what over HTTP: keys that are missing, wrong, expired or revoked, and the policy table on real routes."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, in_database, is_chinese, with_ids
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import COMMAND_LINE, POLICIES, Action, Role
from matching_service.access.service import create_key, revoke_key
from matching_service.foundation.clock import new_id, now

# One request per action. The records do not exist, so whoever may do it is told 404 or 422 and nothing changes.
REQUESTS: dict[Action, tuple[str, str, Any]] = {
    Action.ORGANIZATION_READ: ("GET", f"/v1/organizations/{UNKNOWN_ID}", None),
    Action.ORGANIZATION_WRITE: ("PATCH", f"/v1/organizations/{UNKNOWN_ID}", {}),
    Action.ORGANIZATION_MERGE: ("POST", f"/v1/organizations/{UNKNOWN_ID}/merge", {"into": "x"}),
    Action.DEMAND_READ: ("GET", f"/v1/demands/{UNKNOWN_ID}/history", None),
    Action.DEMAND_WRITE: ("PATCH", f"/v1/demands/{UNKNOWN_ID}", {}),
    Action.DEMAND_SUBMIT: ("POST", f"/v1/demands/{UNKNOWN_ID}/transitions", {"to": "submitted"}),
    Action.DEMAND_WITHDRAW: ("DELETE", f"/v1/demands/{UNKNOWN_ID}", None),
    Action.DEMAND_TRANSITION: ("POST", f"/v1/demands/{UNKNOWN_ID}/transitions", {"to": "published"}),
    Action.DEMAND_EXPIRE: ("POST", f"/v1/demands/{UNKNOWN_ID}/transitions", {"to": "expired"}),
    Action.DEMAND_CONTACT_READ: ("GET", f"/v1/demands/{UNKNOWN_ID}/contact", None),
    Action.DEMAND_CONTACT_WRITE: ("PUT", f"/v1/demands/{UNKNOWN_ID}/contact", {}),
    Action.PROFILE_READ: ("GET", f"/v1/profiles/{UNKNOWN_ID}", None),
    Action.PROFILE_WRITE: ("PATCH", f"/v1/profiles/{UNKNOWN_ID}", {}),
    Action.PROFILE_DELETE: ("DELETE", f"/v1/profiles/{UNKNOWN_ID}", None),
    Action.CONTACT_READ: ("GET", f"/v1/profiles/{UNKNOWN_ID}/contact", None),
    Action.CONTACT_WRITE: ("PUT", f"/v1/profiles/{UNKNOWN_ID}/contact", {}),
    Action.SUGGESTION_READ: ("GET", f"/v1/suggestions/{UNKNOWN_ID}", None),
    Action.SUGGESTION_WRITE: ("POST", "/v1/suggestions", {"demand_id": UNKNOWN_ID, "profile_id": UNKNOWN_ID}),
    Action.CLAIM_READ: ("GET", f"/v1/claims/{UNKNOWN_ID}", None),
    Action.CLAIM_READ_OFFICE: ("GET", f"/v1/claims/{UNKNOWN_ID}/scores", None),
    Action.CLAIM_WRITE: ("POST", f"/v1/claims/{UNKNOWN_ID}/transitions", {"to": "withdrawn"}),
    Action.CLAIM_JUDGE: ("POST", f"/v1/claims/{UNKNOWN_ID}/transitions", {"to": "chosen"}),
    Action.PROJECT_READ: ("GET", f"/v1/projects/{UNKNOWN_ID}", None),
    Action.PROJECT_WRITE: ("PATCH", f"/v1/projects/{UNKNOWN_ID}", {}),
    Action.ENGAGEMENT_READ: ("GET", f"/v1/engagements/{UNKNOWN_ID}", None),
    Action.ENGAGEMENT_WRITE: ("PATCH", f"/v1/engagements/{UNKNOWN_ID}", {}),
    Action.PROGRAMME_READ: ("GET", f"/v1/programme-records/{UNKNOWN_ID}", None),
    Action.PROGRAMME_WRITE: ("PATCH", f"/v1/programme-records/{UNKNOWN_ID}", {}),
    Action.REPORT_READ: ("GET", "/v1/reports/2020-01", None),
    Action.MATCH: ("POST", "/v1/matches", {"demand_id": UNKNOWN_ID}),
    Action.MATCH_STORE: ("POST", "/v1/matches", {"demand_id": UNKNOWN_ID, "store": True}),
    Action.MATCH_READ: ("GET", f"/v1/demands/{UNKNOWN_ID}/matches", None),
    Action.MATCH_DECIDE: ("PUT", f"/v1/matches/{UNKNOWN_ID}/decision", {"decision": "pinned"}),
    Action.RUN_START: ("POST", f"/v1/match-runs/{UNKNOWN_ID}/cancel", None),
    Action.IMPORT: ("GET", f"/v1/imports/{UNKNOWN_ID}", None),
    Action.AUDIT_READ: ("GET", "/v1/audit", None),
    Action.WEBHOOK_MANAGE: ("GET", f"/v1/webhooks/{UNKNOWN_ID}", None),
    Action.FEED_READ: ("GET", "/v1/feed?limit=1", None),
    Action.FEED_READ_OFFICE: ("GET", "/v1/feed?entity=match&limit=1", None),
    Action.RUN_READ: ("GET", f"/v1/match-runs/{UNKNOWN_ID}", None),
}


def _new_key(server: Server, *, expires_at: datetime | None = None) -> tuple[str, str]:
    """Id and key of a new administrator."""

    async def make(session: AsyncSession) -> tuple[str, str]:
        row, key = await create_key(session, name=new_id(), role=Role.ADMIN, expires_at=expires_at, actor=COMMAND_LINE)
        return row.id, key

    return in_database(server, make)


def _routes(http: httpx.Client) -> list[tuple[str, str]]:
    """Every operation under /v1 that the service publishes, with an id put into its path."""
    paths = http.get("/openapi.json").raise_for_status().json()["paths"]
    found: list[tuple[str, str]] = []
    for path, operations in paths.items():
        if path.startswith("/v1"):
            found += [(method.upper(), with_ids(path)) for method in operations]
    return found


def test_no_route_but_the_public_list_answers_without_a_key(server: Server) -> None:
    with server.client("") as http:
        routes = [(method, path) for method, path in _routes(http) if not path.startswith("/v1/board")]
        answers = {route: http.request(*route, json=None if route[0] == "GET" else {}) for route in routes}
    assert len(answers) > 20
    for answer in answers.values():
        body = assert_problem(answer, 401, "key_missing")
        assert is_chinese(body["detail"])
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("Bearer", "key_missing"),
        ("Basic YTpi", "key_missing"),
        ("Bearer mk_unknown", "key_unknown"),
        ("Bearer a b c", "key_unknown"),
        (b"Bearer \xe8\xb0\x90", "key_unknown"),
    ],
)
def test_a_wrong_key_is_refused(server: Server, authorization: Any, code: str) -> None:
    with server.client("") as http:
        answer = http.get("/v1/demands", headers={"authorization": authorization})
    assert_problem(answer, 401, code)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_expired_key_is_refused(server: Server) -> None:
    _, key = _new_key(server, expires_at=now() - timedelta(seconds=1))
    with server.client("", authorization=f"Bearer {key}") as http:
        assert_problem(http.get("/v1/demands"), 401, "key_expired")


def test_a_key_that_will_expire_is_good_until_then(server: Server) -> None:
    _, key = _new_key(server, expires_at=now() + timedelta(days=1))
    with server.client("", authorization=f"Bearer {key}") as http:
        assert http.get("/v1/demands").status_code == 200


def test_a_revoked_key_is_refused_from_the_next_request_on(server: Server) -> None:
    key_id, key = _new_key(server)
    with server.client("", authorization=f"Bearer {key}") as http:
        assert http.get("/v1/demands").status_code == 200
        in_database(server, lambda session: revoke_key(session, key_id, actor=COMMAND_LINE))
        assert_problem(http.get("/v1/demands"), 401, "key_revoked")


def test_the_table_above_names_every_action() -> None:
    assert set(REQUESTS) == set(Action) == set(POLICIES)


@pytest.mark.parametrize("role", list(Role), ids=str)
@pytest.mark.parametrize("action", list(Action), ids=str)
def test_a_role_may_do_exactly_what_the_policies_say(server: Server, action: Action, role: Role) -> None:
    method, path, body = REQUESTS[action]
    with server.client(role) as http:
        answer = http.request(method, path, json=body)
    if role in POLICIES[action]:
        assert answer.status_code in {200, 404}, answer.text
        return
    problem = assert_problem(answer, 403, "forbidden")
    for allowed in POLICIES[action]:
        assert allowed in problem["detail"]


def test_starting_a_run_is_refused_before_its_body_is_looked_at(server: Server) -> None:
    with server.client("portal") as http:
        assert_problem(http.post("/v1/match-runs", json={"scope": "nonsense"}), 403, "forbidden")


def test_a_refusal_speaks_english_when_asked(server: Server) -> None:
    with server.client("portal", **{"accept-language": "en"}) as http:
        problem = assert_problem(http.delete(f"/v1/profiles/{UNKNOWN_ID}"), 403, "forbidden")
    assert problem["detail"] == "Role portal may not do profile:delete; roles that may: admin, staff."
