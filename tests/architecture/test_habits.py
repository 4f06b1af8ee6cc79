"""The hooks before a commit are the checks of `make check`, and the changelog knows the version."""

import re
from pathlib import Path

import yaml

from matching_service import __version__

ROOT = Path(__file__).parents[2]


def test_the_hooks_are_the_checks_without_the_tests() -> None:
    checks = re.search(r"^check: (.*?) ##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert checks is not None
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert local["repo"] == "local", "a hook of another repository needs a network"
    entries = {hook["entry"] for hook in local["hooks"]}
    assert entries == {f"make {name}" for name in checks.group(1).split()} - {"make migrations", "make test"}


def test_the_changelog_has_a_section_for_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
