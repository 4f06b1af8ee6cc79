"""Cells to values of the contract: numbers, dates, codes, names and lists as people write them.

Every value comes out as the contract's own text or list, so that the model checks it like any other input. What would
have to be guessed is refused: a day that may be a month, an id that a spreadsheet has rounded.
"""

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any
from unicodedata import normalize

from matching_service.files.headings import ORGANIZATION_NAME, Form, Heading
from matching_service.files.sheets import CellError
from matching_service.foundation.errors import Bilingual
from matching_service.foundation.regions import codes_named, path_of, regions

LISTS = frozenset({"keywords", "fields", "honours", "clusters", "must_have", "nice_to_have", "wanted_partners"})
_WORD_LISTS = frozenset({"keywords", "fields", "clusters", "honours"})
_IDS = frozenset({"external_id", "organization_external_id"})
_OUR_IDS = frozenset({"id", "organization_id", "profile_id"})
DATES = frozenset({"expires_on", "started_on", "ended_on", "available_from", "available_until"})
_YEARS = frozenset({"start_year", "end_year"})
_NOTHING = frozenset(
    {
        "/",
        "\\",
        "-",
        "--",
        "—",
        "——",
        "无",
        "暂无",
        "没有",
        "面议",
        "待定",
        "待议",
        "不详",
        "未知",
        "不限",
        "n/a",
        "N/A",
        "NA",
    }
)
_EXACT_UP_TO = 10**15
_LONGEST_NUMBER = 60

_JOIN = "；"
_BREAK = re.compile(r"[;；、，\n\r|｜]+|(?<!\d),|,(?!\d)")
_WORD_BREAK = re.compile(
    r"(?<=[\u3400-\u9fff）)])[ \t\u3000]+(?=[\u3400-\u9fff（(])|[/／](?![A-Za-z0-9])|(?<![A-Za-z0-9])[/／]"
)
_NUMBERED = re.compile(r"(?:^|(?<=[\s;；、，。,]))\d{1,2}[.、．)）](?!\d)\s*|[（(]\d{1,2}[)）]\s*|[①-⑳]\s*")
_SCIENTIFIC = re.compile(r"^[+-]?\d(?:\.\d+)?[eE]\+?\d+$")
_ZEROS = re.compile(r"^(\d+)\.0+$")
_AMOUNT = re.compile(
    r"^(?:约|大约|约为|共|共计|不少于|不超过|不低于|≥|≤|>|<|>=|<=|¥|￥|rmb|人民币)*\s*"
    r"(\d[\d,]*(?:\.\d+)?|\.\d+)\s*(亿|千万|百万|万|千)?\s*(?:元|圆|rmb|人民币|元人民币)?\s*(?:左右|以上|以内|以下|整|/年)*$",
    re.IGNORECASE,
)
_UNITS = {"亿": 10_000.0, "千万": 1_000.0, "百万": 100.0, "万": 1.0, "千": 0.1}
_DAY = re.compile(
    r"^(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*[日号]?(?:[\sT]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\s*"
    r"(?:[(]?星期.[)]?)?$"
)
_COMPACT_DAY = re.compile(r"^(19|20)\d{6}$")
_CHINESE_DIGITS = str.maketrans("〇○零一二三四五六七八九", "000123456789")
_SMALL_NUMBERS = {"十": 10, "两": 2}
_CHECKED = re.compile(r"[☑☒√✓✔■▣]\s*([^☑☒√✓✔■▣□☐○◻]+)")
_HAS_BOX = re.compile(r"[☑☒□☐◻▣]|[√✓✔■]")
_HTML = re.compile(
    r"</?(?:p|br|div|span|li|ul|ol|table|tr|td|strong|font)\b[^<>]*>|&(?:nbsp|lt|gt|quot|mu|le|ge|deg|times|plusmn|#\d+);",
    re.IGNORECASE,
)
_BREAKING_TAG = re.compile(r"<br\s*/?>|</(?:p|div|li|tr|h[1-6])>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:p|br|div|span|li|ul|ol|table|tbody|tr|td|th|b|i|u|strong|em|font|h[1-6]|a|img|sub|sup)\b[^<>]*>", re.IGNORECASE)  # fmt: skip  # noqa: E501
_COUNTRIES = (
    "CN 中国 中华人民共和国 中国大陆 国内 china|HK 中国香港 香港|MO 中国澳门 澳门|TW 中国台湾 台湾|US 美国 usa 美利坚合众国|GB 英国 uk|DE 德国|FR 法国|"  # noqa: E501
    "JP 日本|KR 韩国|SG 新加坡|CA 加拿大|AU 澳大利亚|NZ 新西兰|IT 意大利|ES 西班牙|PT 葡萄牙|NL 荷兰|BE 比利时|CH 瑞士|SE 瑞典|NO 挪威|DK 丹麦|"  # noqa: E501
    "FI 芬兰|AT 奥地利|IE 爱尔兰|PL 波兰|CZ 捷克|HU 匈牙利|RU 俄罗斯|UA 乌克兰|BY 白俄罗斯|IL 以色列|IN 印度|MY 马来西亚|TH 泰国|VN 越南|ID 印度尼西亚 印尼|"  # noqa: E501
    "PH 菲律宾|AE 阿联酋|SA 沙特阿拉伯 沙特|TR 土耳其|BR 巴西|MX 墨西哥|AR 阿根廷|ZA 南非|EG 埃及|GR 希腊|RO 罗马尼亚|KZ 哈萨克斯坦|PK 巴基斯坦"  # noqa: E501
)
_LANGUAGES = (
    "zh 中文 汉语 简体中文 普通话 chinese cn|en 英文 英语 english|ja 日文 日语 jp|ko 韩文 韩语 kr|de 德文 德语|fr 法文 法语|ru 俄文 俄语|"  # noqa: E501
    "es 西班牙文 西班牙语|it 意大利语|pt 葡萄牙语|ar 阿拉伯语"
)
_SPOILT = Bilingual(
    "编号已被电子表格改成科学记数或超过 15 位，末尾数字已经丢失；请把该列设为文本格式，重新填入原编号。",
    "A spreadsheet has rounded this id (more than 15 digits); format the column as text and enter the ids again.",
)


