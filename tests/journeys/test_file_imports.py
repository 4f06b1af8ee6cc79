"""A district sends a workbook: preview, mapping, storing, bad rows back, a corrected file, and a mistake undone."""

import html
import io
import json
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, in_database, match, read_all
from openpyxl import Workbook, load_workbook
from sqlalchemy import update

from matching_service.files.records import MAX_FILE_BYTES
from matching_service.store.imports import ImportRow, ImportState

IMPORTS = "/v1/imports"


def workbook(*rows: list[Any], sheet: str = "需求") -> bytes:
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = sheet
    for row in rows:
        page.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def upload(
    http: httpx.Client, content: bytes, name: str = "南海区需求.xlsx", *, what: str = "demands", **fields: str
) -> httpx.Response:
    return http.post(IMPORTS, params={"what": what}, files={"file": (name, content)}, data=fields)


def ended(http: httpx.Client, location: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (found := http.get(location).raise_for_status().json())["state"] in {"running", "undoing"}:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    seen: dict[str, Any] = found
    return seen


def titles(http: httpx.Client, source: str) -> dict[str, str]:
    rows = read_all(http, "/v1/demands", limit=200)
    return {row["external_id"]: row["title"] for row in rows if row["source"] == source}


def test_a_workbook_is_previewed_corrected_stored_sent_back_and_undone(server: Server, source: str) -> None:  # noqa: PLR0915
    rows: list[list[Any]] = [
        ["佛山市南海区技术需求汇总表"],
        ["编号", "难点叫什么", "主要问题", "截止日期", "口令"],
        ["D-1", "谐波减速器柔轮开裂", "齿根出现裂纹", "2099-12-31", "x"],
        ["D-2", "轴承钢疲劳寿命", "寿命短", "31/12/2099", "y"],
        ["D-3", None, "没有名称", None, None],
        ["合计：3 项"],
    ]
    with server.client("staff") as http:
        made = upload(http, workbook(*rows), source=source)
        assert made.status_code == 201, made.text
        preview, path = made.json(), made.headers["location"]
        assert titles(http, source) == {}
        no_good = http.post(f"{path}/confirm")
        wrong_map = http.patch(path, json={"map": {"难点叫什么": "名字"}})
        mapped = http.patch(path, json={"map": {"难点叫什么": "需求名称"}}).raise_for_status().json()
        assert titles(http, source) == {}
        confirmed = http.post(f"{path}/confirm")
        done = ended(http, confirmed.headers["location"])
        assert titles(http, source) == {"D-1": "谐波减速器柔轮开裂"}
        rejects = http.get(f"{path}/rejects.xlsx")
        again = http.post(f"{path}/confirm")
        not_deleted = http.delete(path)

        book = load_workbook(io.BytesIO(rejects.content))
        table = [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
        reasons = {row[0]: row[-1] for row in table}
        table[0] = ["需求名称" if cell == "难点叫什么" else cell for cell in table[0]]
        for row in table[1:]:
            row[1], row[3] = row[1] or "补上的名称", None
        corrected = upload(http, workbook(*table), "更正.xlsx", source=source).raise_for_status().json()
        http.post(f"{IMPORTS}/{corrected['id']}/confirm").raise_for_status()
        corrected = ended(http, f"{IMPORTS}/{corrected['id']}")
        assert titles(http, source) == {"D-1": "谐波减速器柔轮开裂", "D-2": "轴承钢疲劳寿命", "D-3": "补上的名称"}

        (worked_on,) = [
            row["id"]
            for row in read_all(http, "/v1/demands")
            if row["title"] == "轴承钢疲劳寿命" and row["source"] == source
        ]
        http.patch(f"/v1/demands/{worked_on}", json={"title": "别人改过"}).raise_for_status()
        undoing = http.post(f"{IMPORTS}/{corrected['id']}/undo")
        undone = ended(http, undoing.headers["location"])
        left = read_all(http, f"{IMPORTS}/{corrected['id']}/records", undone="left")
        assert titles(http, source) == {"D-1": "谐波减速器柔轮开裂", "D-2": "别人改过"}
        http.post(f"{IMPORTS}/{preview['id']}/undo").raise_for_status()
        ended(http, path)
        assert titles(http, source) == {"D-2": "别人改过"}
        listed = read_all(http, IMPORTS)
    assert (preview["state"], preview["file_name"], preview["what"]) == ("preview", "南海区需求.xlsx", "demands")
    assert preview["sheets"] == [{"name": "需求", "header_row": 2}]
    assert {c["heading"]: c["field"] for c in preview["columns"]} == {
        "编号": "external_id", "难点叫什么": None, "主要问题": "problem", "截止日期": "expires_on", "口令": None,
    }  # fmt: skip
    assert preview["rows"] == {"good": 0, "bad": 3, "passed_over": 1}
    assert {"sheet": "需求", "row": 4, "heading": "截止日期", "value": "31/12/2099"}.items() <= next(
        dict(f) for f in preview["findings"] if f["heading"] == "截止日期"
    ).items()
    assert_problem(no_good, 409, "no_good_rows")
    assert_problem(wrong_map, 422, "unknown_column")
    assert mapped["rows"] == {"good": 1, "bad": 2, "passed_over": 1}
    assert (confirmed.status_code, confirmed.json()["state"]) == (202, "running")
    assert (done["state"], done["n_done"], done["counts"]["created"], done["rows"]["bad"]) == ("done", 4, 1, 2)
    assert (done["error"], done["undone"], done["has_rejects"]) == (None, None, True)
    assert rejects.headers["content-disposition"].startswith("attachment")
    assert "不能导入的原因" in reasons.values()
    assert "截止日期" in str(reasons["D-2"])
    assert_problem(again, 409, "import_ended")
    assert_problem(not_deleted, 409, "import_not_preview")
    assert corrected["counts"] == {"created": 2, "updated": 0, "unchanged": 0, "organizations_created": 0}
    assert not corrected["has_rejects"]
    assert (undoing.status_code, undone["state"]) == (202, "undone")
    assert undone["undone"] == {"deleted": 1, "restored": 0, "left": 1}
    assert [(row["name"], row["reason"], row["outcome"]) for row in left] == [("别人改过", "changed_since", "created")]
    assert [row["id"] for row in listed][:2] == [corrected["id"], preview["id"]]


def test_what_was_imported_and_undone_is_found_and_lost_by_the_next_match(server: Server, source: str) -> None:
    word = f"磁流变阻尼器{source}"
    content = json.dumps({"external_id": source, "kind": "expert", "name": "甲", "summary": f"研究{word}"}).encode()
    with server.client("staff") as http:
        made = upload(http, content, "a.jsonl", what="profiles", source=source).raise_for_status().json()
        http.post(f"{IMPORTS}/{made['id']}/confirm").raise_for_status()
        ended(http, f"{IMPORTS}/{made['id']}")
        found = match(http, query={"title": word})["items"]
        http.post(f"{IMPORTS}/{made['id']}/undo").raise_for_status()
        ended(http, f"{IMPORTS}/{made['id']}")
        lost = match(http, query={"title": word})["items"]
    assert [source in {item["profile"]["external_id"] for item in items} for items in (found, lost)] == [True, False]


def test_a_file_without_known_headings_is_kept_until_they_are_named(server: Server, source: str) -> None:
    content = workbook(["甲", "乙"], ["D-1", "轴承钢疲劳寿命"])
    with server.client("staff") as http:
        made = upload(http, content, source=source)
        shown = http.patch(made.headers["location"], json={"header_row": 1}).json()
        read = http.patch(made.headers["location"], json={"map": {"甲": "编号", "乙": "title"}}).json()
        back = http.patch(made.headers["location"], json={"map": None, "header_row": None}).json()
        no_sheet = http.patch(made.headers["location"], json={"sheet": "没有"})
        deleted = http.delete(made.headers["location"])
        gone = http.get(made.headers["location"])
    assert made.status_code == 201
    assert [finding["code"] for finding in made.json()["findings"]] == ["no_headings"]
    assert [column["heading"] for column in shown["columns"]] == ["甲", "乙"]
    assert read["rows"] == {"good": 1, "bad": 0, "passed_over": 0}
    assert (read["options"]["header_row"], back["options"]["header_row"], back["columns"]) == (1, None, [])
    assert_problem(no_sheet, 422, "no_such_sheet")
    assert deleted.status_code == 204
    assert_problem(gone, 404, "import_not_found")


def test_two_confirms_at_once_store_once(server: Server, source: str) -> None:
    content = "\n".join(json.dumps({"title": f"需求{n}"}) for n in range(1_200)).encode()  # without ids: never twice
    with server.client("staff") as http:
        made = upload(http, content, "a.jsonl", source=source).raise_for_status().json()
        path = f"{IMPORTS}/{made['id']}"
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: http.post(f"{path}/confirm"), range(4)))
        done = ended(http, path)
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert [answer.status_code for answer in answers].count(202) >= 1
    assert (done["state"], done["n_done"], done["counts"]["created"]) == ("done", 1_200, 1_200)
    with server.client("staff") as http:
        assert len([row for row in read_all(http, "/v1/demands", limit=200) if row["source"] == source]) == 1_200
        assert http.post(f"{path}/undo").status_code == 202
        assert ended(http, path)["undone"] == {"deleted": 1_200, "restored": 0, "left": 0}


