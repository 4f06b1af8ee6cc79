"""Request and response bodies of matching."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from matching_service.api.fields import (
    Answer,
    Body,
    EntityId,
    NotBool,
    Region,
    RegionPrefix,
    Text5000,
    Title,
    Topic,
    Topics,
)
from matching_service.api.problems import ProblemError
from matching_service.eligibility.schemas import Decision, Ids, MatchedProfile, ReasonAnswer
from matching_service.profiles.schemas import Kind
from matching_service.ranking.calibrate import Level
from matching_service.shortlists.schemas import ExplanationAnswer, IndexAnswer

MAX_TOP_K = 1_000
DEFAULT_TOP_K = 20

TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K), NotBool]
Signal = Literal[
    "lexical",
    "semantic",
    "cluster",
    "field",
    "region",
    "honours",
    "recency",
    "availability",
    "track_record",
    "nice_to_have",
]

_EXAMPLE: JsonDict = {
    "query": {"title": "谐波减速器疲劳寿命提升", "problem": "柔轮齿根开裂", "must_have": ["谐波减速器"]},
    "kinds": ["expert"],
    "regions": ["44"],
    "top_k": 5,
}


MinAsOf = Annotated[
    Annotated[int, Field(ge=0)] | None,
    Field(description="Wait up to 5 s until the index includes this change (`X-As-Of` of a write), else give 503."),
]


class QueryBody(Body):
    """An ad hoc query in the form of a demand, with the same limits."""

    title: Title
    problem: Text5000 = None
    key_technology: Text5000 = None
    expected_goal: Text5000 = None
    keywords: Topics = Field(default_factory=list)
    must_have: Topics = Field(default_factory=list)
    nice_to_have: Topics = Field(default_factory=list)
    cluster: Topic | None = None
    region: Region | None = None


class QuestionBody(Body):
    """Either ``demand_id`` or ``query``. Empty filters restrict nothing."""

    demand_id: EntityId | None = None
    query: QueryBody | None = None
    kinds: Annotated[list[Kind], Field(max_length=20)] = Field(default_factory=list)
    regions: Annotated[list[RegionPrefix], Field(max_length=100)] = Field(
        default_factory=list,
        description="地区: codes with all that lies in them (440600: all of Foshan), or their leading digits.",
    )
    clusters: Annotated[list[Topic], Field(max_length=100)] = Field(default_factory=list)
    overseas: StrictBool | None = Field(
        default=None, description="true: only overseas profiles (`country` is not CN); false: only the others."
    )
    exclude: Ids = Field(default_factory=list, description="Ids of profiles that must not appear.")
    top_k: TopK = DEFAULT_TOP_K
    with_none: StrictBool = Field(
        default=False, description="true: also profiles of level none, of which nothing says that they fit."
    )
    min_as_of: MinAsOf = None
    weights: dict[Signal, Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]] | None = Field(
        default=None, description="Weight per signal for this request. Other signals keep their active weight."
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.demand_id is None) == (self.query is None):
            raise PydanticCustomError("one_of", "give either demand_id or query, not both")
        return self


class MatchBody(QuestionBody):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    per_kind: Annotated[dict[Kind, TopK], Field(min_length=1)] | None = Field(
        default=None,
        description='How many of each kind, in place of `top_k` and `kinds`: `{"expert": 10, "society": 3}`.',
    )
    candidates: Ids | None = Field(
        default=None, description="Rank only these profiles, and return all of them that are in the index."
    )
    explain: bool = True
    store: bool = Field(default=False, description="Store the list as the latest one of the demand.")


class ExplainBody(QuestionBody):
    """A ranking question and the profile to explain."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": {"title": "谐波减速器疲劳寿命提升"}, "profile_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"}
            ]
        }
    )

    profile_id: EntityId


class ReverseBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"top_k": 10}]})

    top_k: TopK = DEFAULT_TOP_K
    min_as_of: MinAsOf = None


class WhyNot(BaseModel):
    code: str
    detail: ReasonAnswer


class ExplainAnswer(BaseModel):
    """The explanation of one pair. Score, level and explanation are null for hidden and withdrawn profiles."""

    index: IndexAnswer
    weights_version: str
    took_ms: float
    profile: MatchedProfile
    rank: int | None = Field(description=f"Rank in the whole list; null beyond rank {MAX_TOP_K}.")
    is_listed: bool = Field(description="Whether a list with this top_k, stored now, would contain the profile.")
    score: float | None
    level: Level | None
    explanation: ExplanationAnswer | None
    decision: Decision | None
    why_not: list[WhyNot] = Field(description="All reasons why the profile is not listed; empty if it is.")


class MatchedDemand(Answer):
    id: str
    external_id: str | None
    title: str
    status: str
    cluster: str | None
    region: str | None


class DemandMatchItem(BaseModel):
    rank: int
    demand: MatchedDemand
    score: float
    level: Level
    explanation: ExplanationAnswer | None = None


class DemandMatchAnswer(BaseModel):
    index: IndexAnswer
    took_ms: float
    items: list[DemandMatchItem]


class EarlierDemand(MatchedDemand):
    """An earlier demand with its outcome."""

    status_since: datetime
    reason: str | None = Field(description="Why it ended without success, if it did.")
    opinion: str | None = Field(description="The opinion written with its last step.")


class EarlierItem(BaseModel):
    demand: EarlierDemand
    score: float
    level: Level


class SubmissionAnswer(BaseModel):
    """Information for the enterprise before it submits a demand."""

    missing: list[ProblemError] = Field(description="All missing fields; empty: the demand can be submitted.")
    similar: list[EarlierItem] = Field(description="Similar earlier demands with their outcomes, most similar first.")
