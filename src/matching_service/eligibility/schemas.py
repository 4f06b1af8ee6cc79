"""Request and response bodies of the conflict check, and the profile fields that lists show."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from matching_service.api.fields import (
    Answer,
    Body,
    EntityId,
)
from matching_service.store.profiles import HOME

MAX_IDS = 5_000


Ids = Annotated[list[EntityId], Field(max_length=MAX_IDS)]


class ReasonAnswer(Answer):
    zh: str
    en: str


Decision = Literal["pinned", "shortlisted", "rejected"]


class ConflictingOrganization(Answer):
    id: str
    name: str


class MatchedProfile(Answer):
    id: str
    external_id: str | None
    kind: str
    name: str
    region: str | None
    country: str = Field(description="ISO 3166-1 code of two letters.")
    overseas: bool = Field(description="Whether `country` is another one than CN (境外).")
    language: str = Field(description="ISO 639-1 code.")
    organization: ConflictingOrganization | None

    @classmethod
    def of(cls, profile: Any, organization_name: str | None) -> Self:
        """Show a profile.

        profile : any row with these columns. organization_name : None if the profile has no organization.
        """
        organization_id = profile.organization_id
        return cls(
            id=profile.id,
            external_id=profile.external_id,
            kind=profile.kind,
            name=profile.name,
            region=profile.region,
            country=profile.country,
            overseas=profile.country != HOME,
            language=profile.language,
            organization=ConflictingOrganization(id=organization_id, name=organization_name)
            if organization_id is not None and organization_name is not None
            else None,
        )


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
