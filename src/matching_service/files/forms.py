"""Forms, one demand a document: a 技术需求征集表 as a Word table or a sheet, alone, in a folder or in a zip.

A form is a grid of cells with labels and, beside or below each, its value. It becomes a table of one row whose sheet
has the name of the file, so that it is checked, stored and told like any other row.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from docx.oxml import parse_xml

from matching_service.files.headings import ORGANIZATION_NAME, Form, Heading
from matching_service.files.sheets import RawRow, Sheet, is_filled
from matching_service.files.tables import DataTable
from matching_service.files.workbooks import read_workbook
from matching_service.foundation.errors import Bilingual, InvalidInput

CONTACT = {"contact_person": "person", "contact_mobile": "mobile", "contact_email": "email"}
"""Fields of a form that are no fields of a demand -> those of its contact data, which are kept apart."""
FORM_LABELS: Mapping[str, str] = {
    "external_id": "需求编号",
    "title": "技术需求名称",
    ORGANIZATION_NAME: "企业名称",
    "region": "所在地区",
    "contact_person": "联系人",
    "contact_mobile": "联系电话",
    "contact_email": "电子邮箱",
    "cluster": "所属产业集群",
    "field": "技术领域",
    "industry_code": "行业代码",
    "keywords": "关键词",
    "funding_wan": "拟投入资金总额（万元）",
    "years": "起止年份",
    "cooperation": "技术需求解决方式",
    "wanted_partners": "意向合作单位",
    "expires_on": "截止日期",
    "problem": "主要问题",
    "key_technology": "关键技术",
    "expected_goal": "预期目标",
    "must_have": "必备条件",
    "nice_to_have": "优先条件",
}
"""The labels of the empty form, in its order. Other names are read as in tables."""
PARTS = ("problem", "key_technology", "expected_goal")
_OTHER_NAMES = {
    "contact_person": "联系人 联系人姓名 需求联系人 技术联系人 项目联系人 联络人",
    "contact_mobile": "联系电话 联系方式 手机 手机号 手机号码 电话 联系人电话 移动电话 联系手机",
    "contact_email": "电子邮箱 邮箱 电子邮件 email e-mail 联系邮箱",
    "years": "起止年份 起止年限 起止时间 研发周期 实施年限 实施周期 项目周期 起止年月 研发起止年份",
    "credit_code": "统一社会信用代码 信用代码 社会信用代码",
    "": "填报日期 填表日期 日期 填表人 填报人 "
    "联系地址 通讯地址 单位地址 企业地址 职务 传真 邮编 法定代表人 单位负责人 "
    "单位盖章 企业盖章 盖章 公章 备注 填表说明 填报说明 审核意见 推荐单位意见 主管部门意见 企业性质 单位性质 "
    "成立时间 注册资本 员工人数 职工人数 主营业务 企业简介 单位简介 "
    "需求情况 企业基本情况 基本情况 基本信息 企业信息 需求信息 联系信息",
}
_MAX_FORMS = 2_000
_MAX_FORM_BYTES = 20_000_000
_MAX_UNPACKED_BYTES = 400_000_000
_MAX_XML_BYTES = 20_000_000
_MAX_ROWS = 300
_MAX_COLUMNS = 60
_MIN_LABELLED_ROWS = 4
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SYMBOLS = {"F0FE": "☑", "F0FD": "☑", "F052": "☑", "F0FC": "√", "F050": "√", "F0A8": "□", "F06F": "□", "F0A3": "□"}
_CHECKED = "☑☒√✓✔■▣"
_UNCHECKED = "□☐○◻"
_IN_BRACKETS = re.compile(rf"([^\s()（）{_CHECKED}{_UNCHECKED}]+)\s*[(（]\s*[{_CHECKED}]\s*[)）]")
_BEFORE = re.compile(rf"[{_CHECKED}]\s*([^{_CHECKED}{_UNCHECKED}]+)")
_AFTER = re.compile(rf"([^{_CHECKED}{_UNCHECKED}\s]+)\s*[{_CHECKED}]")
_HAS_BOX = re.compile(rf"[{_CHECKED}{_UNCHECKED}]|[(（]\s*[)）]")
_YEAR = re.compile(r"(?<!\d)(20\d\d)(?!\d)")
_ADVICE = {
    ".doc": ("旧版 Word 文档，请用 Word 或 WPS 另存为 .docx", "an old Word document; save it as .docx"),
    ".wps": ("WPS 文字文档，请另存为 .docx", "a WPS document; save it as .docx"),
    ".pdf": (
        "PDF，扫描件中的文字无法可靠读取，请索取 Word 或 Excel 原件",
        "a PDF, which cannot be read reliably; ask for the Word or Excel original",
    ),
    ".jpg": ("图片，请索取 Word 或 Excel 原件", "a picture; ask for the Word or Excel original"),
    ".png": ("图片，请索取 Word 或 Excel 原件", "a picture; ask for the Word or Excel original"),
    ".zip": ("压缩包中的压缩包，请先解压", "an archive in an archive; unpack it first"),
    ".rar": ("RAR 压缩包，请解压后压缩为 .zip", "a RAR archive; make it a .zip"),
}
_WORKBOOKS = {".xlsx", ".xlsm", ".xls", ".et", ".ods"}


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of the grid, merged cells as one. ``right`` and ``bottom`` are inclusive."""

    top: int
    left: int
    bottom: int
    right: int
    text: str


