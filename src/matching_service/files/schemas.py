"""Request and response bodies of imports."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from matching_service.api.fields import Answer, Body, Source, Topic
from matching_service.demands.states import DemandStatus

What = Literal["demands", "profiles", "organizations", "programme"]
Undone = Literal["deleted", "restored", "left"]
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
    name: str
    header_row: int | None = Field(description="The row of its headings; null: the sheet is not read.")


class ImportColumn(BaseModel):
    heading: str = Field(description="As the file has it.")
    field: str | None = Field(description="What it is read as; null: the column is not read.")


class ImportRows(BaseModel):
    good: int = Field(description="Rows that can be, or were, stored.")
    bad: int = Field(description="Rows that are refused, each with at least one finding.")
    passed_over: int = Field(description="Totals, notes, signatures and examples.")


class ImportCounts(BaseModel):
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    organizations_created: int = Field(default=0, description="Organizations that rows named and nobody knew.")


class ImportFinding(BaseModel):
    sheet: str | None
    row: int | None
    heading: str | None
    field: str | None
    value: str | None = Field(description="The beginning of what the cell holds.")
    code: str
    refuses: bool = Field(description="Whether the row is refused because of it.")
    detail: str


class ImportFailure(BaseModel):
    code: str
    detail: str


class UndoneCounts(BaseModel):
    deleted: int = 0
    restored: int = 0
    left: int = Field(
        default=0, description="Records that somebody changed or used since; see `…/records?undone=left`."
    )


class ImportSummary(BaseModel):
    """An import, as lists show it."""

    id: str
    what: str
    state: str = Field(
        description="preview, running, interrupted (its process is gone: confirm it again, or undo it), done, failed, "
        "undoing, undone."
    )
    file_name: str
    rows: ImportRows
    counts: ImportCounts
    n_rows: int = Field(description="Rows of the file that are not blank.")
    n_done: int = Field(description="Rows that are dealt with, of a running import.")
    is_interrupted: bool = Field(description="The process that worked on it is gone.")
    error: ImportFailure | None = Field(description="Why it failed.")
    undone: UndoneCounts | None
    actor_id: str
    created_at: datetime
    confirmed_at: datetime | None
    ended_at: datetime | None
    undone_at: datetime | None


class Import(ImportSummary):
    """An import with what was found in its file. Until it is confirmed nothing is stored."""

    options: ImportOptions
    sheets: list[ImportSheet]
    columns: list[ImportColumn]
    findings: list[ImportFinding] = Field(description="The first 1,000: those that refuse a row come first.")
    n_findings: int
    has_rejects: bool = Field(
        description="Whether `…/rejects.xlsx` has the bad rows, with the reason in the last column."
    )


class ImportedRecord(Answer):
    """What an import did to a record, and what its undoing did."""

    entity: str = Field(description="demand, profile, organization or programme_record.")
    record_id: str
    name: str | None = Field(default=None, description="Its present title or name; null: it exists no longer.")
    outcome: Literal["created", "updated"]
    undone: Undone | None
    reason: str | None = Field(description="Why it was left: a code.")
    detail: str | None = Field(description="The reason in words.")
