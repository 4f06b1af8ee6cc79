"""Request and response bodies of programme records and targets."""

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
    organization_id: EntityId | None = Field(default=None, description="The local organization of the record.")
    profile_id: EntityId | None = Field(default=None, description="The society, expert, team or platform.")
    region: Region | None = Field(default=None, description="null: the organization's region counts.")
    cluster: Topic | None = Field(default=None, description="null: the organization's cluster counts.")
    ended_on: date | None = Field(default=None, description="The last valid day, inclusive; null: still valid.")
    note: Text5000 = None


class ProgrammeRecordCreate(UpsertBody, ProgrammeRecordFields):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    kind: Kind
    title: Title
    started_on: date = Field(description="The first valid day; for an event, its day.")
    organization_external_id: ExternalId | None = Field(
        default=None, description="The organization by its external_id within the same source."
    )


class ProgrammeRecordImport(ProgrammeRecordCreate):
    """A row of an imported file. It may contain our own id."""

    id: RowId | None = None

    @property
    def row_id(self) -> str | None:
        return self.id


class ProgrammeRecordPatch(ProgrammeRecordFields):
    """Changes only the fields that are sent; null clears an optional field."""

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
    plan: int | None = Field(description="The number to reach by the last day of the plan; null if the plan sets none.")
    actual: int
    share: float | None = Field(description="actual / plan; 1 when the plan is reached.")


class DistrictComparison(Comparison):
    region: str | None = Field(description="null: the records have no region.")
    district: str


class ClusterComparison(Comparison):
    cluster: str | None = Field(description="null: the records have no cluster.")
    label: str


class Target(Comparison):
    name: str
    label: str
    by_district: list[DistrictComparison]
    by_cluster: list[ClusterComparison]


class Targets(BaseModel):
    at: date = Field(description="The figures are for the end of this day, from the data of today.")
    first_day: date
    last_day: date
    items: list[Target]


class Evidence(Answer):
    """One item that a target counts, with the earliest record that makes it count."""

    entity: Literal["programme_record", "engagement", "suggestion"]
    id: str
    title: str = Field(description="The record's title; for a served enterprise, its name.")
    organization_id: str | None
    profile_id: str | None
    since: date
    region: str | None
    cluster: str | None
