"""Backup and restore as an operator runs them: a server that works, a server that was killed, files that are damaged."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cli.command_lines import failed_in_both_languages
from conftest import Cli, _is_ready

pytestmark = pytest.mark.apart
ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ONLY_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@contextmanager
def killed_at_the_end(cli: Cli, log: Path) -> Iterator[httpx.Client]:
    """A server that gets no chance to end well, and a client with an administrator's key."""
    key = cli.run("keys", "create", "--role", "admin", "--name", f"operator {log.name}").stdout.strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "matching_service", "serve", "--port", str(port)],
            env=cli.environment | {"MATCHING_ENCODER": "none"}, stderr=stderr, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        while not _is_ready(url):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
        ) as http:
            yield http
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def post_demands(http: httpx.Client, prefix: str, n: int) -> None:
    for number in range(n):
        http.post("/v1/demands", json={"title": f"{prefix}{number}", "problem": "轴承寿命短"}).raise_for_status()


def titles(http: httpx.Client) -> list[str]:
    items = http.get("/v1/demands", params={"limit": 100}).raise_for_status().json()["items"]
    return sorted(item["title"] for item in items)


def database_path(cli: Cli) -> Path:
    return Path(cli.environment["MATCHING_DATABASE_URL"].partition(":///")[2])


@ONLY_SQLITE
def test_what_came_after_a_backup_does_not_come_back(cli: Cli, tmp_path: Path) -> None:
    """Copied over by hand, SQLite would apply the ``-wal`` of the killed server to the restored file."""
    file, weights, index = tmp_path / "night.zip", tmp_path / "data" / "weights", tmp_path / "data" / "index"
    weights.mkdir(parents=True)
    (weights / "fit-1.json").write_text("{}")
    (weights / "ACTIVE").write_text("default-2-none\n")
    with killed_at_the_end(cli, tmp_path / "before.log") as http:
        post_demands(http, "旧", 5)
        made = cli.run("backup", str(file), "--json")
        assert made.returncode == 0, made.stderr
        assert file.stat().st_mode & 0o077 == 0
        post_demands(http, "新", 40)
        (weights / "ACTIVE").write_text("fit-1\n")
        refused = cli.run("restore", str(file))
        assert failed_in_both_languages(refused), refused.stderr
        assert "systemctl stop" in refused.stderr
        assert len(titles(http)) == 45
        assert cli.run("reindex", MATCHING_ENCODER="none").returncode == 0
        assert list(index.glob("*/CURRENT"))
    path = database_path(cli)
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0
    restored = cli.run("restore", str(file))
    assert restored.returncode == 0, restored.stderr
    assert [found.name for found in path.parent.glob(f"{path.name}-*")] == []
    assert list(index.glob("*/CURRENT")) == [], "the index follows events that are gone"
    assert (weights / "ACTIVE").read_text() == "default-2-none\n"
    (kept,) = path.parent.glob(f"{path.name}.replaced-*")
    assert str(kept) in restored.stdout
    with killed_at_the_end(cli, tmp_path / "after.log") as http:
        assert titles(http) == [f"旧{n}" for n in range(5)]
        post_demands(http, "后", 1)
        again = cli.run("backup", str(file), "--json")
        assert json.loads(again.stdout)["as_of"] == json.loads(made.stdout)["as_of"] + 1
    shutil.move(kept, path)  # what was replaced is whole
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with killed_at_the_end(cli, tmp_path / "kept.log") as http:
        assert len(titles(http)) == 45


@ONLY_SQLITE
def test_a_damaged_database_is_told_by_backup_and_replaced_by_restore(cli: Cli, tmp_path: Path) -> None:
    file, path = tmp_path / "night.zip", database_path(cli)
    assert cli.run("backup", str(file)).returncode == 0
    good = path.read_bytes()
    for damage in (b"\0" * 4096 + good[4096:], good[: len(good) // 2], b"lost"):
        path.write_bytes(damage)
        refused = cli.run("backup", str(tmp_path / "other.zip"))
        assert failed_in_both_languages(refused), refused.stderr
        assert not (tmp_path / "other.zip").exists()
        restored = cli.run("restore", str(file))
        assert restored.returncode == 0, restored.stderr
        assert cli.run("keys", "list").returncode == 0
        for kept in path.parent.glob(f"{path.name}.replaced-*"):
            kept.unlink()


@ONLY_SQLITE
def test_restore_makes_a_database_where_there_is_none(cli: Cli, tmp_path: Path) -> None:
    file, path = tmp_path / "night.zip", database_path(cli)
    cli.run("keys", "create", "--role", "admin", "--name", "我")
    assert cli.run("backup", str(file)).returncode == 0
    path.unlink()
    restored = cli.run("restore", str(file), "--json")
    assert json.loads(restored.stdout)["kept"] is None, restored.stderr
    assert [key["name"] for key in json.loads(cli.run("keys", "list", "--json").stdout)] == ["我"]


@ONLY_SQLITE
def test_a_setting_that_differs_is_told(cli: Cli, tmp_path: Path) -> None:
    file, plan = tmp_path / "night.zip", tmp_path / "plan.toml"
    plan.write_text("a = 1")
    assert cli.run("backup", str(file), MATCHING_TARGETS=str(plan)).returncode == 0
    plan.write_text("a = 2")
    told = cli.run("restore", str(file), MATCHING_TARGETS=str(plan)).stdout
    assert str(plan) in told
    assert "MATCHING_TARGETS" not in told
    assert "MATCHING_TARGETS" in cli.run("restore", str(file)).stdout


@ONLY_SQLITE
def test_what_is_no_backup_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    file, path = tmp_path / "night.zip", database_path(cli)
    before = path.read_bytes()
    assert failed_in_both_languages(cli.run("backup", str(path))), "the database itself is not overwritten"
    assert cli.run("backup", str(file)).returncode == 0
    whole = file.read_bytes()
    empty_zip, newer = tmp_path / "empty.zip", tmp_path / "newer.zip"
    zipfile.ZipFile(empty_zip, "w").close()
    with zipfile.ZipFile(newer, "w") as archive, zipfile.ZipFile(file) as source:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(
                name, content if name != "backup.json" else json.dumps(json.loads(content) | {"revision": "z"})
            )
    middle = len(whole) // 2
    (tmp_path / "torn.zip").write_bytes(whole[:middle])
    (tmp_path / "flipped.zip").write_bytes(whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :])
    for name in ("empty.zip", "newer.zip", "torn.zip", "flipped.zip"):
        refused = cli.run("restore", str(tmp_path / name))
        assert failed_in_both_languages(refused), (name, refused.stderr)
    assert path.read_bytes() == before
    missing = cli.run("backup", str(tmp_path / "a.zip"), MATCHING_DATABASE_URL=f"sqlite:///{tmp_path}/absent/x.sqlite3")
    assert failed_in_both_languages(missing)
    assert not (tmp_path / "absent").exists()


@ONLY_POSTGRESQL
def test_postgresql_has_commands_of_its_own(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "night.dump").touch()
    for command, program in (("backup", "pg_dump"), ("restore", "pg_restore")):
        done = cli.run(command, str(tmp_path / "night.dump"))
        assert failed_in_both_languages(done)
        assert f"{program} --" in done.stderr