BOMB = io.BytesIO()
with zipfile.ZipFile(BOMB, "w", zipfile.ZIP_DEFLATED) as _package:
    _package.writestr("xl/worksheets/sheet1.xml", b"0" * 750_000_000, compresslevel=1)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("图片.xlsx", PNG, "not_a_workbook"),
        ("图片.png", PNG, "unknown_format"),
        ("需求.doc", b"\xd0\xcf\x11\xe0", "unknown_format"),
        ("炸弹.xlsx", BOMB.getvalue(), "file_too_big"),
        ("空.xlsx", b"", "file_empty"),
    ],
)
def test_files_that_cannot_be_read_are_refused_and_leave_nothing(
    server: Server, name: str, content: bytes, code: str
) -> None:
    with server.client("staff") as http:
        before = folders(server)
        refused = upload(http, content, name)
    body = assert_problem(refused, 422, code)
    assert code == "file_empty" or name in body["detail"]
    assert folders(server) == before


def folders(server: Server) -> set[str]:
    folder = Path(server.cli.environment["MATCHING_DATA_DIR"]) / "imports"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "streamed"])
def test_a_file_over_the_limit_is_refused_and_not_kept(server: Server, *, declared: bool) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    piece, sent = b"a" * 1_000_000, 0

    def body() -> Any:
        nonlocal sent
        yield head
        for _ in range(51):
            sent += len(piece)
            yield piece
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    if declared:
        headers["Content-Length"] = str(51_000_000 + len(head) + 9)
    with server.client("staff") as http:
        before = folders(server)
        refused = http.post(IMPORTS, params={"what": "demands"}, content=body(), headers=headers)
        after = folders(server)
        fine = upload(http, b" " * (MAX_FILE_BYTES - 1_000) + '{"title": "泵"}'.encode(), "a.jsonl")
    assert "50 MB" in assert_problem(refused, 413, "file_too_large")["detail"]
    assert after == before
    assert fine.status_code == 201, fine.text
    assert fine.json()["rows"]["good"] == 1


