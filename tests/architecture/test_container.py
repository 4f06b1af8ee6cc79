"""The container files cannot be run in every place where the tests run; what they name can be checked anywhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from matching_service.cli import app
from matching_service.foundation.settings import Settings
from matching_service.store import migrate

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")


def test_every_copied_path_exists_and_is_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert copied
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path in allowed


def test_what_is_copied_migrates(empty_database_url: str, tmp_path: Path) -> None:
    """The copies of the second stage, in an empty folder in place of the image's root."""
    image = tmp_path / "image"
    for source, target in re.findall(r"^COPY (?!--from)(src\S*|alembic\S*) /(\S+)$", DOCKERFILE, re.MULTILINE):
        shutil.copytree(ROOT / source, image / target, ignore=shutil.ignore_patterns("__pycache__"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    migrated = subprocess.run(
        [sys.executable, "-m", "matching_service", "migrate"],
        cwd=image / "app", env=kept | {"PYTHONPATH": str(image / "app"), "MATCHING_DATABASE_URL": empty_database_url},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert migrated.stdout.strip() == f"- -> {migrate.newest_revision()}", migrated.stderr


def test_the_command_exists_with_its_options() -> None:
    command = re.search(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    words = re.findall(r'"([^"]+)"', command.group(1))
    shown = CliRunner().invoke(app, [words[0], "--help"]).output
    for option in (word for word in words[1:] if word.startswith("--")):
        assert option in shown


def test_every_setting_that_is_named_exists() -> None:
    known = {f"MATCHING_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"MATCHING_[A-Z_]+", DOCKERFILE + COMPOSE)) <= known


def test_it_runs_without_root_and_says_whether_it_is_ready() -> None:
    assert re.search(r"^USER matching$", DOCKERFILE, re.MULTILINE)
    assert "/health/ready" in DOCKERFILE
    assert "HEALTHCHECK" in DOCKERFILE


def test_the_image_installs_only_pinned_and_hashed_requirements() -> None:
    assert "--require-hashes" in DOCKERFILE
    for name in ("runtime.txt", "dev.txt", "bench.txt", "docs.txt"):
        locked = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        assert "://" not in locked, "a lock file names no host"
        pins = [line for line in locked.splitlines() if re.match(r"^[A-Za-z0-9]", line)]
        assert pins
        assert all("==" in pin for pin in pins)
        assert locked.count("--hash=sha256:") >= len(pins)
