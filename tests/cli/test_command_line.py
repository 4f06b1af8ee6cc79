"""Every command in a process of its own: what it prints where, and how it ends."""

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from cli.command_lines import FAST, failed_in_both_languages, run_all
from conftest import Cli
from sqlalchemy import select, text

from matching_service import sample
from matching_service.foundation.clock import now
from matching_service.store.access import IdempotentAnswerRow
from matching_service.store.database import Database

pytestmark = pytest.mark.apart
COMMANDS = [
    [], ["migrate"], ["serve"], ["keys"], ["keys", "create"], ["keys", "renew"], ["keys", "list"], ["keys", "revoke"], ["import"], ["import", "list"], ["import", "undo"],
    ["export"], ["load-societies"], ["rerank"], ["evaluate"], ["report"], ["fit"], ["reindex"], ["demo"], ["weights"], ["deliver"], ["import-feed"], ["backup"], ["restore"], ["doctor"],
    ["weights", "list"], ["weights", "show"], ["weights", "activate"], ["encoder"], ["encoder", "calibrate"], ["audit"], ["audit", "verify"], ["audit", "export"],
]  # fmt: skip
WRONG_USE = [
    [], ["fly"], ["serve", "--port", "70000"], ["serve", "--workers", "0"], ["keys", "create"],
    ["keys", "create", "--role", "king", "--name", "n"], ["keys", "create", "--role", "admin", "--name", ""],
    ["encoder", "calibrate"], ["audit", "verify", "--head", "5"], ["audit", "export"], ["import", "demands"], ["import", "matches", "a.csv"], ["import", "undo"], ["import", "list", "x"], ["export", "papers", "a.csv"], ["rerank", "--faster"],
    ["evaluate", "--demands", "a.jsonl"], ["migrate", "now"], ["fit"], ["weights", "activate"],
    ["weights", "drop", "v"], ["report"], ["report", "2026"],
]  # fmt: skip
ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def demands_file(path: Path, *rows: Mapping[str, object] | str) -> str:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows))
    return str(path)


async def execute(url: str, statement: str) -> None:
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.execute(text(statement))
    await database.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_deadlines_are_met_once(cli: Cli, tmp_path: Path) -> None:
    path = demands_file(
        tmp_path / "a.jsonl", {"title": "轴承钢疲劳寿命", "status": "published", "expires_on": "2020-01-01"}
    )
    assert cli.run("import", "demands", path).returncode == 0
    first, again = (json.loads(cli.run("deadlines", "--json").stdout) for _ in range(2))
    assert {name: len(ids) for name, ids in first.items()} == {
        "expired": 1, "abandoned": 0, "last_chance": 0, "nudge": 0,
    }  # fmt: skip
    assert not any(again.values())
    assert "expired" in cli.run("deadlines").stdout


def test_every_command_has_help(tmp_path: Path) -> None:
    for command, (code, out, err) in zip(
        COMMANDS, run_all([[*command, "--help"] for command in COMMANDS], tmp_path), strict=True
    ):
        assert (command, code, err) == (command, 0, "")
        assert "Usage" in out
        assert re.search("[\u4e00-\u9fff]", out)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_wrong_use_ends_with_2(tmp_path: Path) -> None:
    results = run_all(WRONG_USE, tmp_path)
    assert [(use, code) for use, (code, _, _) in zip(WRONG_USE, results, strict=True)] == [
        (use, 2) for use in WRONG_USE
    ]
    assert all(err or not use for use, (_, _, err) in zip(WRONG_USE, results, strict=True))
    assert not any("Traceback" in err for _, _, err in results)
    assert not (tmp_path / "data").exists()


