"""What the doctor finds, on an installation that is well and on installations with one fault each."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from sqlalchemy import update

from matching_service.foundation.clock import now
from matching_service.store import migrate
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow
from matching_service.store.shortlists import MatchRunRow

pytestmark = pytest.mark.apart
ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FAST = {"MATCHING_ENCODER": "none"}


def examined(cli: Cli, **more: str) -> tuple[int, list[dict[str, Any]]]:
    done = cli.run("doctor", "--json", **{**FAST, **more})
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def faults(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(finding["check"], finding["state"]) for finding in findings if finding["state"] != "ok"]


def with_a_night(cli: Cli, folder: Path) -> Cli:
    path = folder / "a.jsonl"
    path.write_text('{"title": "轴承钢疲劳寿命", "status": "published"}')
    for command in (["import", "demands", str(path)], ["load-societies"], ["rerank"]):
        done = cli.run(*command, **FAST)
        assert done.returncode == 0, done.stderr
    return cli


def test_an_installation_that_is_well(cli: Cli, tmp_path: Path) -> None:
    code, findings = examined(with_a_night(cli, tmp_path))
    assert faults(findings) == []
    assert code == 0
    assert {finding["check"] for finding in findings} == {
        "settings", "mapping", "plan", "templates", "disk", "database", "schema", "index", "clock", "night_run",
    }  # fmt: skip
    printed = cli.run("doctor", **FAST)
    assert printed.returncode == 0
    assert "夜间任务 night run: 上次完成于" in printed.stdout


@pytest.mark.parametrize(
    "name", ["MATCHING_DATABSE_URL", "MATCHING_DATABASE", "matching_databaseurl", "MATCHING_DATABASE_URl_"]
)
@ONLY_SQLITE
def test_a_name_that_is_no_setting_is_told_with_the_nearest(cli: Cli, tmp_path: Path, name: str) -> None:
    code, findings = examined(cli, **{name: "sqlite:///x"})
    told = next(finding for finding in findings if finding["state"] == "warning" and finding["check"] == "settings")
    assert name.upper() in told["message"]["zh"]
    assert "MATCHING_DATABASE_URL?" in told["advice"]["en"]
    assert code == 0


@ONLY_SQLITE
def test_the_file_of_settings_is_read_as_well(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MATCHING_ENCODR=none\nMATCHING_TARGETS=\nOTHER=1\n")
    done = subprocess.run(
        [sys.executable, "-m", "matching_service", "doctor", "--json"],
        cwd=tmp_path, env=cli.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    messages = [finding["message"]["en"] for finding in json.loads(done.stdout)]
    assert "MATCHING_ENCODR is not a setting." in messages
    assert "The value of MATCHING_TARGETS is empty." in messages
    assert not any("OTHER" in message for message in messages)


@pytest.mark.parametrize(
    ("settings", "check", "named"),
    [
        ({"MATCHING_NUDGE_DAYS": "many"}, "settings", "MATCHING_NUDGE_DAYS"),
        ({"MATCHING_DATABASE_URL": "mysql://h/d"}, "settings", "MATCHING_DATABASE_URL"),
        ({"MATCHING_TARGETS": "/absent/plan.toml"}, "plan", "/absent/plan.toml"),
        ({"MATCHING_FEED_MAPPING": "/absent/map.toml"}, "mapping", "/absent/map.toml"),
        ({"MATCHING_TEMPLATES_DIR": "/absent"}, "templates", "/absent"),
        ({"MATCHING_DATABASE_URL": "postgresql://u:geheim@127.0.0.1:1/d"}, "database", ""),
    ],
)
@ONLY_SQLITE
def test_each_fault_is_an_error_with_advice(cli: Cli, settings: dict[str, str], check: str, named: str) -> None:
    code, findings = examined(cli, **settings)
    (found,) = [finding for finding in findings if finding["state"] == "error"]
    assert code == 1
    assert found["check"] == check
    assert named in found["message"]["zh"]
    assert found["advice"]["zh"]
    assert "geheim" not in json.dumps(findings)


@ONLY_SQLITE
def test_a_database_that_is_missing_damaged_or_old(cli: Cli, tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "a.sqlite3"
    code, findings = examined(cli, MATCHING_DATABASE_URL=f"sqlite:///{absent}")
    assert (code, ("database", "error") in faults(findings), absent.parent.exists()) == (1, True, False)
    path = Path(cli.environment["MATCHING_DATABASE_URL"].partition(":///")[2])
    good = path.read_bytes()
    path.write_bytes(good[:4096] + b"\xff" * 4096 + good[8192:])
    assert ("database", "error") in faults(examined(cli)[1])
    path.write_bytes(good.replace(b"outbox", b"inbox_"))
    assert ("database", "error") in faults(examined(cli)[1])


async def test_an_old_schema(empty_database_url: str, tmp_path: Path) -> None:
    database = Database(empty_database_url)
    await migrate.upgrade(database, "+1")
    await database.close()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    cli = Cli(
        kept | {"MATCHING_DATABASE_URL": empty_database_url, "MATCHING_DATA_DIR": str(tmp_path), "PYTHONUTF8": "1"}
    )
    code, findings = examined(cli)
    assert (code, ("schema", "error") in faults(findings)) == (1, True)
    assert any("matching-service migrate" in finding["message"]["en"] for finding in findings)


async def test_an_index_that_is_ahead_and_a_clock_that_is_behind(cli: Cli, tmp_path: Path, database: Database) -> None:
    with_a_night(cli, tmp_path)
    async with database.transaction() as session:
        await session.execute(update(OutboxRow).values(at=now() + timedelta(hours=2)))
    assert faults(examined(cli)[1]) == [("clock", "error")]
    async with database.transaction() as session:
        await session.execute(update(OutboxRow).values(at=now()))
        await session.execute(update(OutboxRow).where(OutboxRow.entity == "profile").values(entity="other"))
    code, findings = examined(cli)
    assert (code, faults(findings)) == (1, [("index", "error")])
    (found,) = [finding for finding in findings if finding["state"] == "error"]
    assert "reindex" in found["advice"]["en"]


@ONLY_SQLITE
async def test_a_night_run_that_is_overdue(cli: Cli, tmp_path: Path, database: Database) -> None:
    assert ("night_run", "warning") in faults(examined(cli)[1])
    with_a_night(cli, tmp_path)
    async with database.transaction() as session:
        await session.execute(update(MatchRunRow).values(finished_at=now() - timedelta(hours=40)))
    code, findings = examined(cli)
    assert (code, faults(findings)) == (0, [("night_run", "warning")])
    async with database.transaction() as session:
        await session.execute(update(MatchRunRow).values(state="running", heartbeat_at=now() - timedelta(hours=2)))
    (found,) = [finding for finding in examined(cli)[1] if finding["state"] == "warning"]
    assert "rerank --resume" in found["advice"]["en"]
