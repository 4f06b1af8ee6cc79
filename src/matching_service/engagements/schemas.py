"""Request and response bodies of engagements and calendars."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from matching_service.api.fields import Answer, Body, EntityId, ExternalId, Text5000, Title, Topic

Kind = Literal["contact", "visit", "meeting", "training", "roadshow"]
KIND_NAMES: dict[Kind, str] = {
    "contact": "联系",
    "visit": "走访",
    "meeting": "会面",
    "training": "培训",
    "roadshow": "路演",
}
Staff = ExternalId  # the same maximum length as the name of a key
People = Annotated[list[Topic], Field(max_length=50)]

_EXAMPLE: JsonDict = {
    "kind": "visit",
    "held_on": "2026-11-26",
    "people": ["李主任", "陈工"],
    "organization_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11",
    "place": "顺德区大良街道顺翔路 8 号",
    "note": "看了注塑车间，油温偏高",
    "next_step": "请专家给出改造方案",
    "next_step_on": "2026-12-03",
}


class EngagementFields(Body):
    people: People = Field(default_factory=list, description="Names of those who take part.")
    organization_id: EntityId | None = None
    demand_id: EntityId | None = None
    profile_id: EntityId | None = None
    place: Title | None = Field(default=None, description="Where it is held; LOCATION in the calendar file.")
    note: Text5000 = None
    outcome: Text5000 = None
    next_step: Text5000 = None
    next_step_on: date | None = None


class EngagementCreate(EngagementFields):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    kind: Kind
    held_on: date = Field(description="The day; one in the future is planned.")
    staff: Staff | None = Field(default=None, description="Name of the person in whose calendar it stands; null: you.")


class EngagementPatch(EngagementFields):
    """A partial update. Only the fields that are sent change; null clears an optional field."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "约定下周试机", "next_step_done": True}]})

    kind: Kind = Field(default="contact")
    held_on: date = Field(default=date.min)
    staff: Staff = Field(default="")
    next_step_done: bool = False


class Engagement(Answer):
    id: str
    kind: str
    held_on: date
    staff: str
    staff_id: str | None = Field(
        description="The principal in whose calendar it stands; null when `staff` names no holder of a key, or several."
    )
    people: list[str]
    organization_id: str | None
    demand_id: str | None
    profile_id: str | None
    place: str | None
    note: str | None
    outcome: str | None
    next_step: str | None
    next_step_on: date | None
    next_step_done_at: datetime | None
    created_at: datetime
    updated_at: datetime


class CalendarEntry(BaseModel):
    """An engagement on the day it is held, or its next step on the day it is due."""

    on: date
    what: Literal["engagement", "next_step"]
    is_overdue: bool
    engagement: Engagement


class Calendar(BaseModel):
    staff: str
    first: date
    last: date
    items: list[CalendarEntry]
