"""What is built of this checkout works without it: a wheel, and the wheel that is built of a source archive."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from matching_service.store import migrate

ROOT = Path(__file__).parents[2]


def run(*arguments: object, cwd: Path, **environment: str) -> str:
    """The output of a Python program; its errors, should it fail."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MATCHING_", "PYTHONPATH"))}
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=kept | environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def build_wheel(source: Path, folder: Path) -> Path:
    """As ``pip install`` builds it, with the pinned hatchling of this environment and without a network."""
    run(
        "-m",
        "pip",
        "wheel",
        source,
        "--wheel-dir",
        folder,
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        cwd=folder,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_a_wheel_holds_all_sources_and_migrations_and_nothing_else(wheel: Path) -> None:
    inside = {ROOT / "src": Path(), ROOT / "alembic": Path("matching_service/store/alembic")}
    expected = {
        (place / path.relative_to(folder)).as_posix()
        for folder, place in inside.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_an_installed_wheel_migrates_without_the_checkout(wheel: Path, empty_database_url: str, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run("-m", "pip", "install", wheel, "--target", installed, "--no-deps", "--no-index", "--quiet", cwd=elsewhere)
    environment = {"PYTHONPATH": str(installed), "MATCHING_DATABASE_URL": empty_database_url}
    used = run(
        "-c", "from matching_service.store import migrate; print(migrate.__file__)", cwd=elsewhere, **environment
    )
    assert Path(used.strip()).is_relative_to(installed)
    moved = run("-m", "matching_service", "migrate", cwd=elsewhere, **environment)
    assert moved.strip() == f"- -> {migrate.newest_revision()}"
    again = run("-m", "matching_service", "migrate", cwd=elsewhere, **environment)
    assert again.strip() == f"{migrate.newest_revision()} -> {migrate.newest_revision()}"


def test_the_source_archive_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    run("-m", "hatchling", "build", "--target", "sdist", "--directory", tmp_path, cwd=ROOT)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    made = tmp_path / "made"
    made.mkdir()
    again = build_wheel(next((tmp_path / "unpacked").iterdir()), made)
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()
