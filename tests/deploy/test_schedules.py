"""The timers that start the night run are read as their schedulers read them, and call a command that exists."""

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


def test_the_systemd_units_fit_together_and_call_the_command() -> None:
    service, timer = unit("matching-rerank.service"), unit("matching-rerank.timer")
    assert service["Service"]["Type"] == "oneshot"
    for key in ("ExecStartPre", "ExecStart"):
        program, *words = service["Service"][key].removeprefix("-").split()
        assert Path(program).name == "matching-service"
        assert_is_our_command(words)
    assert re.fullmatch(r"\*-\*-\* [0-2]\d:[0-5]\d:[0-5]\d Asia/Shanghai", timer["Timer"]["OnCalendar"])
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for path in SYSTEMD.iterdir():  # the program is not installed where this is tested
        text = path.read_text(encoding="utf-8").replace("/opt/matching-service/bin/matching-service", "/bin/true")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    units = [str(tmp_path / path.name) for path in sorted(SYSTEMD.iterdir())]
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    ours = [line for line in found.stderr.splitlines() if "matching-rerank" in line]
    assert ours == []
    calendar = unit("matching-rerank.timer")["Timer"]["OnCalendar"]
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
