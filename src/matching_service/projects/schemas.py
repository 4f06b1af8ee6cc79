"""Request and response bodies of projects, partners and milestones."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from matching_service.api.fields import Answer, Body, EntityId, ExternalId, NotBool, Text5000, Title, Topic

MAX_PARTNERS = 50
MAX_MILESTONES = 100
MilestoneState = Literal["planned", "done", "overdue"]


class Partner(Body):
    """A partner: a stored profile or organization, or only a name."""

    model_config = ConfigDict(from_attributes=True)

    name: Title
    role: Topic | None = None
    profile_id: EntityId | None = None
    organization_id: EntityId | None = None


class ProjectPatch(Body):
    """Changes only the fields that are sent. ``partners`` replaces the whole list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "contract_amount_wan": 60,
                    "partners": [{"name": "某大学机械学院", "role": "承担单位"}],
                    "results": "样机 2 台，疲劳寿命 11200 h，发明专利 1 项",
                }
            ]
        }
    )

    contract_number: ExternalId | None = None
    contract_amount_wan: Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False), NotBool] | None = None
    partners: Annotated[list[Partner], Field(max_length=MAX_PARTNERS)] = Field(default_factory=list)
    results: Text5000 = None


class MilestoneCreate(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "样机试制", "due_on": "2026-09-30"}]})

    title: Title
    due_on: date
    done_on: date | None = None
    note: Text5000 = None


class MilestonePatch(Body):
    """Changes only the fields that are sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"done_on": "2026-09-20", "note": "提前完成"}]})

    title: Title = Field(default="")
    due_on: date = Field(default=date.min)
    done_on: date | None = None
    note: Text5000 = None


class Milestone(Answer):
    id: str
    title: str
    due_on: date
    done_on: date | None
    note: str | None
    state: MilestoneState = Field(description="overdue: `due_on` is past and the milestone is not done.")


class OverdueMilestone(Milestone):
    project_id: str
    demand_id: str
    demand_title: str
    days: int = Field(description="Days since `due_on`.")


class Acceptance(Answer):
    at: datetime
    opinion: str | None
    actor_id: str


class Project(Answer):
    id: str
    demand_id: str
    status: str = Field(description="The demand's state; from contracted on it describes the project.")
    contract_number: str | None
    contract_amount_wan: float | None
    partners: list[Partner]
    milestones: list[Milestone]
    results: str | None
    acceptance: Acceptance | None = Field(description="The transition to accepted, with its opinion; null before.")
    created_at: datetime
    updated_at: datetime
