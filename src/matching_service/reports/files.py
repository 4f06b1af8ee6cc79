"""The file formats of a report. xlsx and docx are filled from templates: the office's own, or those shipped with us."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput
from matching_service.reports.schemas import Report

Format = Literal["json", "xlsx", "docx"]
MEDIA_TYPES: Mapping[Format, str] = MappingProxyType(
    {
        "json": "application/json",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    }
)
_SHIPPED = Path(__file__).parent / "templates"
_UNREADABLE = (
    OSError,
    KeyError,
    ValueError,
    SyntaxError,  # malformed XML, in either parser
    zipfile.BadZipFile,
)


@dataclass(frozen=True, slots=True)
class Templates:
    """The contents of both template files, checked for mistakes."""

    xlsx: bytes
    docx: bytes


def load_templates(folder: Path | None) -> Templates:
    """Load the templates from a folder. A template that is missing there comes from the service.

    Raises InvalidInput that names every placeholder that cannot be filled.
    """
    if folder is not None and not folder.is_dir():
        raise _invalid(folder, ["文件夹不存在 the folder does not exist"])
    return Templates(
        xlsx=_load(folder, "report.xlsx", _mistakes_in_workbook),
        docx=_load(folder, "report.docx", _mistakes_in_document),
    )


def write_report(report: Report, templates: Templates, format_: Format) -> bytes:
    """Render the report as a file. CPU work: on the event loop, call it in a thread."""
    if format_ == "xlsx":
        from matching_service.reports.workbooks import write_workbook  # noqa: PLC0415  # see _mistakes_in_workbook

        return write_workbook(templates.xlsx, report)
    if format_ == "docx":
        from matching_service.reports.documents import write_document  # noqa: PLC0415  # see _mistakes_in_document

        return write_document(templates.docx, report)
    return report.model_dump_json(indent=2).encode()


def _load(folder: Path | None, name: str, mistakes_in: Callable[[bytes], list[str]]) -> bytes:
    if folder is None or not (path := folder / name).exists():
        return (_SHIPPED / name).read_bytes()  # a test checks these for mistakes
    try:
        template = path.read_bytes()
        mistakes = mistakes_in(template)
    except _UNREADABLE as error:
        raise _invalid(path, [f"不是有效的 {path.suffix} 文件 not a valid file: {error}"]) from error
    if mistakes:
        raise _invalid(path, mistakes)
    return template


def _mistakes_in_workbook(template: bytes) -> list[str]:
    from matching_service.reports.workbooks import mistakes_in_workbook  # noqa: PLC0415  # an eighth of a second at start

    return mistakes_in_workbook(template)


def _mistakes_in_document(template: bytes) -> list[str]:
    from matching_service.reports.documents import mistakes_in_document  # noqa: PLC0415  # a sixth of a second at start

    return mistakes_in_document(template)


def _invalid(path: Path, mistakes: list[str]) -> InvalidInput:
    reasons = "；".join(mistakes)
    return InvalidInput(
        "template_invalid",
        Bilingual(f"报告模板 {path} 有误：{reasons}", f"The report template {path} is invalid: {reasons}"),
        errors=[FieldError("template_invalid", Bilingual(mistake, mistake), "") for mistake in mistakes],
    )
