"""The formats of a report, and the templates of the two that people read: shipped with the service, or the office's."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from matching_service.foundation.errors import FieldError, InvalidInput, Text
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
    SyntaxError,  # XML that is not well-formed, by either parser
    zipfile.BadZipFile,
)


@dataclass(frozen=True, slots=True)
class Templates:
    """Both templates as they are in their files, free of mistakes."""

    xlsx: bytes
    docx: bytes


def load_templates(folder: Path | None) -> Templates:
    """The templates of a folder; what it does not have, or without a folder, comes from those of the service.

    Raises InvalidInput naming every placeholder that cannot be filled.
    """
    if folder is not None and not folder.is_dir():
        raise _invalid(folder, ["没有这个文件夹 there is no such folder"])
    return Templates(
        xlsx=_load(folder, "report.xlsx", _mistakes_in_workbook),
        docx=_load(folder, "report.docx", _mistakes_in_document),
    )


def write_report(report: Report, templates: Templates, format_: Format) -> bytes:
    """The report as a file; CPU work, so callers on the event loop run it in a thread."""
    if format_ == "xlsx":
        from matching_service.reports.workbooks import write_workbook  # noqa: PLC0415  # see _mistakes_in_workbook

        return write_workbook(templates.xlsx, report)
    if format_ == "docx":
        from matching_service.reports.documents import write_document  # noqa: PLC0415  # see _mistakes_in_document

        return write_document(templates.docx, report)
    return report.model_dump_json(indent=2).encode()


def _load(folder: Path | None, name: str, mistakes_in: Callable[[bytes], list[str]]) -> bytes:
    if folder is None or not (path := folder / name).exists():
        return (_SHIPPED / name).read_bytes()  # the tests know that they have no mistakes
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
    listed = "；".join(mistakes)
    return InvalidInput(
        "template_invalid",
        Text(f"报告模板 {path} 有误：{listed}", f"The template {path} cannot be used: {listed}"),
        errors=[FieldError("template_invalid", Text(mistake, mistake), "") for mistake in mistakes],
    )
