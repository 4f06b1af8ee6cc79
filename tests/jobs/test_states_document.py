"""docs/states.md is what the tables say."""

from pathlib import Path

from matching_service.demands.states import LIFE
from matching_service.jobs.states import states_document

DOCUMENT = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_document_is_written_from_the_tables() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == states_document(), "run: make states"


def test_every_step_is_drawn_and_listed() -> None:
    text = states_document()
    for step in LIFE.steps:
        assert f"    {step.source} --> {step.target}\n" in text
        assert f"| {step.source} | {step.target} | " in text
