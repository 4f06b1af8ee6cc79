"""Request and response bodies of the conflict check, and the profile fields that lists show."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from matching_service.api.fields import (
    Answer,
    Body,
    EntityId,
)

MAX_IDS = 5_000


Ids = Annotated[list[EntityId], Field(max_length=MAX_IDS)]


class ReasonAnswer(Answer):
    zh: str
    en: str


Decision = Literal["pinned", "shortlisted", "rejected"]


class MatchedProfile(Answer):
    id: str
    external_id: str | None
    kind: str
    name: str
    region: str | None


Code = Literal[
    "own_organization",
    "excluded_by_organization",
    "excluded_organization",
    "unavailable",
    "hidden",
    "withdrawn",
    "rejected",
    "refused",
    "not_found",
]


class ConflictBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"candidates": ["01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"]}]}
    )

    candidates: Ids | None = Field(default=None, description="Ids of the profiles to check; null: all profiles.")


class ConflictReason(BaseModel):
    code: Code
    detail: ReasonAnswer


class ConflictItem(BaseModel):
    profile: MatchedProfile | None = Field(description="null: no profile has this id.")
    profile_id: str
    reasons: list[ConflictReason] = Field(description="All reasons that apply, at least one.")