def test_settings_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    cli = Cli(environment | {"MATCHING_DATA_DIR": str(tmp_path), "PYTHONUTF8": "1"})
    done = cli.run("keys", "list", MATCHING_DATABASE_URL="mysql://h/d")
    assert failed_in_both_languages(done), done.stderr
    assert "MATCHING_DATABASE_URL" in done.stderr
    unreachable = cli.run("keys", "list", MATCHING_DATABASE_URL="postgresql://u:geheim@127.0.0.1:1/d")
    assert failed_in_both_languages(unreachable), unreachable.stderr
    assert "geheim" not in unreachable.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_no_command_makes_a_database_by_mistake(tmp_path: Path) -> None:
    """Where MATCHING_DATA_DIR is mistyped, a command says so and leaves nothing behind."""
    path = demands_file(tmp_path / "a.jsonl", {"title": "轴承钢疲劳寿命"})
    command_lines = [
        ["keys", "create", "--role", "admin", "--name", "n"], ["keys", "renew", "i"], ["keys", "list"], ["keys", "revoke", "i"],
        ["import", "demands", path], ["import", "demands", path, "--dry-run"], ["export", "demands", str(tmp_path / "b.csv")],
        ["load-societies"], ["rerank"], ["deadlines"], ["report", "2026-Q3", str(tmp_path / "r.json")], ["reindex"], ["deliver"],
        ["import-feed", "http://127.0.0.1:1/v1/feed", "--source", "s"], ["backup", str(tmp_path / "b.zip")],
    ]  # fmt: skip
    for command_line, (code, _, err) in zip(command_lines, run_all(command_lines, tmp_path), strict=True):
        assert (command_line, code) == (command_line, 1), err
        assert "没有数据库" in err, (command_line, err)
        assert not list(tmp_path.glob("data/*.sqlite3*")), command_line


def test_keys_are_made_listed_and_revoked(cli: Cli) -> None:
    made = cli.run("keys", "create", "--role", "portal", "--name", "门户", "--expires", "2099-12-31", "--source", "甲")
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"mk_[\w-]{43}\n", made.stdout)
    listed = cli.run("keys", "list", "--json")
    assert made.stdout.strip() not in listed.stdout
    (key,) = json.loads(listed.stdout)  # a list, also of one key
    assert (key["name"], key["role"], key["source"], key["revoked_at"]) == ("门户", "portal", "甲", None)
    assert key["expires_at"].startswith("2099-12-31")
    twice = cli.run("keys", "create", "--role", "portal", "--name", "门户", "--source", "甲")
    assert failed_in_both_languages(twice), twice.stderr
    assert f"keys renew {key['id']}" in twice.stderr
    renewed = cli.run("keys", "renew", key["id"])
    assert renewed.returncode == 0, renewed.stderr
    assert re.fullmatch(r"mk_[\w-]{43}\n", renewed.stdout)
    assert renewed.stdout != made.stdout
    revoked = cli.run("keys", "revoke", key["id"])
    assert revoked.returncode == 0
    assert key["id"] in revoked.stdout
    both = json.loads(cli.run("keys", "list", "--json").stdout)
    assert [(one["name"], one["principal_id"], one["revoked_at"] is None) for one in both] == [
        ("门户", key["principal_id"], False), ("门户", key["principal_id"], True),
    ]  # fmt: skip


@ONLY_SQLITE
def test_a_key_that_does_not_exist_is_neither_revoked_nor_renewed(cli: Cli) -> None:
    for command in ("revoke", "renew"):
        done = cli.run("keys", command, "unknown")
        assert failed_in_both_languages(done), done.stderr
        assert done.stdout == ""
        assert "unknown" in done.stderr


@ONLY_SQLITE
def test_a_portal_needs_a_source_and_nobody_else_has_one(cli: Cli) -> None:
    for arguments in (
        ("portal",),
        ("staff", "--source", "甲"),
        ("portal", "--source", " "),
        ("admin", "--organization", "x"),
    ):
        done = cli.run("keys", "create", "--name", "n", "--role", *arguments)
        assert done.returncode == 2, arguments
    unknown = cli.run("keys", "create", "--name", "n", "--role", "portal", "--source", "甲", "--organization", "x")
    assert failed_in_both_languages(unknown), unknown.stderr


