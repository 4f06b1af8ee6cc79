"""What every text of a body goes through."""

import pytest
from pydantic import ValidationError

from matching_service.demands.schemas import DemandCreate


@pytest.mark.parametrize("character", ["\x00", "\x1f", "\x7f", "\ufffe", "\uffff", "\ud800"])
def test_what_a_workbook_or_a_database_cannot_hold_is_refused(character: str) -> None:
    with pytest.raises(ValidationError):
        DemandCreate(title="泵", problem=f"a{character}b")


def test_every_line_end_becomes_one_kind() -> None:
    assert DemandCreate(title="泵", problem="a\r\nb\rc\n").problem == "a\nb\nc\n"


@pytest.mark.parametrize("blank", ["", " ", "\n\t "])
def test_a_blank_optional_text_says_nothing(blank: str) -> None:
    assert DemandCreate(title="泵", problem=blank).problem is None
