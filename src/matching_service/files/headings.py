"""Column headings: the contract's names, the Chinese names on office forms, and how cells become values."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from matching_service.demands.schemas import DemandImport
from matching_service.demands.states import STATUS_NAMES
from matching_service.organizations.schemas import OrganizationImport
from matching_service.profiles.schemas import ProfileImport
from matching_service.programme.schemas import KIND_NAMES, ProgrammeRecordImport

_LIST_SEPARATORS = re.compile(r"[;；、\n]+")
_JOINED_LIST = "；"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of one kind of file are read: the model, other names of its columns, other names of its values."""

    model: type[BaseModel]
    headings: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.model.model_fields)

    def column(self, heading: str) -> str:
        """The field that a heading stands for; an unknown heading stands for itself, and is refused later."""
        name = heading.strip().removesuffix("*").strip()
        return name if name in self.columns else self.headings.get(name, name)


_SHARED = {"编号": "external_id", "外部编号": "external_id", "来源": "source", "机构编号": "organization_external_id"}

FORMS: Mapping[str, Form] = {
    "demands": Form(
        DemandImport,
        _SHARED
        | {
            "名称": "title",
            "需求名称": "title",
            "content": "problem",
            "需求内容": "problem",
            "主要问题": "problem",
            "关键技术": "key_technology",
            "预期目标": "expected_goal",
            "关键词": "keywords",
            "必备": "must_have",
            "优先": "nice_to_have",
            "地区代码": "region",
            "产业集群": "cluster",
            "行业代码": "industry_code",
            "投入资金（万元）": "funding_wan",
            "投入资金(万元)": "funding_wan",
            "开始年份": "start_year",
            "结束年份": "end_year",
            "合作方式": "cooperation",
            "解决方式": "cooperation",
            "意向合作方": "wanted_partners",
            "领域": "field",
            "截止日期": "expires_on",
            "状态": "status",
        },
        {
            "cooperation": {"独立": "independent", "委托": "commissioned", "联合": "joint", "其他": "other"},
            "status": {name: status.value for status, name in STATUS_NAMES.items()} | {"发榜": "published"},
        },
    ),
    "profiles": Form(
        ProfileImport,
        _SHARED
        | {
            "名称": "name",
            "姓名": "name",
            "title_words": "name",
            "类别": "kind",
            "简介": "summary",
            "关键词": "keywords",
            "领域": "fields",
            "地区代码": "region",
            "国别": "country",
            "语言": "language",
            "职称": "title",
            "荣誉": "honours",
            "产业集群": "clusters",
            "承接能力": "capacity",
            "可见性": "visibility",
            "成果": "works",
        },
        {
            "kind": {
                "专家": "expert",
                "院士": "expert",
                "学会": "society",
                "科技服务团": "team",
                "科研平台": "platform",
                "科技成果": "achievement",
                "政策": "policy",
            },
            "visibility": {"公开": "public", "受限": "restricted", "隐藏": "hidden", "已撤回": "withdrawn"},
        },
    ),
    "organizations": Form(
        OrganizationImport,
        {k: v for k, v in _SHARED.items() if v != "organization_external_id"}
        | {
            "名称": "name",
            "统一社会信用代码": "credit_code",
            "地区代码": "region",
            "类别": "kind",
            "产业集群": "cluster",
            "简介": "introduction",
        },
        {
            "kind": {
                "企业": "enterprise",
                "高校": "university",
                "科研院所": "institute",
                "学会": "society",
                "其他": "other",
            }
        },
    ),
    "programme": Form(
        ProgrammeRecordImport,
        _SHARED
        | {
            "名称": "title",
            "类别": "kind",
            "地区代码": "region",
            "产业集群": "cluster",
            "开始日期": "started_on",
            "结束日期": "ended_on",
            "备注": "note",
        },
        {"kind": {name: kind for kind, name in KIND_NAMES.items()}},
    ),
}

_LISTS = frozenset({"keywords", "fields", "honours", "clusters", "must_have", "nice_to_have", "wanted_partners"})


def from_object(form: Form, row: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object under the contract's names.

    Another system's file calls its own id ``id``; ours always has ``external_id`` too, and then ``id`` is ours.
    A title that comes as a list of words (``title_words``) is put together, and is an achievement's.
    """
    values: dict[str, Any] = {}
    for heading, value in row.items():
        name = form.column(heading)
        if heading == "id" and "external_id" not in row:
            name = "external_id"
        if heading == "title_words" and isinstance(value, list):
            value = "".join(str(word) for word in value)  # noqa: PLW2901
            values.setdefault("kind", "achievement")
        values[name] = value
    return values


def from_cells(form: Form, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table under the contract's names: empty cells left out, lists split, numbers as text."""
    values: dict[str, Any] = {}
    for heading, cell in row.items():
        text = _cell_text(cell)
        if not text.strip():
            continue
        name = form.column(heading)
        if name == "id" and not {"external_id", "编号", "外部编号"} & set(row):
            name = "external_id"
        text = form.values.get(name, {}).get(text.strip(), text)
        if name in _LISTS:
            values[name] = _list(text)
        elif name == "works":
            values[name] = _works(text)
        else:
            values[name] = text
    return values


def to_cells(row: Mapping[str, Any]) -> dict[str, str]:
    """The opposite of ``from_cells``: every value as the text of one cell."""
    return {name: _to_cell(name, value) for name, value in row.items()}


def guard_formula(text: str) -> str:
    """A text that a spreadsheet would run as a formula, with an apostrophe before it (OWASP, CSV injection)."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard_formula(text: str) -> str:
    """The opposite of ``guard_formula``."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def _cell_text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell)


def _to_cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "works":
        return json.dumps(value, ensure_ascii=False) if value else ""
    if isinstance(value, list):
        is_plain = not any(_LIST_SEPARATORS.search(item) or item.startswith("[") for item in value)
        return _JOINED_LIST.join(value) if is_plain else json.dumps(value, ensure_ascii=False)
    return _cell_text(value)


def _list(text: str) -> Any:
    """A list in one cell: separated by people, or as JSON where an item holds a separator itself."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass  # a person's text that happens to begin with a bracket
    return [item.strip() for item in _LIST_SEPARATORS.split(text) if item.strip()]


def _works(text: str) -> Any:
    """Works stand in a cell as JSON; plain titles, one a line, are taken as titles."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text  # refused by the model, with the column's name
    return [{"title": line.strip()} for line in text.splitlines() if line.strip()]
