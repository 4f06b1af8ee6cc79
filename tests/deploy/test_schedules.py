"""The units and schedules are read as systemd, cron and Kubernetes read them, and call commands that exist."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from matching_service.cli import app
from matching_service.foundation.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
SYSTEMD = DEPLOY / "systemd"
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def assert_is_our_command(words: list[str]) -> None:
    """``words`` : what stands after the program's name."""
    shown = CliRunner().invoke(app, [words[0], "--help"])
    assert shown.exit_code == 0, words
    for option in words[1:]:
        assert option in shown.output


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read_string((SYSTEMD / name).read_text(encoding="utf-8"))
    return parser


SERVICES = ("serve", "rerank", "deadlines", "backup")
TIMERS = ("rerank", "deadlines", "backup")


def test_there_is_a_unit_for_each_command() -> None:
    names = {f"matching-{name}.service" for name in SERVICES} | {f"matching-{name}.timer" for name in TIMERS}
    assert {path.name for path in SYSTEMD.iterdir()} == names | {"matching-service.env.example"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_calls_its_command_and_may_write_its_own_folders_alone(name: str) -> None:
    service = unit(f"matching-{name}.service")["Service"]
    assert service["Type"] == ("exec" if name == "serve" else "oneshot")
    for key in {"ExecStartPre", "ExecStart"} & set(service):
        program, *words = re.sub(r"^-|/bin/sh -c 'exec |'$", "", service[key]).split()
        assert program == "/opt/matching-service/bin/matching-service"
        assert words[0] == name
        assert_is_our_command([words[0], *(word for word in words if word.startswith("--"))])
    assert service["EnvironmentFile"] == "/etc/matching-service.env"
    assert (service["ProtectSystem"], service["ReadWritePaths"]) == ("strict", "/var/lib/matching-service")
    assert service["CacheDirectory"] == "matching-service"


@pytest.mark.parametrize("name", TIMERS)
def test_a_timer_starts_its_service_at_night(name: str) -> None:
    timer = unit(f"matching-{name}.timer")
    assert re.fullmatch(r"\*-\*-\* [0-2]\d:[0-5]\d:[0-5]\d Asia/Shanghai", timer["Timer"]["OnCalendar"])
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_backup_and_deadlines_come_before_the_night_run() -> None:
    begins = [unit(f"matching-{name}.timer")["Timer"]["OnCalendar"] for name in ("backup", "deadlines", "rerank")]
    assert begins == sorted(begins)


def test_the_example_of_settings_names_settings_that_exist_with_good_values(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (SYSTEMD / "matching-service.env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^#?([A-Z_]+)=(\S+)$", text, re.MULTILINE))
    assert given.pop("NUMBA_CACHE_DIR") == "/var/cache/matching-service"
    assert {"MATCHING_DATA_DIR", "MATCHING_DATABASE_URL"} <= set(given)
    assert set(given) <= {f"MATCHING_{name.upper()}" for name in Settings.model_fields}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    Settings()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    units = [path for path in sorted(SYSTEMD.iterdir()) if path.suffix in {".service", ".timer"}]
    for path in units:  # the program is not installed where this is tested
        text = path.read_text(encoding="utf-8").replace("/opt/matching-service/bin/matching-service", "/bin/true")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / path.name) for path in units)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in found.stderr.splitlines() if "matching-" in line]
    assert ours == []
    for name in TIMERS:
        calendar = unit(f"matching-{name}.timer")["Timer"]["OnCalendar"]
        subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, check=True)


def test_the_cron_line_is_one() -> None:
    lines = (DEPLOY / "cron" / "matching-rerank").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if re.fullmatch(r"[A-Z_]+=\S+", line)]
    assert settings == ["CRON_TZ=Asia/Shanghai"]
    jobs = [line for line in lines if line and not line.startswith("#") and line not in settings]
    assert len(jobs) == 1
    *when, user, command = jobs[0].split(maxsplit=6)
    for field, (least, most) in zip(when, RANGES, strict=True):
        assert field == "*" or least <= int(field) <= most
    assert user == "matching"
    assert "%" not in command, "cron reads it as the end of a line"
    assert_is_our_command(command.split("bin/matching-service ")[1].split())


def test_the_cron_job_of_kubernetes_has_what_batch_v1_asks_for() -> None:
    job: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "rerank-cronjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    spec = job["spec"]
    assert len(spec["schedule"].split()) == 5
    assert spec["concurrencyPolicy"] == "Forbid"  # a second run would refuse, and be taken for a failure
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert_is_our_command(container["args"])
    known = {f"MATCHING_{name.upper()}" for name in Settings.model_fields}
    assert {each["name"] for each in container["env"]} <= known
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
