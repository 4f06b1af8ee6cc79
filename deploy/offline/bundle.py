"""Makes the bundle from which the service is installed without internet: ``make bundle``.

Run it on a machine of the same kind (operating system, processor, version of Python) that reaches a package index. The
bundle holds a wheel of each locked requirement and of the service, their hashes, ``install.sh`` and the systemd units.
Requirements that are published as source alone are built here, so that the other machine needs no compiler.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make_bundle(target: Path) -> Path:
    """Write the bundle into a folder and return its path."""
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "matching-service"
        wheels = bundle / "wheels"
        locked = ROOT / "requirements" / "runtime.txt"
        subprocess.run([*pip_wheel, "--require-hashes", "-r", locked, "-w", wheels], check=True)
        subprocess.run([*pip_wheel, "--no-build-isolation", "-w", wheels, ROOT], check=True)
        (own,) = wheels.glob("matching_service-*.whl")
        pins = [
            f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
            for wheel in sorted(wheels.iterdir())
            for name, version in [wheel.name.split("-")[:2]]
        ]
        (bundle / "requirements.txt").write_text("".join(pins), encoding="utf-8")
        (bundle / "PYTHON").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n", encoding="utf-8")
        shutil.copy(ROOT / "deploy" / "offline" / "install.sh", bundle)
        shutil.copytree(ROOT / "deploy" / "systemd", bundle / "systemd")
        shutil.copy(ROOT / "docs" / "operations.md", bundle)
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"matching-service-{own.name.split('-')[1]}-bundle.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:  # wheels are compressed already
            archive.add(bundle, bundle.name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(make_bundle(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
