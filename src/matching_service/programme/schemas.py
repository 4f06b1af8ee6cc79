"""Bodies and answers of programme records and targets."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from matching_service.api.fields import (
    Answer,
    Body,
    EntityId,
    ExternalId,
    Region,
    RowId,
    Text5000,
    Title,
    Topic,
    UpsertBody,
)

Kind = Literal["cooperation", "support", "alliance", "workstation", "technology_spread", "forum"]
KIND_NAMES: dict[Kind, str] = {
    "cooperation": "合作学会与国际组织",
    "support": "常态化技术服务单位",
    "alliance": "产业技术创新联盟",
    "workstation": "院士专家工作站",
    "technology_spread": "先进技术推广",
    "forum": "学术会展平台",
}
_EXAMPLE: JsonDict = {
    "source": "kexie",
    "external_id": "GZZ-03",
    "kind": "workstation",
    "title": "某精密传动公司院士工作站",
    "organization_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11",
    "profile_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e12",
    "cluster": "智能制造装备及机器人",
    "started_on": "2026-03-18",
}


class ProgrammeRecordFields(Body):
    organization_id: EntityId | None = Field(default=None, description="The local unit that it is about.")
    profile_id: EntityId | None = Field(default=None, description="The society, expert, team or platform.")
    region: Region | None = Field(default=None, description="null: that of the organization.")
    cluster: Topic | None = Field(default=None, description="null: that of the organization.")
    ended_on: date | None = Field(default=None, description="The last day on which it held; null: it still does.")
    note: Text5000 = None


class ProgrammeRecordCreate(UpsertBody, ProgrammeRecordFields):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    kind: Kind
    title: Title
    started_on: date = Field(description="The first day; of an event its day.")
    organization_external_id: ExternalId | None = Field(
        default=None, description="The organization by its external_id within the same source."
    )


class ProgrammeRecordImport(ProgrammeRecordCreate):
    """A row of a file, which may also hold our own id."""

    id: RowId | None = None

    @property
    def row_id(self) -> str | None:
        return self.id


class ProgrammeRecordPatch(ProgrammeRecordFields):
    """Only the fields that are sent are changed; null empties an optional one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ended_on": "2028-03-17"}]})

    kind: Kind = Field(default="cooperation")
    title: Title = Field(default="")
    started_on: date = Field(default=date.min)


class ProgrammeRecord(Answer):
    id: str
    source: str
    external_id: str | None
    kind: str
    title: str
    organization_id: str | None
    profile_id: str | None
    region: str | None
    cluster: str | None
    started_on: date
    ended_on: date | None
    note: str | None
    created_at: datetime
    updated_at: datetime


class Comparison(BaseModel):
    plan: int | None = Field(description="The number for the last day of the plan; null where none is set.")
    actual: int
    share: float | None = Field(description="Of the plan, 1 when it is reached.")


class DistrictComparison(Comparison):
    region: str | None = Field(description="null: the records name none.")
    district: str


class ClusterComparison(Comparison):
    cluster: str | None = Field(description="null: the records name none.")
    label: str


class Target(Comparison):
    name: str
    label: str
    by_district: list[DistrictComparison]
    by_cluster: list[ClusterComparison]


class Targets(BaseModel):
    at: date = Field(description="The figures are those of the end of this day, by what is known today.")
    first_day: date
    last_day: date
    items: list[Target]


class Evidence(Answer):
    """One thing that a target counts, with the record that made it count first."""

    entity: Literal["programme_record", "engagement", "suggestion"]
    id: str
    title: str = Field(description="Of an enterprise its name.")
    organization_id: str | None
    profile_id: str | None
    since: date
    region: str | None
    cluster: str | None
