"""The bundle is made with an index and installed in a network namespace that has no way out."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from matching_service import __version__
from matching_service.store.migrate import newest_revision

pytestmark = pytest.mark.apart
ROOT = Path(__file__).parents[2]
OFFLINE = ROOT / "deploy" / "offline"
NO_WAY_OUT = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
NO_INDEX = re.compile(r"Could not find a version|No matching distribution|NewConnectionError|ConnectionError")


def environment() -> dict[str, str]:
    """Without what points to this checkout, and without settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MATCHING_", "PYTHON", "PIP_", "VIRTUAL"))
    } | {"PYTHON": sys.executable, "PYTHONUTF8": "1"}


def run(command: list[str], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), **more)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that comes out of the archive, on the other machine."""
    folder = tmp_path_factory.mktemp("bundle")
    made = run([sys.executable, str(OFFLINE / "bundle.py"), str(folder)])
    if made.returncode and NO_INDEX.search(made.stderr):
        pytest.skip("no package index can be reached, so no bundle can be made")
    assert made.returncode == 0, made.stderr
    archive = Path(made.stdout.strip())
    stated, name = archive.with_name(f"{archive.name}.sha256").read_text().split()
    assert (name, stated) == (archive.name, hashlib.sha256(archive.read_bytes()).hexdigest())
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    archive.unlink()
    yield folder / "matching-service"
    shutil.rmtree(folder)  # pytest would keep the 200 MB of three runs


def test_the_bundle_has_a_wheel_of_everything_and_its_hash(bundle: Path) -> None:
    wheels = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (bundle / "wheels").iterdir()}
    assert all(name.endswith(".whl") for name in wheels), "an sdist needs a compiler, and its build an index"
    assert any(name.startswith("jieba-") for name in wheels)
    assert f"matching_service-{__version__}-py3-none-any.whl" in wheels
    stated = re.findall(r"--hash=sha256:(\w+)", (bundle / "requirements.txt").read_text())
    assert sorted(stated) == sorted(wheels.values())


def test_the_bundle_installs_and_works_without_a_way_out(bundle: Path, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or run([*NO_WAY_OUT, "true"]).returncode:
        pytest.skip("this user may not make a network namespace")
    assert run(
        [*NO_WAY_OUT, sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 80), 5)"]
    ).returncode
    target = tmp_path / "opt"
    installed = run([*NO_WAY_OUT, str(bundle / "install.sh"), str(target)], cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    assert f"matching-service {__version__}" in installed.stdout
    program = str(target / "bin" / "matching-service")
    migrated = run([*NO_WAY_OUT, program, "migrate"], cwd=tmp_path)
    assert migrated.stdout.strip() == f"- -> {newest_revision()}", migrated.stderr
    for command in (["load-societies"], ["rerank"], ["doctor"], ["backup", "a.zip"]):
        done = run([*NO_WAY_OUT, program, *command], cwd=tmp_path)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    again = run([*NO_WAY_OUT, str(bundle / "install.sh"), str(target)], cwd=tmp_path)
    assert again.returncode == 0, "an upgrade is an installation over the former one"
    shutil.rmtree(target)


def test_another_python_is_named(tmp_path: Path) -> None:
    shutil.copy(OFFLINE / "install.sh", tmp_path)
    (tmp_path / "PYTHON").write_text("3.4\n")
    refused = run([str(tmp_path / "install.sh"), str(tmp_path / "opt")])
    assert refused.returncode == 1
    assert "Python 3.4" in refused.stderr
    assert not (tmp_path / "opt").exists()