def test_a_text_that_no_cell_can_hold_is_sent_back_in_part(server: Server) -> None:
    with server.client("staff") as http:
        made = upload(http, json.dumps({"title": "长" * 40_000}).encode(), "a.jsonl").raise_for_status().json()
        rejects = http.get(f"{IMPORTS}/{made['id']}/rejects.xlsx").raise_for_status()
    cells = [cell for row in load_workbook(io.BytesIO(rejects.content)).worksheets[0].values for cell in row]
    assert any(str(cell).startswith("长" * 30_000) for cell in cells)


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "a\\u000b", "\\uffff", "=1+1", "_x0000_"])
@pytest.mark.parametrize(
    "place",
    [
        '{"title": "TEXT", "region": "x"}',
        '{"TEXT": 1, "title": "a"}',
        '["TEXT"]',
        '{"title": ["TEXT"]}',
        '{"TEXT": 1, "title": "a", "region": "x"}',
        "TEXT",
    ],
)
def test_characters_that_nothing_can_store_are_sent_back(server: Server, text: str, place: str) -> None:
    with server.client("staff") as http:
        made = upload(http, place.replace("TEXT", text).encode(), "a.jsonl")
        assert made.status_code == 201, made.text
        assert made.json()["rows"]["bad"] == 1
        rejects = http.get(f"{made.headers['location']}/rejects.xlsx").raise_for_status()
    assert load_workbook(io.BytesIO(rejects.content)).worksheets[0].max_row == 2


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"header_row": "0"}, "/header_row"), ({"header_row": "三"}, "/header_row"), ({"map": "a=b"}, "/map"),
        ({"map": '["a"]'}, "/map"), ({"status": "gone"}, "/status"), ({"kind": "expert"}, "/kind"),
        ({"sheets": "1"}, "/sheets"),
    ],
)  # fmt: skip
def test_wrong_fields_of_the_form_are_named(server: Server, fields: dict[str, str], pointer: str) -> None:
    with server.client("staff") as http:
        before = folders(server)
        refused = upload(http, b'{"title": "a"}', "a.jsonl", **fields)
        assert folders(server) == before
    assert refused.status_code == 422, refused.text
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]


