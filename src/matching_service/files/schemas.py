"""Request and response bodies of imports."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from matching_service.api.fields import Answer, Body, Source, Topic
from matching_service.demands.states import DemandStatus

What = Literal["demands", "profiles", "organizations", "programme"]
Undone = Literal["deleted", "restored", "left"]
_EXAMPLE: JsonDict = {
    "id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11",
    "what": "demands",
    "state": "preview",
    "file_name": "南海区需求.xlsx",
    "rows": {"good": 41, "bad": 1, "passed_over": 2},
    "counts": {"created": 38, "updated": 2, "unchanged": 1, "organizations_created": 5},
    "n_rows": 44,
    "n_done": 0,
    "is_interrupted": False,
    "error": None,
    "undone": None,
    "actor_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e12",
    "created_at": "2026-11-30T08:00:00Z",
    "confirmed_at": None,
    "ended_at": None,
    "undone_at": None,
    "options": {"map": {"难点": "title"}},
    "sheets": [{"name": "需求", "header_row": 3}],
    "columns": [{"heading": "难点", "field": "title"}, {"heading": "备用", "field": None}],
    "findings": [
        {
            "sheet": "需求", "row": 9, "heading": "截止日期", "field": "expires_on", "value": "31/12/2026",
            "code": "not_a_date", "refuses": True, "detail": "请写成 2026-12-31。",
        }
    ],
    "n_findings": 1,
    "has_rejects": True,
}  # fmt: skip
_Heading = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ImportOptions(Body):
    """How a file is read. PATCH changes only the fields that are sent; null takes one away."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"map": {"难题": "title"}, "header_row": 3}]})

    sheet: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="Read only this sheet 工作表."
    )
    header_row: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=None, description="The row of the headings 表头所在行, from 1."
    )
    map: Annotated[dict[_Heading, _Heading], Field(max_length=200)] | None = Field(
        default=None, description="Headings of the file to fields or Chinese headings 列名对照."
    )
    source: Source | None = Field(default=None, description="Source of rows that name none 来源.")
    kind: Topic | None = Field(default=None, description="Kind of rows that name none 类别.")
    status: DemandStatus | None = Field(default=None, description="State of demands that name none 状态.")


class ImportSheet(BaseModel):
    name: str = Field(description="Name of the sheet 工作表.")
    header_row: int | None = Field(description="The row of its headings 表头所在行; null: the sheet is not read.")


class ImportColumn(BaseModel):
    heading: str = Field(description="The heading as the file has it 列名.")
    field: str | None = Field(description="What it is read as 字段; null: the column is not read.")


class ImportRows(BaseModel):
    good: int = Field(description="Rows that can be, or were, stored 可保存的行.")
    bad: int = Field(description="Rows that are refused, each with at least one finding 拒收的行.")
    passed_over: int = Field(description="Totals, notes, signatures and examples 略过的行.")


class ImportCounts(BaseModel):
    created: int = Field(default=0, description="New records 新增.")
    updated: int = Field(default=0, description="Changed records 更改.")
    unchanged: int = Field(default=0, description="Rows that say what is known already 未变.")
    organizations_created: int = Field(
        default=0, description="Organizations that rows named and nobody knew 新建机构; not yet told by a preview."
    )


class ImportFinding(BaseModel):
    sheet: str | None = Field(description="Name of the sheet 工作表; null: the file has none.")
    row: int | None = Field(description="The row, from 1 行号; null: the whole sheet or file.")
    heading: str | None = Field(description="The heading as the file has it 列名.")
    field: str | None = Field(description="What the column is read as 字段.")
    value: str | None = Field(description="The beginning of what the cell holds 内容.")
    code: str = Field(description="A stable word for programs 代码.")
    refuses: bool = Field(description="Whether the row is refused because of it 是否拒收.")
    detail: str = Field(description="What is wrong and what to do, by `Accept-Language` 说明.")


class ImportFailure(BaseModel):
    code: str = Field(description="A stable word for programs 代码.")
    detail: str = Field(description="What happened, by `Accept-Language` 说明.")


class UndoneCounts(BaseModel):
    deleted: int = Field(default=0, description="Records that the import had created 已删除.")
    restored: int = Field(default=0, description="Records that have their former values again 已恢复.")
    left: int = Field(
        default=0, description="Records that somebody changed or used since 保留; `…/records?undone=left` names them."
    )


class ImportSummary(BaseModel):
    """An import, as lists show it."""

    id: str = Field(description="Id of the import 导入编号.")
    what: What = Field(description="What its rows are 导入内容.")
    state: Literal["preview", "running", "interrupted", "done", "failed", "undoing", "undone"] = Field(
        description="State 状态. interrupted: its process is gone, so confirm it again or undo it."
    )
    file_name: str = Field(description="Name of the file 文件名.")
    rows: ImportRows = Field(description="Rows of the file by how they were read 行数.")
    counts: ImportCounts = Field(description="What became, or would become, of the good rows 结果.")
    n_rows: int = Field(description="Rows of the file that are not blank 总行数.")
    n_done: int = Field(description="Rows that are dealt with, of a running import 进度.")
    is_interrupted: bool = Field(description="The process that worked on it is gone 已中断.")
    error: ImportFailure | None = Field(description="Why it failed 失败原因.")
    undone: UndoneCounts | None = Field(description="What its undoing did 撤销结果; null: it was not undone.")
    actor_id: str = Field(description="Who uploaded it, or ran the command 导入人.")
    created_at: datetime = Field(description="When it was uploaded 上传时间.")
    confirmed_at: datetime | None = Field(description="When it was confirmed last 确认时间.")
    ended_at: datetime | None = Field(description="When it was stored, or failed 结束时间.")
    undone_at: datetime | None = Field(description="When its undoing began or ended last 撤销时间.")


class Import(ImportSummary):
    """An import with what was found in its file. Until it is confirmed nothing is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    options: ImportOptions = Field(description="How the file is read 读取方式.")
    sheets: list[ImportSheet] = Field(description="Its sheets 工作表.")
    columns: list[ImportColumn] = Field(description="Its columns 列.")
    findings: list[ImportFinding] = Field(
        description="The first 1,000 提示; those that refuse a row come first. Their values go with the file."
    )
    n_findings: int = Field(description="How many there are in all 提示总数.")
    has_rejects: bool = Field(
        description="Whether `…/rejects.xlsx` has the bad rows 退回表, with the reason in the last column."
    )


class ImportedRecord(Answer):
    """What an import did to a record, and what its undoing did."""

    entity: Literal["demand", "profile", "organization", "programme_record"] = Field(
        description="What the record is 记录类型."
    )
    record_id: str = Field(description="Id of the record 记录编号.")
    name: str | None = Field(default=None, description="Its present title or name; null: it exists no longer.")
    outcome: Literal["created", "updated"] = Field(description="What the import did 导入结果.")
    undone: Undone | None = Field(description="What the undoing did 撤销结果; null: it was not undone.")
    reason: str | None = Field(description="Why it was left: a stable word 保留原因.")
    detail: str | None = Field(description="The reason in words, by `Accept-Language` 说明.")