class Unreadable(Exception):
    """A cell that means nothing certain; ``message`` says what is wrong and what to write.

    refuses : False where the cell says itself that there is nothing (面议, 无, /): it is left empty, and that is told.
    """

    def __init__(self, code: str, message: Bilingual, *, refuses: bool = True) -> None:
        super().__init__(message.en)
        self.code = code
        self.message = message
        self.refuses = refuses


@dataclass(frozen=True, slots=True)
class Reading:
    """What the value of a cell depends on beside the cell."""

    form: Form
    heading: Heading
    starts_in_1904: bool = False


def value_of(cell: Any, reading: Reading) -> Any:  # noqa: C901, PLR0911
    """The value of a filled cell for its field; raises Unreadable."""
    name = reading.heading.field or ""
    if isinstance(cell, CellError):
        raise Unreadable(
            "error_value",
            Bilingual(
                f"单元格是公式错误值 {cell}，请改为实际内容。",
                f"The cell shows the error {cell} of a formula; enter the real content.",
            ),
        )
    if name in _OUR_IDS:
        return _text(cell).strip()
    is_text = name not in LISTS | DATES | _YEARS and name not in reading.form.values and name not in _READERS
    if not is_text and _text(cell).strip() in _NOTHING:
        raise Unreadable(
            "left_empty",
            Bilingual("视为未填写，其余各列照常读取。", "Taken as empty; the other columns are read."),
            refuses=False,
        )
    if name in _IDS:
        return _id(cell)
    if name in DATES:
        return _date(cell, starts_in_1904=reading.starts_in_1904)
    if name in _YEARS:
        return _year(cell)
    if name in LISTS:
        return split_list(_text(cell), are_words=name in _WORD_LISTS)
    if name == "works":
        return _works(_text(cell))
    if name in reading.form.values:
        return _one_of(_text(cell), reading.form.values[name])
    if (read := _READERS.get(name)) is not None:
        return read(cell, reading)
    return _text(cell)


def cell_of(name: str, value: Any, form: Form | None) -> Any:
    """The opposite of ``value_of``, for people: Chinese values, lists in one cell, numbers as numbers."""
    if value is None or value == []:
        return None
    if name == "works":
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        joined = _JOIN.join(value)
        is_plain = split_list(joined, are_words=name in _WORD_LISTS) == value
        return joined if is_plain else json.dumps(value, ensure_ascii=False)
    if form is not None and name in form.values:
        return next((label for label, code in form.values[name].items() if code == value), value)
    return value


