"""Workbooks to sheets: .xlsx, .xlsm, .xls, .et and .ods by calamine, which reads the cells and not the claimed range.

calamine lays a sheet out as one rectangle in memory and shows a failed formula as an empty cell. So an .xlsx is
looked through beforehand: how much it unpacks to, how far its cells reach, and which cells hold errors.
"""

import html
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import python_calamine as calamine

from matching_service.files.sheets import CellError, Merge, RawRow, Sheet
from matching_service.foundation.errors import Bilingual, InvalidInput

ZIP = b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_ROWS = 200_000
_MAX_SHEET_ROWS = MAX_ROWS + 1_000
_MAX_COLUMNS = 400
_MAX_UNPACKED_BYTES = 700_000_000
_MAX_SHARED_BYTES = 200_000_000
_MAX_PARTS = 5_000
_PIECE_BYTES = 1 << 20

_FAR_CELL = re.compile(
    rb"""<(?:\w+:)?c\b[^>]*?\br=["']([A-Z]{1,9}\d{6,}|[A-Z]{3,9}\d+)["'][^>]*(?<!/)>|<(?:\w+:)?row\b[^>]*?\br=["'](\d{7,})["']"""
)
_ERROR_CELL = re.compile(rb"""<(?:\w+:)?c\b(?=[^>]*\bt=["']e["'])([^>]*)(?<!/)>(.{0,400}?)</(?:\w+:)?c>""", re.DOTALL)
_REFERENCE = re.compile(r"""\br=["']([A-Z]+)(\d+)["']""")
_VALUE = re.compile(rb"<(?:\w+:)?v>([^<]*)</")
_MANY_EQUAL_CELLS = re.compile(
    rb"""number-columns-repeated="(\d{4,})"[^>]*office:value-type|"""
    rb"""office:value-type[^>]*number-columns-repeated="(\d{4,})"|"""
    rb"""number-rows-repeated="(\d{4,})"[^>]*>\s*<table:table-cell[^>]*office:value-type"""
)


@dataclass(slots=True)
class _Contents:
    """What an .xlsx says of itself. ``errors``: per sheet, by row from 1 and column from 0."""

    errors: dict[str, dict[tuple[int, int], str]] = field(default_factory=dict)
    starts_in_1904: bool = False


def read_workbook(path: Path) -> list[Sheet]:
    """All sheets of a workbook, in order; raises InvalidInput for a file that is none or is too big to be read."""
    contents = _looked_through(path) if _starts_with(path, ZIP) else _Contents()
    try:
        with path.open("rb") as file:
            book = calamine.CalamineWorkbook.from_filelike(file)
    except calamine.PasswordError as error:
        raise InvalidInput(
            "workbook_has_password",
            Bilingual(
                f"{path.name} 有密码，请去掉密码后再导入。", f"{path.name} has a password; remove it and import again."
            ),
        ) from error
    except Exception as error:  # calamine raises many kinds
        raise _no_workbook(path) from error
    sheets: list[Sheet] = []
    for about in book.sheets_metadata:
        if about.typ is calamine.SheetTypeEnum.WorkSheet:
            sheets.append(_sheet(path, book, about, contents))  # noqa: PERF401
    return sheets


def _sheet(path: Path, book: calamine.CalamineWorkbook, about: calamine.SheetMetadata, contents: _Contents) -> Sheet:
    try:
        found = book.get_sheet_by_name(about.name)
    except Exception as error:
        raise _no_workbook(path) from error
    errors = contents.errors.get(about.name, {})
    start = found.start
    left = start[1] if start is not None else 0

    def read() -> Iterator[RawRow]:
        if start is None:
            return
        for number, cells in enumerate(found.iter_rows(), start=1):
            row: list[Any] = [None] * left + [None if cell == "" else cell for cell in cells]
            yield RawRow(number, row)

    def read_with_errors() -> Iterator[RawRow]:
        by_row: dict[int, list[tuple[int, str]]] = {}
        for (number, column), name in errors.items():
            by_row.setdefault(number, []).append((column, name))
        last = 0
        for row in read():
            yield _with_errors(row, by_row.pop(row.number, ()))
            last = row.number
        for number in sorted(number for number in by_row if number > last):
            yield _with_errors(RawRow(number, []), by_row[number])

    merged = found.merged_cell_ranges or ()
    return Sheet(
        name=about.name,
        read=read_with_errors if errors else read,
        merges=[Merge(top + 1, left_, bottom + 1, right) for (top, left_), (bottom, right) in merged],
        is_visible=about.visible is calamine.SheetVisibleEnum.Visible,
        starts_in_1904=contents.starts_in_1904,
    )


def _with_errors(row: RawRow, errors: Any) -> RawRow:
    cells = list(row.cells)
    for column, name in errors:
        cells += [None] * (column + 1 - len(cells))
        cells[column] = CellError(name)
    return RawRow(row.number, cells, row.error)


