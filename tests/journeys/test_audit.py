"""An auditor reads who did what, from where and why, and can do nothing else; the operator checks the chain."""

import json
from pathlib import Path

import pytest
from conftest import Cli, Server
from http_checks import UNKNOWN_ID, assert_problem, create, read_all

AUDIT = "/v1/audit"


def test_an_auditor_sees_who_read_contact_data_and_why(server: Server, source: str) -> None:
    with server.client("staff") as staff, server.client("auditor") as auditor:
        demand = create(staff, "demands", source=source)["id"]
        person = create(staff, "profiles", source=source)["id"]
        for path, name in ((f"/v1/demands/{demand}/contact", "mobile"), (f"/v1/profiles/{person}/contact", "phone")):
            staff.put(path, json={name: "13800138000"}).raise_for_status()
            staff.get(path, params={"purpose": "约定现场走访"}).raise_for_status()
        entries = read_all(auditor, AUDIT, entity_id=demand)
        reads = read_all(auditor, AUDIT, action="read_contact", entity="profile", entity_id=person)
        none = read_all(auditor, AUDIT, entity_id=demand, until=entries[-1]["at"])
        later = read_all(auditor, AUDIT, entity_id=demand, since=entries[0]["at"])
        raw = auditor.get(AUDIT, params={"limit": 200}).text
    assert [entry["action"] for entry in entries] == ["read_contact", "write_contact", "create"]
    assert entries[0]["detail"] == reads[0]["detail"] == {"purpose": "约定现场走访"}
    assert {entry["address"] for entry in entries} == {"127.0.0.1"}
    assert all(entry["actor_name"] and entry["request_id"] for entry in entries)
    assert none == []
    assert [entry["seq"] for entry in later] == [entries[0]["seq"]]
    assert "13800138000" not in raw


@pytest.mark.parametrize("role", ["portal", "staff", "batch", ""])
def test_nobody_else_reads_it(server: Server, role: str) -> None:
    with server.client(role) as http:
        assert_problem(http.get(AUDIT), *((403, "forbidden") if role else (401, "key_missing")))


def test_an_auditor_reads_nothing_else(server: Server) -> None:
    with server.client("auditor") as http:
        for path in (
            "/v1/demands",
            "/v1/profiles",
            "/v1/organizations",
            f"/v1/demands/{UNKNOWN_ID}/contact",
            "/v1/feed",
        ):
            assert_problem(http.get(path), 403, "forbidden")


def test_a_refusal_leaves_a_row_but_not_without_end(server: Server) -> None:
    with server.client("batch") as batch, server.client("auditor") as auditor:
        for _ in range(40):
            assert_problem(batch.get(f"/v1/profiles/{UNKNOWN_ID}/contact"), 403, "forbidden")
        refused = read_all(auditor, AUDIT, action="refused")
    detail = {"method": "GET", "route": "/v1/profiles/{profile_id}/contact", "role": "batch"}
    rows = [entry for entry in refused if entry["detail"] == detail]
    assert 0 < len(rows) <= 30
    assert all(row["address"] == "127.0.0.1" for row in rows)


def test_the_operator_verifies_exports_and_finds_what_was_cut(cli: Cli, tmp_path: Path) -> None:
    assert cli.run("migrate").returncode == 0
    assert cli.run("load-societies").returncode == 0
    assert cli.run("export", "profiles", str(tmp_path / "p.jsonl")).returncode == 0
    verified = json.loads(cli.run("audit", "verify", "--json").stdout)
    assert (verified["n_faults"], verified["faults"]) == (0, [])
    exported = cli.run("audit", "export", str(tmp_path / "audit.jsonl"))
    assert exported.returncode == 0, exported.stderr
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_bytes().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, verified["rows"] + 1))
    assert (lines[-1]["action"], lines[-1]["entity"], lines[-1]["address"]) == ("export", "profiles", None)
    assert f"{lines[-1]['seq']}:{lines[-1]['digest']}" == verified["head"]
    assert cli.run("audit", "verify", "--head", verified["head"]).returncode == 0
    wrong = cli.run("audit", "verify", "--head", f"{verified['rows'] + 5}:{'0' * 64}")
    assert wrong.returncode == 1
    assert "不符" in wrong.stderr
