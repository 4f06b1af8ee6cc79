"""docs/dependencies.md gives each dependency of the service one line."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_runtime_dependency_has_one_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = sorted(re.split(r"[\[<>=; ]", requirement)[0] for requirement in project["dependencies"])
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE) == declared