def _looked_through(path: Path) -> _Contents:
    contents = _Contents()
    try:
        with zipfile.ZipFile(path) as package:
            parts = package.infolist()
            if len(parts) > _MAX_PARTS or sum(part.file_size for part in parts) > _MAX_UNPACKED_BYTES:
                raise _too_big(path)
            names = {part.filename for part in parts}
            if "content.xml" in names:
                _look_through_open_document(path, package)
            for part in parts:
                if part.filename.endswith("sharedStrings.xml") and part.file_size > _MAX_SHARED_BYTES:
                    raise _too_big(path)
            if "xl/workbook.xml" in names:
                book = package.read("xl/workbook.xml").decode("utf-8", "replace")
                contents.starts_in_1904 = bool(re.search(r"""date1904=["'](?:1|true)["']""", book))
                for name, part_name in _sheet_parts(package, book, names).items():
                    contents.errors[name] = _errors_of_sheet(path, package, part_name, name)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise _no_workbook(path) from error
    return contents


def _sheet_parts(package: zipfile.ZipFile, book: str, names: set[str]) -> Mapping[str, str]:
    """Per name of a sheet the part of the package that holds it."""
    relations = "xl/_rels/workbook.xml.rels"
    if relations not in names:
        return {}
    targets: dict[str, str] = {}
    for tag in re.findall(r"<(?:\w+:)?Relationship\b([^>]*)>", package.read(relations).decode("utf-8", "replace")):
        attributes = _attributes(tag)
        target = attributes.get("Target", "")
        part = target.lstrip("/") if target.startswith("/") else str(PurePosixPath("xl") / target)
        targets[attributes.get("Id", "")] = part
    found: dict[str, str] = {}
    for tag in re.findall(r"<(?:\w+:)?sheet\b([^>]*)>", book):
        attributes = _attributes(tag)
        relation = next((value for name, value in attributes.items() if name.endswith(":id") or name == "id"), "")
        part = targets.get(relation, "")
        if part in names:
            found[attributes.get("name", "")] = part
    return found


def _attributes(tag: str) -> dict[str, str]:
    return {name: html.unescape(a or b) for name, a, b in re.findall(r"""([\w:]+)=(?:"([^"]*)"|'([^']*)')""", tag)}


def _errors_of_sheet(path: Path, package: zipfile.ZipFile, part: str, name: str) -> dict[tuple[int, int], str]:
    """The cells that hold errors; raises InvalidInput for a cell so far out that the sheet would fill the memory."""
    errors: dict[tuple[int, int], str] = {}
    rest = b""
    with package.open(part) as file:
        while piece := file.read(_PIECE_BYTES):
            text = rest + piece
            cut = text.rfind(b"<row") if b"<row" in text[1:] else -1
            whole, rest = (text[:cut], text[cut:]) if cut > 0 else (b"", text)
            if len(rest) > 16 * _PIECE_BYTES:
                whole, rest = text, b""
            _scan(path, whole, name, errors)
    _scan(path, rest, name, errors)
    return errors


def _scan(path: Path, text: bytes, name: str, errors: dict[tuple[int, int], str]) -> None:
    for far in _FAR_CELL.finditer(text):
        reference = (far[1] or far[2]).decode()
        letters, digits = reference.rstrip("0123456789"), reference.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        if far[2]:
            is_too_far = len(digits) > 7 or int(digits) > 1_048_576
        else:
            is_too_far = len(digits) > 7 or int(digits) > _MAX_SHEET_ROWS or _column(letters) >= _MAX_COLUMNS
        if is_too_far:
            raise InvalidInput(
                "sheet_too_big",
                Bilingual(
                    f"{path.name} 的工作表“{name}”在 {reference} 处还有内容；最多 {MAX_ROWS:,} 行、{_MAX_COLUMNS} 列。"
                    "请删除远处多余的单元格，或分成几个文件。",
                    f"Sheet {name} of {path.name} reaches to {reference}; at most {MAX_ROWS:,} rows and {_MAX_COLUMNS} "
                    "columns are read. Delete stray cells, or split the file.",
                ),
            )
    if b'"e"' in text or b"'e'" in text:
        for cell in _ERROR_CELL.finditer(text):
            reference_ = _REFERENCE.search(cell[1].decode("utf-8", "replace"))
            value = _VALUE.search(cell[2])
            if reference_ is not None:
                word = value[1].decode("utf-8", "replace") if value is not None else "#ERROR"
                errors[int(reference_[2]), _column(reference_[1])] = word


def _look_through_open_document(path: Path, package: zipfile.ZipFile) -> None:
    """OpenDocument writes equal cells once, with how often they repeat."""
    rest = b""
    with package.open("content.xml") as file:
        while piece := file.read(_PIECE_BYTES):
            text = rest + piece
            if _MANY_EQUAL_CELLS.search(text):
                raise _too_big(path)
            rest = text[-2_000:]


def _column(letters: str) -> int:
    """From 0: A is 0, AA is 26."""
    number = 0
    for letter in letters[:9]:
        number = 26 * number + ord(letter) - 64
    return number - 1


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _no_workbook(path: Path) -> InvalidInput:
    message = Bilingual(
        f"{path.name} 不是有效的 XLSX 文件，可能已损坏；请用 Excel 或 WPS 打开后另存为 .xlsx。",
        f"{path.name} is not a valid XLSX file; open it in Excel or WPS and save it as .xlsx.",
    )
    return InvalidInput("not_a_workbook", message)


def _too_big(path: Path) -> InvalidInput:
    return InvalidInput(
        "file_too_big",
        Bilingual(
            f"{path.name} 解压后过大，请分成几个文件，并去掉图片等与表格无关的内容。",
            f"{path.name} unpacks to too much; split it, and remove pictures and other contents beside the table.",
        ),
    )
