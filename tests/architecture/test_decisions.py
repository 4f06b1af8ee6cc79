"""The index of the decisions lists every one of them, with the title and the state that its page tells."""

import re
from pathlib import Path

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"


def test_the_index_is_complete() -> None:
    expected = []
    for page in sorted(DECISIONS.glob("[0-9]*.md")):
        text = page.read_text(encoding="utf-8")
        number, title = text.partition("\n")[0].removeprefix("# ").split(" ", 1)
        assert page.name.startswith(number)
        changed = re.search(r"^\*\*(Replaced|Amended)\*\* by \[?(\d{4})", text, re.MULTILINE)
        state = f"{changed.group(1).lower()} by {changed.group(2)}" if changed else "holds"
        expected.append(f"| {number} | [{title}]({page.name}) | {state} |")
    lines = (DECISIONS / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r"\| \d", line)] == expected
