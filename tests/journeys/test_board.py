"""The bounty list over HTTP: read by everybody, claimed by one, and nothing confidential on it."""

from typing import Any
from xml.etree import ElementTree as ET

from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, move, publish

BOARD, CLAIMS = "/v1/board", "/v1/claims"
SHEET = {"feasibility": 26, "targets": 20, "team": 18, "price": 10, "schedule": 8}


def _listed(server: Server, **parameters: Any) -> list[str]:
    with server.client("") as public:
        return [item["id"] for item in public.get(BOARD, params=parameters).raise_for_status().json()["items"]]


def test_everybody_reads_the_list_and_nothing_that_is_confidential(server: Server, source: str) -> None:
    secrets = {"name": f"机密公司{source}", "external_id": f"O-{source}", "source": source}
    with server.client("staff") as http, server.client("") as public:
        organization = create(http, "organizations", **secrets)
        fields = {
            "source": source,
            "cluster": source,
            "organization_id": organization["id"],
            "external_id": f"D-{source}",
        }
        demand = create(http, "demands", title="谐波减速器寿命", keywords=["柔轮"], funding_wan=80, **fields)["id"]
        hidden = create(http, "demands", **(fields | {"external_id": "2"}), visibility="restricted")["id"]
        publish(http, demand)
        publish(http, hidden)
        answer = public.get(BOARD, params={"cluster": source})
        one = public.get(f"{BOARD}/{demand}")
        kept_back = public.get(f"{BOARD}/{hidden}")
        unknown = public.get(f"{BOARD}/{UNKNOWN_ID}")
    assert [item["id"] for item in answer.json()["items"]] == [demand]
    assert answer.json()["items"][0] == one.json()
    assert (one.json()["title"], one.json()["funding_wan"]) == ("谐波减速器寿命", 80)
    for text in (answer.text, one.text):
        assert not any(secret in text for secret in (organization["id"], secrets["name"], secrets["external_id"]))
        assert not any(word in text for word in ("organization", "external_id", "陈工", "13000000000", "actor"))
    for refused in (kept_back, unknown):
        assert_problem(refused, 404, "not_on_the_board")


def test_what_has_not_changed_is_not_sent_again(server: Server, source: str) -> None:
    with server.client("staff") as http, server.client("") as public:
        demand = create(http, "demands", source=source, cluster=source)["id"]
        publish(http, demand)
        of_source = {"cluster": source}
        for path, parameters in ((BOARD, of_source), (f"{BOARD}/{demand}", {}), (f"{BOARD}.atom", of_source)):
            first = public.get(path, params=parameters)
            again = public.get(path, params=parameters, headers={"If-None-Match": f'"x", {first.headers["etag"]}'})
            assert first.headers["cache-control"] == again.headers["cache-control"] == "public, max-age=60"
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        move(http, demand, "matching")
        changed = public.get(BOARD, params=of_source, headers={"If-None-Match": first.headers["etag"]})
        assert changed.status_code == 200
        assert changed.json()["items"][0]["status"] == "matching"
        move(http, demand, "abandoned", reason="no_supplier")
        assert public.get(BOARD, params=parameters).json()["items"] == []


def test_the_list_has_pages_a_search_and_a_feed(server: Server, source: str) -> None:
    with server.client("staff") as http, server.client("") as public:
        ids = [create(http, "demands", source=source, cluster=source, title=f"测试工具箱{n}")["id"] for n in range(3)]
        for demand in reversed(ids):  # published in the other order than made
            publish(http, demand)
        first = public.get(BOARD, params={"cluster": source, "limit": 2}).json()
        second = public.get(BOARD, params={"cluster": source, "limit": 2, "cursor": first["next_cursor"]}).json()
        feed = public.get(f"{BOARD}.atom", params={"cluster": source})
        bad = public.get(BOARD, params={"cursor": "x", "region": "x", "limit": 1000})
    assert [item["id"] for page in (first, second) for item in page["items"]] == ids
    assert second["next_cursor"] is None
    assert _listed(server, cluster=source, q="箱 测试") == ids
    assert _listed(server, cluster=source, q="水泵") == []
    assert feed.headers["content-type"] == "application/atom+xml"
    names = {"a": "http://www.w3.org/2005/Atom"}
    entries = ET.fromstring(feed.content).findall("a:entry", names)
    assert [entry.findtext("a:id", namespaces=names) for entry in entries] == [f"urn:uuid:{one}" for one in ids]
    link = entries[0].find("a:link", names)
    assert link is not None
    assert link.get("href") == f"{BOARD}/{ids[0]}"
    assert_problem(bad, 422, "invalid_parameter", "region")


def test_a_claim_is_judged_chosen_and_becomes_a_contract(server: Server, source: str) -> None:
    with server.client("portal") as http, server.client("staff") as staff:
        demand = create(http, "demands", source=source, cluster=source)["id"]
        profile = create(http, "profiles", source=source)["id"]
        organization = create(http, "organizations", source=source)["id"]
        offer = {"demand_id": demand, "profile_id": profile, "offer": "六个月给出样机", "price_wan": 60}
        early = http.post(CLAIMS, json=offer)
        publish(staff, demand)
        made = http.post(CLAIMS, json=offer | {"attachments": [{"name": "方案.pdf", "reference": "oss://17"}]})
        other = http.post(CLAIMS, json={"demand_id": demand, "organization_id": organization, "offer": "一年"})
        path = made.headers["location"]
        assert_problem(http.get(CLAIMS), 403, "forbidden")  # what others offer is confidential
        assert_problem(http.put(f"{path}/scores", json={"points": SHEET}), 403, "forbidden")
        assert_problem(http.post(f"{path}/transitions", json={"to": "chosen"}), 403, "forbidden")
        assert_problem(staff.put(f"{path}/scores", json={"points": {"team": 21}}), 422, "invalid_body", "")
        sheet = staff.put(f"{path}/scores", json={"points": SHEET, "comment": "可行"}).raise_for_status().json()
        seen, followed = staff.get(path), http.get(path).raise_for_status().json()
        chosen = {"to": "chosen", "contract_number": f"FS-{source}"}
        stale = staff.post(f"{path}/transitions", json=chosen, headers={"If-Match": '"1"'})
        staff.post(f"{path}/transitions", json=chosen, headers={"If-Match": seen.headers["etag"]}).raise_for_status()
        again = staff.post(f"{path}/transitions", json=chosen)
        late = http.post(CLAIMS, json=offer)
        claims = staff.get(CLAIMS, params={"demand_id": demand}).json()["items"]
        sheets = staff.get(f"{path}/scores").json()["items"]
        contracted = http.get(f"/v1/demands/{demand}").json()
    assert_problem(early, 409, "demand_not_open")
    assert (made.status_code, made.json()["status"], other.status_code) == (201, "offered", 201)
    assert (sheet["total"], sheet["judge"]) == (82, "test staff")
    assert (seen.json()["score"], seen.json()["n_sheets"]) == (82, 1)
    assert followed["status"] == "offered"
    assert not followed.keys() & {"score", "n_sheets"}
    assert_problem(stale, 412, "etag_mismatch")
    assert assert_problem(again, 409, "illegal_transition")["legal"] == []
    assert_problem(late, 409, "demand_not_open")
    assert [(claim["status"], claim["n_sheets"]) for claim in claims] == [("not_chosen", 0), ("chosen", 1)]
    assert [one["points"] for one in sheets] == [SHEET]
    assert contracted["status"] == "contracted"
    assert _listed(server, cluster=source) == []