def test_bad_rows_are_reported_and_good_ones_stored_exported_and_unchanged(cli: Cli, tmp_path: Path) -> None:
    good = [{"external_id": str(n), "title": f"=柔轮[red]{n}", "keywords": ["[b]", "a"]} for n in range(3)]
    path = demands_file(tmp_path / "a.jsonl", good[0], {"title": "", "region": "x"}, "{[red]", *good[1:])
    done = cli.run("import", "demands", path, "--source", "s", "--status", "published", "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert {name: answer[name] for name in ("created", "updated", "unchanged", "bad", "passed_over")} == {
        "created": 3, "updated": 0, "unchanged": 0, "bad": 2, "passed_over": 0,
    }  # fmt: skip
    assert {(finding["line"], finding["field"]) for finding in answer["findings"]} == {
        (2, "title"), (2, "region"), (3, None),
    }  # fmt: skip
    assert "第 2 行 line 2 “title”列 column title" in done.stderr
    assert "第 2 行 line 2 “region”列 column region" in done.stderr
    assert "第 3 行 line 3" in done.stderr
    target = tmp_path / "out" / "a.csv"
    exported = cli.run("export", "demands", str(target))
    assert exported.returncode == 0, exported.stderr
    assert "3 demands" in exported.stdout
    again = cli.run("import", "demands", str(target), "--json")
    assert again.returncode == 0, again.stderr
    answer = json.loads(again.stdout)
    assert [answer[name] for name in ("created", "updated", "unchanged", "bad")] == [0, 0, 3, 0]
    assert answer["findings"] == []


@ONLY_SQLITE
def test_a_workbook_of_an_office_is_tried_stored_and_its_bad_rows_sent_back(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "需求汇总表,,,\n编号,题目,截止日期,备用\n1,甲,2026/12/31,x\n2,乙,年底,y\n,合计2项,,\n", encoding="gb18030"
    )
    options = ("import", "demands", str(path), "--map", "题目=需求名称")
    tried = cli.run(*options, "--dry-run")
    assert tried.returncode == 1
    assert "试运行，未保存：新增 1 条，更改 0 条，未变 0 条，拒收 1 行，略过 1 行；未读取的列：备用。" in tried.stdout
    done = cli.run(*options, "--rejects", str(tmp_path / "r.xlsx"))
    assert "新增 1 条，更改 0 条，未变 0 条，拒收 1 行，略过 1 行；未读取的列：备用。" in done.stdout
    assert "第 4 行 line 4 “截止日期”列 column expires_on 内容“年底”" in done.stderr
    again = cli.run(
        "import",
        "demands",
        str(tmp_path / "r.xlsx"),
        "--map",
        "题目=需求名称",
        "--sheet",
        "Sheet",
        "--header-row",
        "1",
        "--json",
    )
    assert json.loads(again.stdout)["bad"] == 1
    refused = cli.run(*options, "--strict")
    assert failed_in_both_languages(refused), refused.stderr
    assert "备用" in refused.stderr


@ONLY_SQLITE
def test_a_strict_import_stores_nothing_and_says_why(cli: Cli, tmp_path: Path) -> None:
    path = demands_file(tmp_path / "a.jsonl", {"title": "甲"}, {"title": ""})
    done = cli.run("import", "demands", path, "--strict")
    assert failed_in_both_languages(done), done.stderr
    assert "line 2" in done.stderr
    assert done.stdout == ""
    exported = cli.run("export", "demands", str(tmp_path / "b.jsonl"))
    assert exported.stdout.startswith("0 demands")


@ONLY_SQLITE
def test_a_missing_file_and_an_unknown_format_fail(cli: Cli, tmp_path: Path) -> None:
    missing = cli.run("import", "profiles", str(tmp_path / "missing.csv"))
    assert failed_in_both_languages(missing), missing.stderr
    assert "missing.csv" in missing.stderr
    unknown = cli.run("export", "profiles", str(tmp_path / "a.pdf"))
    assert failed_in_both_languages(unknown), unknown.stderr


