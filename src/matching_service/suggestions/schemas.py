"""Request and response bodies of suggestions."""

from datetime import datetime

from pydantic import AliasPath, ConfigDict, Field, computed_field

from matching_service.api.fields import Answer, Body, EntityId, Text5000
from matching_service.suggestions.states import LIFE, RefusalReason, SuggestionStatus


class SuggestionCreate(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "demand_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11",
                    "profile_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e12",
                    "note": "企业希望本月内面谈",
                }
            ]
        }
    )

    demand_id: EntityId
    profile_id: EntityId
    note: Text5000 = None


class Suggestion(Answer):
    id: str
    demand_id: str
    demand_title: str = Field(validation_alias=AliasPath("demand", "title"))
    profile_id: str
    profile_name: str = Field(validation_alias=AliasPath("profile", "name"))
    status: str
    reason: str | None
    note: str | None
    created_at: datetime
    updated_at: datetime

    @computed_field(description="The possible next states; see docs/states.md.")  # type: ignore[prop-decorator]
    @property
    def next_statuses(self) -> list[str]:
        return [status.value for status in LIFE.following(SuggestionStatus(self.status))]


class SuggestionStep(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "contacted"}, {"to": "declined", "reason": "no_time"}]}
    )

    to: SuggestionStatus
    reason: RefusalReason | None = Field(default=None, description="`other` requires an explanation in `note`.")
    note: Text5000 = None


class SuggestionTransition(Answer):
    from_status: str | None = Field(serialization_alias="from")
    to_status: str = Field(serialization_alias="to")
    reason: str | None
    note: str | None
    actor_id: str
    at: datetime
