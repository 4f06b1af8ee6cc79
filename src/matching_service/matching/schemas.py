"""Bodies and answers of matching."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
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
from matching_service.profiles.schemas import Kind
from matching_service.ranking.calibrate import Level
from matching_service.ranking.explain import Explanation
from matching_service.ranking.ranker import RankedProfile

MAX_TOP_K = 1_000
MAX_IDS = 5_000
DEFAULT_TOP_K = 20

TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K), NotBool]
Ids = Annotated[list[EntityId], Field(max_length=MAX_IDS)]
Decision = Literal["pinned", "shortlisted", "rejected"]
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
    Field(description="Wait, up to 5 s, until the index includes this change (`X-As-Of` of a write); then 503."),
]


class QueryBody(Body):
    """A question in the form of a demand, with a demand's limits."""

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
        default_factory=list, description="Region codes or their leading digits."
    )
    clusters: Annotated[list[Topic], Field(max_length=100)] = Field(default_factory=list)
    exclude: Ids = Field(default_factory=list, description="Ids of profiles that must not appear.")
    top_k: TopK = DEFAULT_TOP_K
    min_as_of: MinAsOf = None
    weights: dict[Signal, Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]] | None = Field(
        default=None, description="Weight per signal for this request; a signal that is not named keeps its own."
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.demand_id is None) == (self.query is None):
            raise PydanticCustomError("one_of", "give either demand_id or query, not both")
        return self


class MatchBody(QuestionBody):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    candidates: Ids | None = Field(
        default=None, description="Rank just these profiles and return all that are searchable."
    )
    explain: bool = True
    store: bool = Field(default=False, description="Keep the list as the demand's latest one.")


class ExplainBody(QuestionBody):
    """The question of a ranking, and the profile to explain."""

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


class MatchedProfile(Answer):
    id: str
    external_id: str | None
    kind: str
    name: str
    region: str | None


class ReasonAnswer(BaseModel):
    zh: str
    en: str


class PartAnswer(BaseModel):
    signal: str
    value: float = Field(
        description="In [0, 1]: of lexical and semantic how well the texts fit; of must_have the share missing; "
        "of stability how much of its allowance is used; of the others how far they are from neutral."
    )
    weight: float = Field(description="Negative where the signal speaks against the profile.")
    contribution: float = Field(description="value x weight; the contributions sum to the score.")
    reason: ReasonAnswer | None = Field(default=None, description="What was compared, in words.")


class TermAnswer(BaseModel):
    term: str
    contribution: float


class EvidenceAnswer(BaseModel):
    work_id: str | None = Field(description="null: the profile's own text.")
    work_title: str | None = None
    year: int | None = None
    field: str
    start: int = Field(description="Where `text` begins in the stored field.")
    text: str
    highlights: list[tuple[int, int]] = Field(description="Half-open spans of `text`.")


class ExplanationAnswer(BaseModel):
    parts: list[PartAnswer]
    terms: list[TermAnswer]
    evidence: list[EvidenceAnswer]
    missing_must_have: list[str]
    missing_nice_to_have: list[str] = Field(default_factory=list)
    reason: ReasonAnswer


class MatchItem(BaseModel):
    rank: int
    profile: MatchedProfile
    score: float = Field(description="In [0, 1].")
    level: Level
    explanation: ExplanationAnswer | None
    match_id: str | None = Field(default=None, description="Only for a stored list.")
    decision: Decision | None = None


class IndexAnswer(BaseModel):
    version: str
    as_of: int = Field(description="Sequence number of the last change of a profile that is included.")
    profiles: int
    pending_vectors: int = Field(
        default=0, description="Passages that are found by their words, but not yet by their meaning."
    )


class MatchAnswer(BaseModel):
    run_id: str | None
    index: IndexAnswer
    weights_version: str
    took_ms: float | None
    items: list[MatchItem]


class WhyNot(BaseModel):
    code: str
    detail: ReasonAnswer


class ExplainAnswer(BaseModel):
    """One pair. Where the profile cannot be searched (hidden, withdrawn), score, level and explanation are null."""

    index: IndexAnswer
    weights_version: str
    took_ms: float
    profile: MatchedProfile
    rank: int | None = Field(description=f"Its place in the whole list, of which {MAX_TOP_K} are looked at.")
    is_listed: bool = Field(description="Whether a list with this top_k that is stored now would hold it.")
    score: float | None
    level: Level | None
    explanation: ExplanationAnswer | None
    decision: Decision | None
    why_not: list[WhyNot] = Field(description="Every reason why it is not listed; empty where it is.")


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
    """A demand of before, with what became of it."""

    status_since: datetime
    reason: str | None = Field(description="Why it ended without success, where it did.")
    opinion: str | None = Field(description="What was written with its last step.")