def test_other_bodies_than_a_form_with_one_file_are_refused(server: Server) -> None:
    with server.client("staff") as http:
        as_json = http.post(IMPORTS, params={"what": "demands"}, json={})
        no_file = http.post(IMPORTS, params={"what": "demands"}, files={"other": (None, "x")})
        two = http.post(
            IMPORTS, params={"what": "demands"}, files=[("file", ("a.csv", b"a")), ("file", ("b.csv", b"b"))]
        )
        cut = http.post(
            IMPORTS, params={"what": "demands"}, content=b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na',
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )  # fmt: skip
        wrong_what = http.post(IMPORTS, params={"what": "papers"}, files={"file": ("a.csv", b"a")})
    assert_problem(as_json, 422, "not_a_form")
    assert_problem(no_file, 422, "file_missing")
    assert_problem(two, 422, "several_files")
    assert_problem(cut, 422, "form_damaged")
    assert_problem(wrong_what, 422, "invalid_parameter", "what")


@pytest.mark.parametrize(
    "name", ["../../../etc/夜.csv", "C:\\文件\\夜.csv", "夜.csv", "夜\r\n<>.csv", "长" * 200 + ".csv"]
)
def test_the_name_of_a_file_is_only_a_name(server: Server, source: str, name: str) -> None:
    with server.client("staff") as http:
        made = upload(http, "需求名称\n甲\n".encode(), name, source=source).raise_for_status().json()
        http.delete(f"{IMPORTS}/{made['id']}").raise_for_status()
    assert made["file_name"].endswith(".csv")
    assert not {"/", "\\", "\r", "<"} & set(made["file_name"])
    assert len(made["file_name"]) <= 70