def is_collection(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() == ".zip"


def tables_of_forms(path: Path, form: Form) -> list[DataTable]:
    """Read all forms of a folder or a zip. A file that cannot be read is a row that says why."""
    with TemporaryDirectory() as folder:
        found = _unpacked(path, Path(folder)) if not path.is_dir() else _in_folder(path)
        return [_table_of_file(name, file, error, form) for name, file, error in found]


def table_of_word_form(path: Path, form: Form, name: str | None = None) -> DataTable:
    """Read a .docx; raises InvalidInput where it is none, or no form."""
    table = _table(name or path.name, _word_grid(path), form)
    if table is None:
        raise _no_form(name or path.name)
    return table


def table_of_sheet_form(sheet: Sheet, form: Form, name: str) -> DataTable | None:
    """Read a sheet as a form; None where its labels are not spread over it as on a form."""
    rows = list(islice(sheet.read(), _MAX_ROWS + 1))
    if len(rows) > _MAX_ROWS:
        return None
    covered: dict[tuple[int, int], tuple[int, int]] = {}
    for merge in sheet.merges:
        if merge.bottom - merge.top <= _MAX_ROWS and merge.right - merge.left <= 10 * _MAX_COLUMNS:
            covered[merge.top, merge.left] = (merge.bottom, merge.right)
    hidden = {
        (row, column)
        for (top, left), (bottom, right) in covered.items()
        for row in range(top, bottom + 1)
        for column in range(left, min(right, left + _MAX_COLUMNS) + 1)
        if (row, column) != (top, left)
    }
    cells: list[_Cell] = []
    for row in rows:
        for column, value in enumerate(row.cells[:_MAX_COLUMNS]):
            if (row.number, column) not in hidden:
                bottom, right = covered.get((row.number, column), (row.number, column))
                cells.append(_Cell(row.number, column, bottom, right, _text(value)))
    return _table(name, cells, form)


def _table_of_file(name: str, file: Path | None, error: Bilingual | None, form: Form) -> DataTable:
    if file is None or error is not None:
        return _refused(name, error or _no_form(name).detail, form)
    try:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix == ".docx":
            return table_of_word_form(file, form, name)
        if suffix in _WORKBOOKS:
            for sheet in read_workbook(file):
                if sheet.is_visible and (table := table_of_sheet_form(sheet, form, name)) is not None:
                    return table
            return _refused(name, _no_form(name).detail, form)
    except InvalidInput as found:
        detail = found.detail
        own = Bilingual(detail.zh.replace(file.name, name), detail.en.replace(file.name, name))
        return _refused(name, own, form)
    return _refused(name, _advice(name), form)


def _refused(name: str, error: Bilingual, form: Form) -> DataTable:
    return DataTable(Sheet(name, lambda: iter([RawRow(1, [name], error)])), form, 1, 0, {})


def _in_folder(path: Path) -> Iterator[tuple[str, Path | None, Bilingual | None]]:
    files = sorted(file for file in path.rglob("*") if file.is_file() and not _is_litter(file.name))
    if len(files) > _MAX_FORMS:
        raise _too_many(path.name)
    for file in files:
        name = file.relative_to(path).as_posix()
        is_outside = not file.resolve().is_relative_to(path.resolve())
        error = _OUTSIDE if is_outside else _TOO_BIG if file.stat().st_size > _MAX_FORM_BYTES else None
        yield name, None if error else file, error


def _unpacked(path: Path, folder: Path) -> Iterator[tuple[str, Path | None, Bilingual | None]]:
    """Each member in a file whose name is ours, so that no name in an archive leads anywhere."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        message = Bilingual(
            f"{path.name} 不是有效的 ZIP 压缩包，可能已损坏。", f"{path.name} is not a valid zip archive."
        )
        raise InvalidInput("not_an_archive", message) from error
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > _MAX_FORMS:
            raise _too_many(path.name)
        if sum(member.file_size for member in members) > _MAX_UNPACKED_BYTES:
            message = Bilingual(
                f"{path.name} 解压后过大，请分成几个压缩包。", f"{path.name} unpacks to too much; split it."
            )
            raise InvalidInput("file_too_big", message)
        for number, member in enumerate(members):
            name = _member_name(member)
            if _is_litter(PurePosixPath(name).name) or name.startswith("__MACOSX/"):
                continue
            file = folder / f"{number}{PurePosixPath(name).suffix.lower()[:8]}"
            refusal = _unpack(archive, member, name, file)
            yield name, None if refusal else file, refusal
            file.unlink(missing_ok=True)


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, file: Path) -> Bilingual | None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or re.match(r"^[A-Za-z]:", name):
        return _OUTSIDE
    if member.file_size > _MAX_FORM_BYTES:
        return _TOO_BIG
    try:
        with archive.open(member) as source:
            # The size that an archive states may be false.
            content = source.read(_MAX_FORM_BYTES + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError, zlib.error):
        return Bilingual(
            "无法解压：可能已损坏，或压缩包有密码。", "It cannot be unpacked: damaged, or the archive has a password."
        )
    if len(content) > _MAX_FORM_BYTES:
        return _TOO_BIG
    file.write_bytes(content)
    return None


def _member_name(member: zipfile.ZipInfo) -> str:
    """Windows writes names in GBK and says nothing of it; Python then reads them as code page 437."""
    if member.flag_bits & 0x800:
        return member.filename
    raw = member.filename.encode("cp437", "replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return member.filename


def _is_litter(name: str) -> bool:
    return name.startswith(("~$", ".")) or name in {"Thumbs.db", "desktop.ini"}


# The grid of a form


def _table(name: str, cells: Sequence[_Cell], form: Form) -> DataTable | None:
    labels = _Labels(form)
    values, is_spread = _values(cells, labels)
    if "title" not in labels.seen or not is_spread:
        return None
    columns = [(heading, text) for heading, text in values if heading.field and text]
    columns.sort(key=lambda column: column[0].field != "title")
    headings = {place: _known(heading, form) for place, (heading, _) in enumerate(columns)}
    row = RawRow(1, [text for _, text in columns])
    if not any(heading.field == "title" for heading, _ in columns):
        row = RawRow(
            1,
            row.cells or [name],
            Bilingual("没有填写技术需求名称。", "The title of the demand (技术需求名称) is empty."),
        )
    if sum(heading.field == "title" for heading, _ in columns) > 1:
        row = RawRow(
            1, row.cells, Bilingual("一个文件中有多项需求，请每项需求一个文件。", "Several demands in one file; use one file each.")  # noqa: E501
        )  # fmt: skip
    return DataTable(Sheet(name, lambda: iter([row])), form, 1, 0, headings)


def _known(heading: Heading, form: Form) -> Heading:
    """A label whose value nobody keeps yet is told as one that was not read."""
    return heading if heading.field in form.columns | CONTACT.keys() else Heading(heading.text, None)


class _Labels:
    """The labels of a form, by the names that tables know, and those that only forms have."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._others = {text: field for field, texts in _OTHER_NAMES.items() for text in texts.split()}
        self.seen: set[str] = set()

    def of(self, text: str) -> Heading | None:
        """The label that a cell holds; field "" for one of no interest. None for a text that is no label."""
        if not text or len(text) > 80:
            return None
        found = self._form.heading(text)
        bare = re.sub(r"[(（\[【][^()（）\[\]【】]*[)）\]】]|[\s:：*★_]", "", text)
        bare = re.sub(r"^[一二三四五六七八九十\d]{1,2}[、.．]", "", bare)
        if (own := self._others.get(bare.casefold())) is not None:
            found = Heading(text, own)
        if found.field in {None, "id", "status"}:
            return None
        self.seen.add(found.field or "")
        return found

    def inline(self, text: str) -> tuple[Heading, str] | None:
        """A label and its value in one cell: 企业名称（盖章）：某某公司."""
        label, colon, value = text.replace("：", ":", 1).partition(":")
        if colon and len(label) <= 60 and "\n" not in label and (found := self.of(label)) is not None:
            value = value.strip()
            if len(value) < 80 and self.inline(value) is not None:  # 企业（盖章）：      填报日期：
                value = ""
            return Heading(label.strip(), found.field, found.wan), value
        return None


def _values(cells: Sequence[_Cell], labels: _Labels) -> tuple[list[tuple[Heading, str]], bool]:  # noqa: C901
    """Each label with its value, and whether the labels are spread as on a form."""
    by_place = {(cell.top, cell.left): cell for cell in cells}
    at = {(row, cell.left): cell for cell in cells for row in range(cell.top, min(cell.bottom, cell.top + 300) + 1)}
    in_row: dict[int, list[_Cell]] = {}
    for cell in cells:
        in_row.setdefault(cell.top, []).append(cell)
    label_of = {place: label for place, cell in by_place.items() if (label := labels.of(cell.text)) is not None}
    taken: set[tuple[int, int]] = set()
    found: list[tuple[Heading, str]] = []
    labelled: dict[int, int] = {}
    """Row -> how many labels it has."""
    order = sorted(by_place)
    for place in order:
        cell = by_place[place]
        if place in taken:
            continue
        if (label := label_of.get(place)) is None:
            if (pairs := _parts(cell.text, labels)) or (
                (one := labels.inline(cell.text)) is not None and (pairs := [one])
            ):
                found += pairs
                labelled[cell.top] = labelled.get(cell.top, 0) + 1
            continue
        labelled[cell.top] = labelled.get(cell.top, 0) + 1
        right = at.get((cell.top, cell.right + 1))
        is_alone = not any(other.text for other in in_row[cell.top] if other is not cell)
        if right is not None and not is_alone and (right.top, right.left) not in label_of:
            values = [right]
        elif is_alone and (right is None or not right.text):
            values = _below_alone(cell, order, by_place, in_row, label_of, labels)
        else:
            below = at.get((cell.bottom + 1, cell.left))
            values = [below] if below is not None and (below.top, below.left) not in label_of else []
        taken |= {(value.top, value.left) for value in values}
        text = "\n".join(value.text for value in values).strip()
        if (parts := _parts(text, labels)) and label.field in {*PARTS, ""}:
            found += parts
        elif label.field == "years":
            years = _YEAR.findall(text)
            ends = zip(("start_year", "end_year"), (years[0], years[-1]), strict=True) if years else ()
            found += [(Heading(label.text, field), year) for field, year in ends]
        elif label.field:
            found.append((label, text))
    return _first_of_each([(heading, _ticked(text)) for heading, text in found]), _is_spread(labelled)


def _is_spread(labelled: Mapping[int, int]) -> bool:
    """Whether labels stand in several rows; a table has most of them in one."""
    return len(labelled) >= _MIN_LABELLED_ROWS and 2 * max(labelled.values()) <= sum(labelled.values())


def _below_alone(  # noqa: PLR0917
    cell: _Cell,
    order: Sequence[tuple[int, int]],
    by_place: Mapping[tuple[int, int], _Cell],
    in_row: Mapping[int, Sequence[_Cell]],
    label_of: Mapping[tuple[int, int], Heading],
    labels: _Labels,
) -> list[_Cell]:
    """The texts below a heading that has the whole width, up to the next label."""
    values: list[_Cell] = []
    for place in order:
        if place[0] <= cell.bottom:
            continue
        other = by_place[place]
        is_alone = not any(one.text for one in in_row[other.top] if one is not other)
        if not other.text:
            continue
        if place in label_of or not is_alone or labels.inline(other.text.split("\n", 1)[0]) is not None:
            break
        values.append(other)
    return values


def _parts(text: str, labels: _Labels) -> list[tuple[Heading, str]]:
    """Parts of one cell under headings of their own: 1.主要问题：… 2.关键技术：…"""
    if "\n" not in text:
        return []
    parts: list[tuple[Heading, list[str]]] = []
    for line in text.split("\n"):
        label, rest = labels.of(line.strip()), ""
        if label is None and (one := labels.inline(line.strip())) is not None:
            label, rest = one
        if label is not None and label.field is not None and (label.field in PARTS or parts == []):
            parts.append((label, [rest] if rest else []))
        elif not parts:
            return []
        else:
            parts[-1][1].append(line)
    pairs = [(label, "\n".join(lines).strip()) for label, lines in parts]
    return pairs if any(label.field in PARTS for label, _ in pairs) else []


def _first_of_each(found: Sequence[tuple[Heading, str]]) -> list[tuple[Heading, str]]:
    """One value a field: an empty place, or the same text again, does not count. Two titles are two demands."""
    kept: dict[str, tuple[Heading, str]] = {}
    more: list[tuple[Heading, str]] = []
    for heading, text in found:
        if not heading.field or not text:
            continue
        earlier = kept.setdefault(heading.field, (heading, text))
        if heading.field == "title" and earlier[1] != text:
            more.append((heading, text))
    return [*kept.values(), *more]


def _ticked(text: str) -> str:
    """The ticked words of check boxes; any other text as it is."""
    if ("\n" in text.strip() and len(text) > 400) or not _HAS_BOX.search(text):
        return text
    ticked = [word.strip() for word in _IN_BRACKETS.findall(text)]
    if not ticked and re.search(r"[(（]\s*[)）]", text) and not re.search(rf"[{_CHECKED}{_UNCHECKED}]", text):
        return "" if text.count("（") + text.count("(") > 1 else text
    if not ticked:
        is_before = text.lstrip()[0] in _CHECKED + _UNCHECKED
        ticked = [word.strip() for word in (_BEFORE if is_before else _AFTER).findall(text)]
    words = [re.sub(r"[_＿\s:：;；,，、]+$", "", word) for word in ticked]
    return "、".join(word for word in words if word)


def _text(value: Any) -> Any:
    if not is_filled(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = value.date().isoformat() if hasattr(value, "date") and callable(value.date) else str(value)
    return text.strip()


# Word


def _word_grid(path: Path) -> list[_Cell]:
    """Paragraphs as rows of one cell, and tables with their merged cells, in the order of the document."""
    body = _word_body(path)
    cells: list[_Cell] = []
    row = 1
    for block in _blocks(body):
        if block.tag == f"{_WORD}tbl":
            row = _word_table(block, row, cells)
        elif text := _word_text(block).strip():
            cells.append(_Cell(row, 0, row, _MAX_COLUMNS, text))
            row += 1
        if row > 10 * _MAX_ROWS:
            raise _no_form(path.name)
    return cells


def _word_body(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as package:
            part = package.getinfo("word/document.xml")
            if part.file_size > _MAX_XML_BYTES:
                raise InvalidInput("file_too_big", _TOO_BIG)
            with package.open(part) as file:
                content = file.read(_MAX_XML_BYTES + 1)
            if len(content) > _MAX_XML_BYTES:
                raise InvalidInput("file_too_big", _TOO_BIG)
        body = parse_xml(content).find(f"{_WORD}body")  # resolves no entities
    except (
        zipfile.BadZipFile, zlib.error, KeyError, OSError, EOFError, RuntimeError, NotImplementedError, ValueError,
        SyntaxError,
    ) as error:  # fmt: skip
        raise _no_document(path.name) from error
    if body is None:
        raise _no_document(path.name)
    return body


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables, also those in content controls."""
    for child in parent:
        if child.tag in {f"{_WORD}p", f"{_WORD}tbl"}:
            yield child
        elif child.tag == f"{_WORD}sdt" and (content := child.find(f"{_WORD}sdtContent")) is not None:
            yield from _blocks(content)


def _word_table(table: Any, first: int, cells: list[_Cell]) -> int:
    """Add the cells of a table whose first row has this number; returns the number of the row after it."""
    open_cells: dict[int, int] = {}
    row = first
    for line in _children(table, "tr"):
        column = 0
        for box in _children(line, "tc"):
            properties = box.find(f"{_WORD}tcPr")
            span = properties.find(f"{_WORD}gridSpan") if properties is not None else None
            width = _number(span.get(f"{_WORD}val") if span is not None else None)
            merge = properties.find(f"{_WORD}vMerge") if properties is not None else None
            is_more = merge is not None and merge.get(f"{_WORD}val") != "restart"
            if is_more and column in open_cells:
                above = cells[open_cells[column]]
                cells[open_cells[column]] = _Cell(above.top, above.left, row, above.right, above.text)
            else:
                text = "\n".join(t for block in _blocks(box) if (t := _block_text(block)))
                open_cells.pop(column, None)
                if merge is not None:
                    open_cells[column] = len(cells)
                cells.append(_Cell(row, column, row, column + width - 1, text.strip()))
            column += width
        row += 1
        if row - first > _MAX_ROWS:
            break
    return row


def _children(parent: Any, name: str) -> Iterator[Any]:
    for child in parent:
        if child.tag == f"{_WORD}{name}":
            yield child
        elif child.tag == f"{_WORD}sdt" and (content := child.find(f"{_WORD}sdtContent")) is not None:
            yield from _children(content, name)


def _number(text: str | None) -> int:
    return min(int(text), _MAX_COLUMNS) if text is not None and text.isdecimal() and text != "0" else 1


def _block_text(block: Any) -> str:
    if block.tag == f"{_WORD}p":
        return _word_text(block)
    rows = (_children(block, "tr"),)
    return "\n".join(" ".join(_word_text(cell) for cell in _children(row, "tc")) for row in rows[0])


def _word_text(element: Any) -> str:
    """Text with line breaks and check boxes, without what a tracked change has deleted."""
    pieces: list[str] = []
    stack = [element]
    while stack:
        one = stack.pop()
        if one.tag == _FALLBACK:
            continue
        if one.tag == f"{_WORD}t":
            pieces.append(one.text or "")
        elif one.tag in {f"{_WORD}br", f"{_WORD}cr"}:
            pieces.append("\n")
        elif one.tag == f"{_WORD}tab":
            pieces.append(" ")
        elif one.tag == f"{_WORD}sym":
            pieces.append(_SYMBOLS.get((one.get(f"{_WORD}char") or "").upper(), ""))
        elif one.tag != f"{_WORD}pPr":
            stack += reversed(list(one))
    return "".join(pieces)


_OUTSIDE = Bilingual("文件名指向目录之外，未读取。", "Its name leads outside the folder; it was not read.")
_TOO_BIG = Bilingual("文件过大，请去掉图片和附件后重试。", "The file is too big; remove pictures and attachments.")


def _advice(name: str) -> Bilingual:
    zh, en = _ADVICE.get(PurePosixPath(name).suffix.lower(), ("不认识的文件格式", "of an unknown format"))
    return Bilingual(f"{name} 是{zh}。可导入 .docx、.xlsx 征集表。", f"{name} is {en}. Forms are .docx or .xlsx.")


def _no_document(name: str) -> InvalidInput:
    return InvalidInput(
        "not_a_document",
        Bilingual(
            f"{name} 不是有效的 Word 文档，可能已损坏或有密码；请用 Word 或 WPS 打开后另存为 .docx。",
            f"{name} is not a valid Word document, or has a password; open it in Word or WPS and save it as .docx.",
        ),
    )


def _no_form(name: str) -> InvalidInput:
    return InvalidInput(
        "not_a_form",
        Bilingual(
            f"{name} 中没有找到征集表的栏目（如“技术需求名称”“企业名称”“主要问题”）；请使用征集表模板。",
            f"{name} has none of the labels of the demand form; use the template of the form.",
        ),
    )


def _too_many(name: str) -> InvalidInput:
    return InvalidInput(
        "too_many_files",
        Bilingual(
            f"{name} 中超过 {_MAX_FORMS} 个文件，请分批导入。", f"{name} has more than {_MAX_FORMS} files; split it."
        ),
    )
