"""The programme over HTTP: records, the targets that count them with what lies behind each, and reports as files."""

import io
from datetime import timedelta
from typing import Any

import pytest
from conftest import Server
from docx import Document
from http_checks import UNKNOWN_ID, assert_problem, create, publish, read_all
from openpyxl import load_workbook

from matching_service.foundation.clock import today

RECORDS, TARGETS = "/v1/programme-records", "/v1/targets"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def figure(answer: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in answer["items"] if item["name"] == name)
    return found


def test_a_record_is_counted_listed_ended_and_taken_back(server: Server, source: str) -> None:
    day = today() - timedelta(days=30)
    with server.client("staff") as http:
        organization = create(http, "organizations", source=source, region="440605", cluster=source)["id"]
        body = {"source": source, "external_id": "1", "kind": "support", "title": "技术服务站",
                "organization_id": organization, "started_on": day.isoformat()}  # fmt: skip
        made = http.post(RECORDS, json=body)
        path = made.headers["location"]
        again = http.post(RECORDS, json=body)
        within = {"cluster": source, "region": "4406"}
        counted = http.get(TARGETS, params=within).raise_for_status().json()
        before = http.get(TARGETS, params=within | {"at": (day - timedelta(days=1)).isoformat()}).json()
        behind = read_all(http, f"{TARGETS}/support/records", **within)
        served = read_all(http, f"{TARGETS}/enterprises/records", **within)
        yesterday = (today() - timedelta(days=1)).isoformat()
        stale = http.patch(path, json={"ended_on": yesterday}, headers={"If-Match": '"9"'})
        ended = http.patch(path, json={"ended_on": yesterday}, headers={"If-Match": made.headers["etag"]})
        after = http.get(TARGETS, params=within).json()
        listed = read_all(http, RECORDS, organization_id=organization, at=day.isoformat(), kind="support")
        gone = read_all(http, RECORDS, organization_id=organization, at=today().isoformat())
        removed = http.delete(path)
        missing = http.get(path)
        past = http.get(TARGETS, params=within | {"at": day.isoformat()}).json()
    assert made.status_code == 201
    assert_problem(again, 409, "external_id_taken", "/external_id")
    assert (figure(counted, "support")["actual"], figure(before, "support")["actual"]) == (1, 0)
    assert {(one["label"], one["actual"]) for one in figure(counted, "support")["by_cluster"]} == {(source, 1)}
    assert [(item["id"], item["entity"], item["region"]) for item in behind] == [
        (made.json()["id"], "programme_record", "440605")
    ]
    assert [item["organization_id"] for item in served] == [organization]
    assert_problem(stale, 412, "etag_mismatch")
    assert ended.json()["ended_on"] == yesterday
    assert figure(after, "support")["actual"] == 0
    assert [row["id"] for row in listed] == [made.json()["id"]]
    assert gone == []
    assert removed.status_code == 204
    assert_problem(missing, 404, "programme_record_not_found")
    assert figure(past, "support")["actual"] == 0


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"kind": "party"}, "invalid_body", "/kind"),
        ({"started_on": "soon"}, "invalid_body", "/started_on"),
        ({"title": " "}, "invalid_body", "/title"),
        ({"region": "44"}, "invalid_body", "/region"),
        ({"ended_on": "2026-01-01"}, "end_before_start", "/ended_on"),
        ({"profile_id": UNKNOWN_ID}, "profile_not_found", "/profile_id"),
        ({"organization_id": UNKNOWN_ID}, "organization_not_found", "/organization_id"),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    server: Server, source: str, change: dict[str, object], code: str, pointer: str
) -> None:
    body = {"source": source, "kind": "forum", "title": "论坛", "started_on": "2026-01-02"}
    with server.client("staff") as http:
        assert_problem(http.post(RECORDS, json=body | change), 422, code, pointer)
        path = http.post(RECORDS, json=body).headers["location"]
        assert_problem(http.patch(path, json=change), 422, code, pointer)


def test_targets_of_a_day_to_come_and_unknown_targets_are_refused(server: Server) -> None:
    tomorrow = {"at": (today() + timedelta(days=1)).isoformat()}
    with server.client("staff") as http:
        assert_problem(http.get(TARGETS, params=tomorrow), 422, "future_date", "at")
        assert_problem(http.get(f"{TARGETS}/support/records", params=tomorrow), 422, "future_date", "at")
        problem = assert_problem(http.get(f"{TARGETS}/moon/records"), 404, "target_not_found")
        assert len(http.get(TARGETS).json()["items"]) == 7
    assert "workstations" in problem["detail"]


def test_a_report_is_given_as_json_workbook_and_document(server: Server, source: str) -> None:
    period = f"{today():%Y-%m}"
    with server.client("staff") as http:
        demand = create(http, "demands", source=source, cluster=source, funding_wan=12)["id"]
        publish(http, demand)
        http.post("/v1/engagements", json={"kind": "visit", "held_on": today().isoformat(), "demand_id": demand})
        report = http.get(f"/v1/reports/{period}").raise_for_status().json()
        book = http.get(f"/v1/reports/{period}", params={"format": "xlsx"})
        document = http.get(f"/v1/reports/{period}", headers={"Accept": DOCX})
    (row,) = (row for row in report["by_cluster"] if row["label"] == source)
    assert (row["intake"], row["published"], row["matched"], row["funding_wan"]) == (1, 1, 0, 12)
    assert (report["period"]["name"], report["period"]["is_complete"]) == (period, False)
    assert (book.headers["content-type"], document.headers["content-type"]) == (XLSX, DOCX)
    assert book.headers["content-disposition"] == f'attachment; filename="report-{period}.xlsx"'
    sheet = load_workbook(io.BytesIO(book.content))["按产业集群"]
    assert (source, 1, 1) in {row[:3] for row in sheet.iter_rows(values_only=True)}
    tables = Document(io.BytesIO(document.content)).tables
    assert source in {cell.text for table in tables for cell in table.columns[0].cells}


@pytest.mark.parametrize(("period", "code"), [(f"{today().year + 1}", "future_period"), ("2026-Q9", "invalid_period")])
def test_a_report_of_what_is_to_come_is_refused(server: Server, period: str, code: str) -> None:
    with server.client("staff") as http:
        assert_problem(http.get(f"/v1/reports/{period}"), 422, code, "period")
        assert_problem(http.get("/v1/reports/2026", params={"format": "pdf"}), 422, "invalid_parameter", "format")