def test_staff_and_administrators_import_and_others_do_not(server: Server, source: str) -> None:
    for role, status in {"admin": 201, "staff": 201, "portal": 403, "batch": 403, "": 401}.items():
        with server.client(role) as http:
            assert upload(http, b'{"title": "a"}', "a.jsonl", source=source).status_code == status, role
            assert http.get(IMPORTS).status_code == (200 if status == 201 else status)
            for path in (f"{IMPORTS}/{UNKNOWN_ID}/confirm", f"{IMPORTS}/{UNKNOWN_ID}/undo"):
                assert http.post(path).status_code == (404 if status == 201 else status)


def test_a_preview_cannot_be_undone_and_what_runs_cannot_be_changed(server: Server, source: str) -> None:
    with server.client("staff") as http:
        made = upload(http, b'{"title": "a"}', "a.jsonl", source=source).raise_for_status().json()
        path = f"{IMPORTS}/{made['id']}"
        assert_problem(http.post(f"{path}/undo"), 409, "import_not_stored")
        assert_problem(http.get(f"{path}/rejects.xlsx"), 404, "no_rejects")
        http.post(f"{path}/confirm").raise_for_status()
        ended(http, path)
        assert_problem(http.patch(path, json={"sheet": "a"}), 409, "import_not_preview")
        assert_problem(http.patch(path, json={"shet": "a"}), 422, "invalid_body", "/shet")


def test_the_command_line_and_http_see_the_same_imports(server: Server, source: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"编号,来源,需求名称\n1,{source},甲\n", encoding="utf-8")
    assert server.cli.run("import", "demands", str(path)).returncode == 0
    with server.client("staff") as http:
        listed = read_all(http, IMPORTS)[0]
        assert (listed["file_name"], listed["state"], listed["actor_id"]) == ("a.csv", "done", "cli")
        http.post(f"{IMPORTS}/{listed['id']}/undo").raise_for_status()
        ended(http, f"{IMPORTS}/{listed['id']}")
        assert titles(http, source) == {}


def test_an_import_whose_server_was_killed_goes_on_where_it_was(server: Server, source: str) -> None:
    """The state that a killed server leaves is made by hand: the first chunk is stored, and nobody holds the lock."""
    rows = [json.dumps({"title": f"需求{n}"}) for n in range(1_200)]  # without ids: a second go would make others
    with server.client("staff") as http:
        first = upload(http, "\n".join(rows[:500]).encode(), "a.jsonl", source=source).raise_for_status().json()
        http.post(f"{IMPORTS}/{first['id']}/confirm").raise_for_status()
        ended(http, f"{IMPORTS}/{first['id']}")
        whole = upload(http, "\n".join(rows).encode(), "a.jsonl", source=source).raise_for_status().json()
        path = f"{IMPORTS}/{whole['id']}"

        async def leave(session: Any) -> None:
            stored = await session.get_one(ImportRow, first["id"])
            moment = stored.confirmed_at - timedelta(minutes=1)
            values = {"state": ImportState.RUNNING, "confirmed_at": moment, "n_done": 500, "counts": stored.counts}
            await session.execute(update(ImportRow).where(ImportRow.id == whole["id"]).values(values))

        in_database(server, leave)
        seen = http.get(path).json()
        confirmed = http.post(f"{path}/confirm")
        done = ended(http, path)
    assert (seen["state"], seen["is_interrupted"], seen["n_done"]) == ("interrupted", True, 500)
    assert confirmed.status_code == 202
    assert (done["state"], done["n_done"], done["counts"]["created"], done["rows"]["bad"]) == ("done", 1_200, 1_200, 0)
    with server.client("staff") as http:
        assert len([row for row in read_all(http, "/v1/demands", limit=200) if row["source"] == source]) == 1_200


FORM = {
    "title": "谐波减速器寿命提升", "problem": "柔轮在额定负载下\n出现裂纹：需要改进", "key_technology": "寿命≥10000 h；－40℃～85℃",
    "expected_goal": "=形式上像公式", "keywords": ["谐波减速器", "柔轮"], "must_have": ["谐波减速器"], "nice_to_have": ["中试条件"],
    "region": "440605", "cluster": "智能制造装备及机器人", "field": "机械", "industry_code": "C3453", "funding_wan": 80.5,
    "start_year": 2026, "end_year": 2027, "cooperation": "joint", "wanted_partners": ["高校"],
}  # fmt: skip
PERSON = {"person": "陈工", "mobile": "13800138000", "email": "chen@example.org"}


