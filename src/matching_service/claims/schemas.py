"""Request and response bodies of claims and score sheets."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, computed_field, model_validator
from pydantic_core import PydanticCustomError

from matching_service.api.fields import Answer, Body, Clean, EntityId, ExternalId, NotBool, Text5000, Title
from matching_service.claims.states import CRITERIA, LIFE, ClaimStatus, Criterion

MAX_ATTACHMENTS = 20
Reference = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), *Clean]
Offer = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=5_000), *Clean]
Price = Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False), NotBool]
_POINTS = "、".join(f"{criterion}（{words.zh}）0 至 {most}" for criterion, (words, most) in CRITERIA.items())


class Attachment(Body):
    """A reference to a document that the sender keeps. The service stores no files."""

    name: Title
    reference: Reference = Field(description="An address or number under which the sender finds it.")


class ClaimCreate(Body):
    """A new claim. The claimant is either a profile or an organization."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "demand_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11",
                    "profile_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e12",
                    "offer": "以齿形修形与喷丸组合提高柔轮寿命，六个月内给出样机。",
                    "price_wan": 60,
                    "attachments": [{"name": "技术方案.pdf", "reference": "oss://claims/17/plan.pdf"}],
                }
            ]
        }
    )

    demand_id: EntityId
    profile_id: EntityId | None = None
    organization_id: EntityId | None = None
    offer: Offer
    price_wan: Price | None = None
    attachments: Annotated[list[Attachment], Field(max_length=MAX_ATTACHMENTS)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_claimant(self) -> "ClaimCreate":
        if (self.profile_id is None) == (self.organization_id is None):
            raise PydanticCustomError("one_target", "give either profile_id or organization_id, not both")
        return self


class Claim(Answer):
    id: str
    demand_id: str
    profile_id: str | None
    organization_id: str | None
    status: str
    offer: str
    price_wan: float | None
    attachments: list[Attachment]
    opinion: str | None
    created_at: datetime
    updated_at: datetime

    @computed_field(description="The states that may come next; see docs/states.md.")  # type: ignore[prop-decorator]
    @property
    def next_statuses(self) -> list[str]:
        return [status.value for status in LIFE.following(ClaimStatus(self.status))]


class JudgedClaim(Claim):
    score: float | None = Field(description="Mean of the sheets' totals, in [0, 100]; null: not judged yet.")
    n_sheets: int


class ClaimStep(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "chosen", "contract_number": "FS-2026-017", "opinion": "综合评分第一"}]}
    )

    to: ClaimStatus
    opinion: Text5000 = None
    contract_number: ExternalId | None = None


class ScoreBody(Body):
    """A judge's complete score sheet. It replaces the earlier sheet that the same sender entered for the same judge."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "points": {"feasibility": 26, "targets": 20, "team": 18, "price": 10, "schedule": 8},
                    "comment": "可行",
                }
            ]
        }
    )

    points: dict[Criterion, Annotated[float, Field(ge=0, allow_inf_nan=False), NotBool]] = Field(description=_POINTS)
    judge: ExternalId | None = Field(default=None, description="Name of a guest who judges; null: you do.")
    comment: Text5000 = None

    @model_validator(mode="after")
    def _whole_and_within(self) -> "ScoreBody":
        if missing := [criterion.value for criterion in Criterion if criterion not in self.points]:
            raise PydanticCustomError(
                "points_missing", "points are missing: {missing}", {"missing": ", ".join(missing)}
            )
        for criterion, points in self.points.items():
            if points > (most := CRITERIA[criterion][1]):
                context: dict[str, Any] = {"criterion": criterion.value, "most": most}
                raise PydanticCustomError("too_many_points", "{criterion}: at most {most} points", context)
        return self


class Score(Answer):
    judge: str = Field(description="Name of the judge.")
    points: dict[str, float]
    total: float
    comment: str | None
    actor_id: str = Field(description="The principal who entered it, and who alone can replace it.")
    at: datetime