class EarlierItem(BaseModel):
    demand: EarlierDemand
    score: float
    level: Level


class SubmissionAnswer(BaseModel):
    """What the enterprise should see before it submits."""

    missing: list[ProblemError] = Field(description="Everything that the form lacks; empty: it can be submitted.")
    similar: list[EarlierItem] = Field(description="The same problem, asked before, and its outcome; best first.")


class RunBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"scope": "open"}, {"scope": "changed"}]})

    scope: Literal["open", "changed"] = Field(
        default="open",
        description="open: all open demands. changed: those that changed since the last run, or whose list would be "
        "another because of a profile that did; the others keep theirs.",
    )


class Run(Answer):
    id: str
    scope: str = Field(description="open, changed, or demand: one list that was asked for by hand.")
    state: str = Field(description="running, finished, cancelled or failed.")
    created_at: datetime
    finished_at: datetime | None
    heartbeat_at: datetime | None = Field(description="When it last stored lists.")
    is_interrupted: bool = Field(
        default=False, description="It is running, but the process that ranked is gone: resume or cancel it."
    )
    remaining_s: float | None = Field(
        default=None, description="Estimated by its pace so far; null while nothing is known, and when it has ended."
    )
    estimated_finish_at: datetime | None = None
    n_demands: int
    n_done: int = Field(description="Demands that were ranked.")
    n_kept: int = Field(description="Demands that keep their list, because nothing that concerns them changed.")
    n_failed: int
    top_k: int
    index_version: str
    index_as_of: int
    lexicon_version: str
    encoder_version: str
    weights_version: str
    frequencies_version: str | None = Field(description="Names the word counts that rarity rests on.")
    stability: float | None


class FailedDemand(Answer):
    demand_id: str
    error: str


class CauseAnswer(BaseModel):
    """Why a profile came, went or moved: the code for programs, the sentences for people."""

    code: str = Field(
        description="Of the profile: first_list, new_profile, profile_changed, availability_changed, standing_changed, "
        "pinned, shortlisted, asked_again, exclusions_changed, deleted, hidden, withdrawn, unavailable, "
        "own_organization, excluded_by_organization, excluded_organization, rejected, refused. Of the demand: "
        "demand_changed, asked_by_hand. Of the ranking: weights_changed, lexicon_changed, encoder_changed, "
        "frequencies_changed, stability_changed, new_year. others_moved: nothing of its own."
    )
    fields: list[str] = Field(description="Fields that changed.")
    works: list[str] = Field(description="Titles of works that came, changed or went, five at most.")
    zh: str
    en: str


class PlacedProfile(BaseModel):
    profile_id: str | None = Field(description="null: the profile had been deleted.")
    name: str | None = Field(description="null: there is no such profile any more.")
    rank: int
    causes: list[CauseAnswer]


class MovedProfile(BaseModel):
    profile_id: str
    name: str | None = Field(description="null: there is no such profile any more.")
    from_rank: int
    to_rank: int
    causes: list[CauseAnswer]


class DemandChanges(BaseModel):
    demand_id: str
    entered: list[PlacedProfile]
    left: list[PlacedProfile]
    moved: list[MovedProfile]


class DecisionBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"decision": "pinned", "reason": "企业已面谈"}]})

    decision: Decision
    reason: Text5000 = None


class DecisionAnswer(Answer):
    demand_id: str
    profile_id: str
    decision: Decision
    reason: str | None
    actor_id: str
    at: datetime


def explanation_body(ranked: RankedProfile, found: Explanation) -> dict[str, Any]:
    """An ``ExplanationAnswer`` as it is stored: plain JSON. Written out, because a night makes tens of thousands."""
    return {
        "parts": [
            {
                "signal": part.signal,
                "value": part.value,
                "weight": part.weight,
                "contribution": part.contribution,
                "reason": part.reason._asdict() if part.reason is not None else None,
            }
            for part in ranked.parts
        ],
        "terms": [{"term": term.term, "contribution": term.contribution} for term in found.terms],
        "evidence": [
            {
                "work_id": one.work_id,
                "work_title": one.work_title,
                "year": one.year,
                "field": one.field,
                "start": one.start,
                "text": one.text,
                "highlights": one.highlights,
            }
            for one in found.evidence
        ],
        "missing_must_have": list(ranked.missing_must_have),
        "missing_nice_to_have": list(ranked.missing_nice_to_have),
        "reason": found.reason._asdict(),
    }
