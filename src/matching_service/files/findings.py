"""What an import tells: one finding per place of a file, in the file's own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matching_service.foundation.errors import Bilingual, FieldError

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """``refuses``: the row is not stored because of it; otherwise it is only reported.

    sheet : None where a file has no sheets. line : from 1, None for the file or sheet as a whole. heading : as the file
    writes it. field : the contract's name. value : the beginning of what the cell holds.
    """

    code: str
    message: Bilingual
    refuses: bool = True
    sheet: str | None = None
    line: int | None = None
    heading: str | None = None
    field: str | None = None
    value: str | None = None

    @property
    def error(self) -> FieldError:
        return FieldError(self.code, self.message, f"/{self.field}" if self.field else "")

    def as_json(self) -> Mapping[str, Any]:
        return {
            "code": self.code,
            "refuses": self.refuses,
            "sheet": self.sheet,
            "line": self.line,
            "heading": self.heading,
            "field": self.field,
            "value": self.value,
            "zh": self.message.zh,
            "en": self.message.en,
        }

    def sentence(self) -> str:
        """For a person: where it is, what is there, and what is wrong."""
        is_file = self.sheet is not None and self.sheet.lower().endswith((".docx", ".xlsx", ".xls", ".et"))
        place = " ".join(
            part
            for part in (
                f"{'文件' if is_file else '工作表'}“{self.sheet}”" if self.sheet else "",
                f"第 {self.line} 行 line {self.line}" if self.line is not None else "",
                f"“{self.heading}”列 column {self.field or self.heading}" if self.heading else "",
                f"内容“{self.value}”" if self.value else "",
            )
            if part
        )
        return f"{place}：{self.message.zh} {self.message.en}" if place else f"{self.message.zh} {self.message.en}"


def shown(value: Any) -> str | None:
    """The beginning of a value, on one line."""
    if value is None:
        return None
    text = " ".join(str(value)[: 4 * _LONGEST_SHOWN].split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