def clean_markup(text: str) -> str:
    """A text from a web editor without its tags and entities; any other text as it is."""
    if not _HTML.search(text):
        return text
    broken = _BREAKING_TAG.sub("\n", text)
    plain = html.unescape(_TAG.sub("", broken)).replace("\u00a0", " ").replace("μ", "μ")
    lines = [re.sub(r" {2,}", " ", line).strip() for line in plain.split("\n")]
    return "\n".join(line for line in lines if line)


def split_list(text: str, *, are_words: bool) -> list[str]:
    """A list in one cell: numbered, or separated by what people separate by, or JSON where an item holds a separator.

    are_words : the items are short words, so a blank or a stroke between Chinese characters separates as well. In a
        condition (额定寿命 大于) it does not. Between Latin letters and figures neither separates: deep learning, TCP/IP.
    """  # noqa: E501
    if text.lstrip().startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return items
    if _NUMBERED.match(text.strip()):
        text = _NUMBERED.sub("\n", text.strip())
    parts = [part for whole in _BREAK.split(text) for part in (_WORD_BREAK.split(whole) if are_words else [whole])]
    return list(dict.fromkeys(item for part in parts if (item := part.strip(" \t\u3000。"))))


def _text(cell: Any) -> str:
    """A cell as the text that a person sees, apart from its format."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "是" if cell else "否"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT_UP_TO:
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(sep=" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


def _code(cell: Any) -> str:
    """A code without what people and programs wrap around it."""
    text = normalize("NFKC", _text(cell)).strip().strip("='’‘`\"“” \t").strip()
    text = re.sub(r"\s+", "", text)
    return _ZEROS.sub(r"\1", text)


def _id(cell: Any) -> str:
    if isinstance(cell, int | float) and not isinstance(cell, bool) and abs(cell) >= _EXACT_UP_TO:
        raise Unreadable("spoilt_id", _SPOILT)
    text = _text(cell).strip()
    if _SCIENTIFIC.match(normalize("NFKC", text)):
        raise Unreadable("spoilt_id", _SPOILT)
    if text.startswith(("'", "’")) and text[1:].isdigit():
        return text[1:]
    return text


def _credit_code(cell: Any, _: Reading) -> str:
    text = _code(cell)
    if _SCIENTIFIC.match(text):
        raise Unreadable("spoilt_id", _SPOILT)
    return re.sub(r"[-‐–—]", "", text).upper()


def _industry_code(cell: Any, _: Reading) -> str:
    return _code(cell).upper()


def _region(cell: Any, _: Reading) -> str:
    text = _code(cell)
    if text.isdigit():
        if len(text) in {9, 12} and text[:6] in regions():
            return text[:6]
        return text.ljust(6, "0") if len(text) in {2, 4} and text.ljust(6, "0") in regions() else text
    if len(found := set(re.findall(r"(?<!\d)\d{6}(?!\d)", text))) == 1:
        return str(found.pop())
    codes = codes_named(text)
    if len(codes) == 1:
        return codes[0]
    if codes:
        names = ["".join(region.name.zh for region in path_of(code)) for code in codes[:6]]
        raise Unreadable(
            "ambiguous_region",
            Bilingual(f"有几个地区叫这个名字：{'、'.join(names)}；请写明省市或填六位代码。", "Several regions have this name; add the city or give the code of six digits."),  # noqa: E501
        )  # fmt: skip
    raise Unreadable(
        "unknown_region",
        Bilingual("不认识的地区；请填六位地区代码（如 440605）或规范名称（如 佛山市南海区）。", "Not a known region; give its code of six digits, such as 440605, or its full name."),  # noqa: E501
    )  # fmt: skip


def _funding(cell: Any, reading: Reading) -> str:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _number(float(cell) * reading.heading.wan)
    text = normalize("NFKC", _text(cell)).strip().replace(" ", "").replace(",", ",")
    if len(text) <= _LONGEST_NUMBER and (found := _AMOUNT.match(text)):
        amount = float(found[1].replace(",", ""))
        if found[2]:
            return _number(amount * _UNITS[found[2]])
        return _number(amount * (0.0001 if "元" in text else reading.heading.wan))
    try:
        return _number(float(text) * reading.heading.wan)
    except ValueError:
        raise Unreadable(
            "not_an_amount",
            Bilingual("应为金额，如 80、1,200、80万元、0.5亿；面议请留空。", "Must be an amount in 万元, such as 80; leave it empty if it is open."),  # noqa: E501
        ) from None  # fmt: skip


def _number(value: float) -> str:
    rounded = round(value, 10)
    return str(int(rounded)) if rounded.is_integer() and abs(rounded) < _EXACT_UP_TO else repr(rounded or value)


def _year(cell: Any) -> str:
    if isinstance(cell, datetime | date):
        return str(cell.year)
    text = normalize("NFKC", _text(cell)).strip().translate(_CHINESE_DIGITS)
    found = re.match(r"^(\d{4})(?:\.0+)?\s*(?:年度?|年\d{1,2}月.*|[-/.]\d{1,2}(?:[-/.]\d{1,2})?)?$", text)
    return found[1] if found else text


def _capacity(cell: Any, _: Reading) -> str:
    text = normalize("NFKC", _text(cell)).strip()
    text = re.sub(r"\s*(?:项|个|件|次|家|人)\s*(?:/年|左右)?$", "", text)
    return str(_SMALL_NUMBERS[text]) if text in _SMALL_NUMBERS else _ZEROS.sub(r"\1", text.translate(_CHINESE_DIGITS))


def _date(cell: Any, *, starts_in_1904: bool) -> str:
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    text = normalize("NFKC", _text(cell)).strip().translate(_CHINESE_DIGITS)
    if found := _DAY.match(text):
        return _day(*map(int, found.groups()))
    if _COMPACT_DAY.match(text):
        return _day(int(text[:4]), int(text[4:6]), int(text[6:]))
    if re.match(r"^\d{5}(?:\.\d+)?$", text):
        first = date(1904, 1, 1) if starts_in_1904 else date(1899, 12, 30)
        return (first + timedelta(days=int(float(text)))).isoformat()
    raise Unreadable(
        "not_a_date",
        Bilingual("应为日期，年在前，如 2026-12-31 或 2026年12月31日。", "Must be a date with the year first, such as 2026-12-31."),  # noqa: E501
    )  # fmt: skip


def _day(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise Unreadable("no_such_day", Bilingual("没有这一天，请检查月和日。", "There is no such day.")) from None


def _one_of(text: str, names: Mapping[str, str]) -> str:
    found = _by_plain_name(text, names)
    if found is None:
        allowed = "、".join(dict.fromkeys(_first_names(names)))
        codes = ", ".join(dict.fromkeys(names.values()))
        raise Unreadable(
            "not_allowed", Bilingual(f"不是允许的值；可填：{allowed}。", f"Not an allowed value; use one of {codes}.")
        )
    return found


def _by_plain_name(text: str, names: Mapping[str, str]) -> str | None:
    if _HAS_BOX.search(text):
        marked = [part.strip() for part in _CHECKED.findall(text)]
        if len(marked) != 1:
            return None
        text = marked[0]
    plain = re.sub(r"\s+", "", normalize("NFKC", text)).strip(".。;；,，、")
    for key in (plain, re.sub(r"\([^()]*\)", "", plain)):
        if key in names:
            return names[key]
        if (code := key.casefold()) in names.values():
            return code
    return None


def _first_names(names: Mapping[str, str]) -> Sequence[str]:
    first: dict[str, str] = {}
    for name, code in names.items():
        first.setdefault(code, name)
    return list(first.values())


def _country(cell: Any, _: Reading) -> str:
    text = _code(cell)
    return _codes_by_name(_COUNTRIES).get(text.casefold(), text.upper() if len(text) == 2 else text)


def _language(cell: Any, _: Reading) -> str:
    text = _code(cell).casefold()
    return _codes_by_name(_LANGUAGES).get(text, text.replace("_", "-").split("-")[0] if text.isascii() else text)


@cache
def _codes_by_name(table: str) -> Mapping[str, str]:
    return {name: code for line in table.split("|") for code, *names in [line.split()] for name in names}


def _works(text: str) -> Any:
    """Works stand in a cell as JSON; plain titles, one a line, are taken as titles."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text  # refused by the model, with the column's name
    return [{"title": line.strip()} for line in text.splitlines() if line.strip()]


def _organization_name(cell: Any, _: Reading) -> str:
    return re.sub(r"\s*\n\s*", "", _text(cell)).strip()


_READERS: Mapping[str, Callable[[Any, Reading], str]] = MappingProxyType(
    {
        "region": _region,
        "industry_code": _industry_code,
        "credit_code": _credit_code,
        "funding_wan": _funding,
        "capacity": _capacity,
        "country": _country,
        "language": _language,
        ORGANIZATION_NAME: _organization_name,
    }
)