def test_forms_go_out_come_in_over_http_and_are_undone(server: Server, source: str) -> None:
    """A demand as a form in Word and as a sheet, alone and in an archive, is the same demand with its contact data."""
    with server.client("staff") as http:
        firm = create(http, "organizations", source=source, name=f"佛山市{source}传动有限公司")["id"]
        made = create(http, "demands", source=source, external_id="D-9", organization_id=firm, **FORM)
        http.put(f"/v1/demands/{made['id']}/contact", json=PERSON).raise_for_status()
        made = http.get(f"/v1/demands/{made['id']}").json()
        files = {
            name: http.get(f"/v1/demands/{made['id']}/form.{name}", params={"purpose": "核对"})
            .raise_for_status()
            .content
            for name in ("docx", "xlsx")
        }
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("大沥镇/一.docx", files["docx"])
            packed.writestr("大沥镇/坏.docx", b"not a document")
        uploads = {"征集表.docx": files["docx"], "征集表.xlsx": files["xlsx"], "大沥镇.zip": archive.getvalue()}
        for number, (name, content) in enumerate(uploads.items()):
            other = f"{source}-{number}"
            preview = upload(http, content, name, source=other).raise_for_status().json()
            bad = 1 if name.endswith("zip") else 0
            assert preview["rows"] == {"good": 1, "bad": bad, "passed_over": 0}, preview
            assert ["大沥镇/坏.docx"] * bad == [
                finding["sheet"] for finding in preview["findings"] if finding["refuses"]
            ]
            path = f"{IMPORTS}/{preview['id']}"
            http.post(f"{path}/confirm").raise_for_status()
            done = ended(http, path)
            assert (done["state"], done["counts"]["created"]) == ("done", 1), done
            (stored,) = list(read_all(http, "/v1/demands", source=other))
            for field, value in FORM.items():
                assert stored[field] == value, (name, field)
            assert stored["external_id"] == "D-9"
            owner = http.get(f"/v1/organizations/{stored['organization_id']}").json()
            assert owner["name"] == f"佛山市{source}传动有限公司"
            assert http.get(f"/v1/demands/{stored['id']}/contact").json() == PERSON
            assert http.get(f"{path}/rejects.xlsx").status_code == (200 if bad else 404)
            http.post(f"{path}/undo").raise_for_status()
            assert ended(http, path)["state"] == "undone"
            assert read_all(http, "/v1/demands", source=other) == []
            assert http.get(f"/v1/demands/{stored['id']}/contact").status_code == 404
    with server.client("auditor") as auditor:
        reads = read_all(auditor, "/v1/audit", entity_id=made["id"], action="read_contact")
    assert [entry["detail"] for entry in reads] == [{"purpose": "核对"}] * 2


def test_a_form_without_the_right_to_contact_data_has_none(server: Server, source: str) -> None:
    with server.client("portal") as portal, server.client("staff") as staff:
        demand = create(portal, "demands", source=source, title="柔轮开裂")["id"]
        portal.put(f"/v1/demands/{demand}/contact", json=PERSON).raise_for_status()
        for name in ("docx", "xlsx"):
            with zipfile.ZipFile(io.BytesIO(portal.get(f"/v1/demands/{demand}/form.{name}").content)) as file:
                text = html.unescape("".join(file.read(part).decode("utf-8", "replace") for part in file.namelist()))
            assert "柔轮开裂" in text
            assert PERSON["mobile"] not in text
        missing = staff.get(f"/v1/demands/{UNKNOWN_ID}/form.docx")
    assert_problem(missing, 404, "demand_not_found")
