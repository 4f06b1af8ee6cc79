"""The hooks that run before a commit are the checks of `make check`."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_hooks_are_the_checks_without_the_tests() -> None:
    checks = re.search(r"^check: (.*?) ##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert checks is not None
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert local["repo"] == "local", "a hook of another repository needs a network"
    entries = {hook["entry"] for hook in local["hooks"]}
    assert entries == {f"make {name}" for name in checks.group(1).split()} - {"make migrations", "make test"}