@ONLY_SQLITE
def test_societies_are_loaded_once_demands_ranked_and_the_index_rebuilt(cli: Cli, tmp_path: Path) -> None:
    first, second = (cli.run("load-societies") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert re.findall(r"\d+", first.stdout) == ["209", "0", "0"]
    assert re.findall(r"\d+", second.stdout) == ["0", "0", "209"]
    path = demands_file(tmp_path / "a.jsonl", {"title": "轴承钢疲劳寿命", "status": "published"})
    assert cli.run("import", "demands", path).returncode == 0
    ranked = cli.run("rerank", "--json", **FAST)
    assert ranked.returncode == 0, ranked.stderr
    report = json.loads(ranked.stdout)
    assert (report["state"], report["n_demands"], report["n_done"], report["n_failed"]) == ("finished", 1, 1, 0)
    (change,) = report["changes"]
    assert change["entered"][0]["rank"] == 1
    exported = cli.run("export", "matches", str(tmp_path / "m.jsonl"))
    assert exported.stdout.startswith(f"{len(change['entered'])} matches")
    rebuilt = cli.run("reindex", **FAST)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "profiles: 209 documents" in rebuilt.stdout
    assert "demands: 1 documents" in rebuilt.stdout


@ONLY_SQLITE
def test_a_report_is_written_in_the_format_that_the_name_tells(cli: Cli, tmp_path: Path) -> None:
    records = demands_file(tmp_path / "a.jsonl", {"kind": "workstation", "title": "工作站", "started_on": "2026-02-01"})
    assert cli.run("import", "programme", records).returncode == 0
    for name in ("r.json", "r.docx"):
        done = cli.run("report", "2026-Q1", str(tmp_path / "out" / name))
        assert done.returncode == 0, done.stderr
        assert "2026年第一季度" in done.stdout
    report = json.loads((tmp_path / "out" / "r.json").read_text(encoding="utf-8"))
    assert [row["actual"] for row in report["targets"] if row["name"] == "workstations"] == [1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["r.docx", "r.json"]


@ONLY_SQLITE
def test_a_report_that_cannot_be_is_refused(cli: Cli, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "report.docx").write_text("no document")
    target = tmp_path / "r.docx"
    refused = [
        cli.run("report", "2026-Q1", str(tmp_path / "r.pdf")),
        cli.run("report", "2099", str(target)),
        cli.run("report", "2026-Q1", str(target), MATCHING_TARGETS=str(tmp_path / "missing.toml")),
        cli.run("serve", "--port", "0", MATCHING_TEMPLATES_DIR=str(templates)),
    ]
    assert all(failed_in_both_languages(done) for done in refused), [done.stderr for done in refused]
    named = ["r.pdf", "2099", "missing.toml", "report.docx"]
    assert all(name in done.stderr for name, done in zip(named, refused, strict=True))
    assert not target.exists()


@ONLY_SQLITE
async def test_a_night_run_deletes_expired_answers(cli: Cli, database: Database) -> None:
    async with database.transaction() as session:
        for age in (23, 25):
            made_at = now() - timedelta(hours=age)
            kept = {"request_hash": "", "status": 200, "headers": {}, "body": b"", "created_at": made_at}
            session.add(IdempotentAnswerRow(principal_id="cli", idempotency_key=f"{age}", **kept))
    done = cli.run("rerank", "--json", MATCHING_IDEMPOTENCY_HOURS="24", **FAST)
    assert done.returncode == 0, done.stderr
    async with database.reading() as session:
        assert (await session.scalars(select(IdempotentAnswerRow.idempotency_key))).all() == ["23"]


@ONLY_SQLITE
def test_nothing_to_resume_is_a_failure(cli: Cli) -> None:
    done = cli.run("rerank", "--resume", "--json", **FAST)
    assert failed_in_both_languages(done), done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)
def test_migrate_creates_and_then_changes_nothing(empty_database_url: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    url = {"MATCHING_DATABASE_URL": empty_database_url, "MATCHING_DATA_DIR": str(tmp_path), "PYTHONUTF8": "1"}
    cli = Cli(environment | url)
    first, second = (cli.run("migrate") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert re.fullmatch(r"- -> (\w+)\n", first.stdout)
    newest = first.stdout.split()[-1]
    assert second.stdout == f"{newest} -> {newest}\n"


@ONLY_SQLITE
async def test_another_schema_is_refused(cli: Cli, database_url: str) -> None:
    await execute(database_url, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    for arguments in (["serve", "--port", "0"], ["migrate"]):
        done = cli.run(*arguments, **FAST)
        assert failed_in_both_languages(done), (arguments, done.stderr)
        assert "ffffffffffff" in done.stderr
    await execute(database_url, "DELETE FROM alembic_version")
    older = cli.run("keys", "list")
    assert failed_in_both_languages(older), older.stderr
    assert "matching-service migrate" in older.stderr


def test_the_demo_prints_three_lists_and_leaves_other_data_alone(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    data = tmp_path / "data"
    data.mkdir()
    (data / "matching.sqlite3").write_text("somebody's database")
    fitted = data / "demo" / "weights" / "ACTIVE"
    fitted.parent.mkdir(parents=True)
    fitted.write_text("fit-to-an-earlier-demo")
    note = data / "demo" / "note.txt"
    note.write_text("somebody's note")
    done = Cli(environment | {"PYTHONUTF8": "1"}).run("demo", MATCHING_DATA_DIR=str(data), **FAST)
    assert done.returncode == 0, done.stderr
    titles = [
        row["title"]
        for row in map(json.loads, sample.DEMANDS.read_text(encoding="utf-8").splitlines())
        if f"\n{row['title']}（" in done.stdout
    ]
    assert len(titles) == 3
    assert done.stdout.count("匹配度") == 3
    assert "serve" in done.stdout
    assert "Traceback" not in done.stderr
    assert (data / "matching.sqlite3").read_text() == "somebody's database"
    assert (data / "demo" / "matching.sqlite3").exists()
    assert "weights_not_usable" not in done.stderr
    assert not fitted.exists()
    assert note.read_text() == "somebody's note"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_the_commands_are_listed_in_the_order_of_their_use(tmp_path: Path) -> None:
    ((_, out, _),) = run_all([["--help"]], tmp_path)
    assert re.findall(r"^│ ([a-z][a-z-]+(?: [a-z]+)?) ", out, re.MULTILINE) == [
        "migrate", "serve", "import", "import list", "import undo", "export", "load-societies", "rerank", "deadlines", "report", "evaluate", "fit", "reindex",
        "deliver", "import-feed", "backup", "restore", "doctor", "demo", "audit", "encoder", "keys", "weights",
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_mistaken_import_is_listed_and_undone(cli: Cli, tmp_path: Path) -> None:
    path = demands_file(tmp_path / "a.jsonl", *({"external_id": str(n), "title": f"需求{n}"} for n in range(3)))
    assert cli.run("migrate").returncode == 0
    assert cli.run("import", "demands", path).returncode == 0
    (listed,) = json.loads(cli.run("import", "list", "--json").stdout)
    assert (listed["what"], listed["state"], listed["file_name"], listed["created"]) == (
        "demands",
        "done",
        "a.jsonl",
        3,
    )
    undone = cli.run("import", "undo", listed["id"], "--json")
    assert json.loads(undone.stdout) == {"deleted": 3, "restored": 0, "left": 0, "records_left": []}
    again = cli.run("import", "undo", listed["id"])
    assert (again.returncode, "deleted" in again.stdout) == (0, True)
    (listed,) = json.loads(cli.run("import", "list", "--json").stdout)
    assert listed["state"] == "undone"
    assert failed_in_both_languages(cli.run("import", "undo", "nothing"))


@ONLY_SQLITE
def test_an_import_is_kept_whatever_the_name_of_its_file(cli: Cli, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path / "a") + b"\xff.jsonl")
    Path(path).write_text('{"title": "\\ud800"}\n{"title": "b"}\n', encoding="utf-8")
    assert cli.run("migrate").returncode == 0
    assert "created" in cli.run("import", "demands", path).stdout
    (listed,) = json.loads(cli.run("import", "list", "--json").stdout)
    assert (listed["state"], listed["created"], listed["bad"]) == ("done", 1, 1)
