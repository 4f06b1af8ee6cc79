"""Request and response bodies of demands. The shorter limits of the paper form are advice only."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, computed_field
from pydantic.config import JsonDict

from matching_service.api.fields import (
    Answer,
    Body,
    Email,
    EntityId,
    ExternalId,
    NotBool,
    Origin,
    Phone,
    Region,
    RowId,
    Text50,
    Text5000,
    Title,
    Topic,
    Topics,
    UpsertBody,
    Year,
)
from matching_service.demands.states import LIFE, DemandStatus, EndReason
from matching_service.foundation.clock import today

Cooperation = Literal["independent", "commissioned", "joint", "other"]
Visibility = Literal["public", "restricted"]
IndustryCode = Annotated[str, StringConstraints(pattern=r"^[A-T][0-9]{0,4}$")]

_THIS_YEAR = today().year
"""A form whose start lies in an earlier year is not accepted, so an example with a fixed year would become false."""
_EXAMPLE: JsonDict = {
    "external_id": "D-9",
    "source": "portal",
    "title": "机器人用谐波减速器疲劳寿命提升",
    "problem": "柔轮在额定负载下运行约5000小时后齿根出现裂纹，希望寿命达到10000小时以上。",
    "expected_goal": "额定寿命≥10000 h，回差≤1 arcmin",
    "keywords": ["谐波减速器", "柔轮", "疲劳寿命"],
    "must_have": ["谐波减速器"],
    "region": "440605",
    "cluster": "智能制造装备及机器人",
    "industry_code": "C3453",
    "funding_wan": 80,
    "start_year": _THIS_YEAR,
    "end_year": _THIS_YEAR + 1,
    "cooperation": "joint",
}


class DemandFields(Body):
    problem: Text5000 = None
    key_technology: Text5000 = None
    expected_goal: Text5000 = None
    keywords: Topics = Field(default_factory=list)
    must_have: Topics = Field(default_factory=list)
    nice_to_have: Topics = Field(default_factory=list)
    organization_id: EntityId | None = None
    region: Region | None = None
    cluster: Topic | None = None
    industry_code: IndustryCode | None = Field(default=None, description="GB/T 4754-2017: a letter and up to 4 digits.")
    funding_wan: Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False), NotBool] | None = None
    start_year: Year | None = None
    end_year: Year | None = None
    cooperation: Cooperation | None = None
    wanted_partners: Topics = Field(default_factory=list, description="Kinds or names of wanted partners.")
    field: Topic | None = Field(default=None, description="Technical field.")
    expires_on: date | None = Field(
        default=None, description="The last day on which a published demand can be claimed; null: no limit."
    )
    visibility: Visibility = "public"


class DemandCreate(UpsertBody, DemandFields):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    organization_external_id: ExternalId | None = Field(
        default=None, description="The organization by its external_id within the same source."
    )
    title: Title


class DemandImport(DemandCreate):
    """A row of an imported file. It may contain our own id and a state."""

    id: RowId | None = None
    status: DemandStatus | None = None

    @property
    def row_id(self) -> str | None:
        return self.id


class DemandPatch(DemandFields):
    """Changes only the fields that are sent; null clears an optional field."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"funding_wan": 120, "end_year": _THIS_YEAR + 2}]})

    title: Title = Field(default="")


class Demand(Answer):
    id: str
    source: str
    external_id: str | None
    status: str
    title: str
    problem: str | None
    key_technology: str | None
    expected_goal: str | None
    keywords: list[str]
    must_have: list[str]
    nice_to_have: list[str]
    organization_id: str | None
    region: str | None
    cluster: str | None
    industry_code: str | None
    funding_wan: float | None
    start_year: int | None
    end_year: int | None
    cooperation: str | None
    wanted_partners: list[str]
    field: str | None
    expires_on: date | None
    visibility: str
    origin: Origin | None
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @computed_field(description="The possible next states; see docs/states.md for roles and needs.")  # type: ignore[prop-decorator]
    @property
    def next_statuses(self) -> list[str]:
        return [status.value for status in LIFE.following(DemandStatus(self.status))]


class TransitionBody(Body):
    """One transition. docs/states.md lists what each target state needs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"to": "published", "opinion": "同意发榜"},
                {"to": "contracted", "contract_number": "FS-2026-017"},
                {"to": "abandoned", "reason": "no_supplier"},
                {"to": "withdrawn", "reason": "solved_otherwise"},
            ]
        }
    )

    to: DemandStatus
    opinion: Text5000 = None
    reason: EndReason | None = Field(default=None, description="`other` requires an explanation in `opinion`.")
    contract_number: ExternalId | None = None


class Transition(Answer):
    from_status: str | None = Field(serialization_alias="from")
    to_status: str = Field(serialization_alias="to")
    opinion: str | None
    reason: str | None
    actor_id: str
    at: datetime


class DeadlineNotice(Answer):
    kind: Literal["nudge", "last_chance"]
    silent_since: date = Field(description="The day of publication or of the last contact since.")
    at: datetime


class DemandContactBody(Body):
    """Contact data of a demand, as a request sends it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"person": "陈工", "mobile": "13000000000", "email": "a@example.org"}]},
    )

    person: Text50 = None
    mobile: Phone = None
    email: Email = None


class DemandContact(Answer):
    """Whom to reach about a demand, as stored: what an earlier rule let in can be read. Reading writes an audit row."""

    person: str | None = None
    mobile: str | None = None
    email: str | None = None
