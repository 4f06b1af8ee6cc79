"""Text files to sheets and objects: the encoding, the separator, and what spreadsheets leave in a .csv."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from matching_service.files.sheets import CellError, RawRow, Sheet
from matching_service.foundation.errors import Bilingual

csv.field_size_limit(16 * 1024 * 1024)
ERROR_VALUES = frozenset(
    {"#N/A", "#VALUE!", "#REF!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!", "#GETTING_DATA"}
)
_UTF8_MARK = b"\xef\xbb\xbf"
_SAMPLE_ROWS = 20
_SAMPLE_BYTES = 65_536
_SEPARATORS = (",", "\t", ";", "|")
_FORMULA = re.compile(r"'*(?:[=+\-@\t\r＝＋－＠﹢﹣﹦﹫]|#[A-Z/0]+[!?A])")
"""Full-width signs too: a spreadsheet in Chinese takes them for those that begin a formula."""
_TEXT_FORMULA = re.compile(r'^\s*=\s*"((?:[^"]|"")*)"\s*$')
_PAIR = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")


def guard_formula(text: str) -> str:
    """A text that a spreadsheet would run, or show as an error, behind an apostrophe (OWASP, CSV injection)."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard_formula(text: str) -> str:
    """The opposite of ``guard_formula``; also takes a text out of ="…", which keeps Excel from making it a number."""
    if text.startswith("'") and _FORMULA.match(text[1:]):
        return text[1:]
    wrapped = _TEXT_FORMULA.match(text)
    return wrapped[1].replace('""', '"') if wrapped else text


def table_of_text(data: bytes, *, score: Callable[[Sequence[Any]], int]) -> Sheet:
    """A .csv, .tsv or .txt as a sheet. ``score`` counts the headings in a row; it decides between separators."""
    lines = list(decoded_lines(data))
    broken = {number: error for number, (_, error) in enumerate(lines, start=1) if error is not None}
    texts = [line for line, _ in lines]
    n_before = 0
    separator = None
    if texts and (stated := re.match(r'^"?sep=(.)"?[\s,;]*$', texts[0], re.IGNORECASE)):
        separator, n_before = stated[1], 1
        del texts[0]
    text = "\n".join(texts)
    if separator is None:
        separator = max(_SEPARATORS, key=lambda one: _best_row(text, one, score))

    def read() -> Iterator[RawRow]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        first_line = n_before + 1
        for cells in reader:
            start, first_line = first_line, n_before + reader.line_num + 1
            error = next((broken[number] for number in range(start, first_line) if number in broken), None)
            yield RawRow(start, [_cell(cell) for cell in cells], error)

    return Sheet(None, read)


def objects_of_text(data: bytes) -> Iterator[tuple[int, Any, Bilingual | None]]:
    """JSON Lines, or one JSON array: each value with its line, or its place in the array, from 1."""
    lines = list(decoded_lines(data))
    first = next((line for line, _ in lines if line.strip()), "")
    if first.lstrip().startswith("["):
        array = _array("\n".join(line for line, _ in lines))
        if array is not None:
            yield from ((number, value, None) for number, value in enumerate(array, start=1))
            return
    for number, (line, error) in enumerate(lines, start=1):
        if error is not None:
            yield number, None, error
            continue
        if not line.strip():
            continue
        try:
            yield number, json.loads(line), None
        except (ValueError, RecursionError) as failure:  # a number of 5,000 digits is a plain ValueError
            yield number, None, Bilingual(f"不是有效的 JSON：{failure}", f"not valid JSON: {failure}")


def decoded_lines(data: bytes) -> Iterator[tuple[str, Bilingual | None]]:
    """The lines of a file in UTF-8, UTF-16, GB18030 or Big5, each with the error that kept it from being decoded.

    One broken byte must not turn a whole UTF-8 file into GB18030 nonsense, so the lines vote.
    """
    if (wide := _utf_16(data)) is not None:
        yield from (
            (line.removesuffix("\r"), None) for line in data.decode(wide, "replace").lstrip("\ufeff").split("\n")
        )
        return
    has_mark = data.startswith(_UTF8_MARK)
    while data.startswith((_UTF8_MARK, b"\xff\xfe", b"\xfe\xff")):
        data = data.removeprefix(_UTF8_MARK).removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    lines = data.split(b"\n")
    encoding = _encoding(lines, has_mark=has_mark)
    for line in lines:
        try:
            yield line.decode(encoding).removesuffix("\r"), None
        except UnicodeDecodeError:
            text = line.decode(encoding, "replace").removesuffix("\r")  # so that quotes still close where they should
            yield text, Bilingual(f"无法按 {encoding} 解码。", f"cannot be decoded as {encoding}.")


def _utf_16(data: bytes) -> str | None:
    """By its mark, or without one by the NUL of every ASCII character; a mark before other bytes is not believed."""
    sample = data[:_SAMPLE_BYTES]
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    if not low + high:
        return None if len(data) != 2 else "utf-16-le"
    if data.startswith(b"\xff\xfe"):
        return "utf-16-le"
    if data.startswith(b"\xfe\xff"):
        return "utf-16-be"
    if data.startswith(_UTF8_MARK) or max(low, high) < 4 * min(low, high) or low + high < len(sample) // 100:
        return None
    return "utf-16-le" if high > low else "utf-16-be"


def _encoding(lines: Sequence[bytes], *, has_mark: bool) -> str:
    not_ascii = [line for line in lines if not line.isascii()]
    n_utf8 = sum(_decodes(line, "utf-8") for line in not_ascii)
    if has_mark:
        is_utf8 = n_utf8 > 0 or not all(_decodes(line, "gb18030") for line in not_ascii)
    else:
        is_utf8 = 2 * n_utf8 >= len(not_ascii)
    if is_utf8:
        return "utf-8"
    return "cp950" if _is_big5(b"\n".join(not_ascii)[:_SAMPLE_BYTES]) else "gb18030"


def _is_big5(text: bytes) -> bool:
    """Of the characters of ordinary text in GB18030 nearly all have a second byte from A1 on; in Big5 a third has not."""  # noqa: E501
    pairs = _PAIR.findall(text)
    n_low = sum(pair[1] < 0xA1 for pair in pairs)
    return 5 * n_low > len(pairs) and _decodes(text.rsplit(b"\n", 1)[0], "cp950")


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _best_row(text: str, separator: str, score: Callable[[Sequence[Any]], int]) -> int:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return max((score(cells) for cells, _ in zip(reader, range(_SAMPLE_ROWS), strict=False)), default=0)
    except csv.Error:
        return 0


def _cell(text: str) -> str:
    if text.strip() in ERROR_VALUES:
        return CellError(text.strip())
    return unguard_formula(text)


def _array(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None
