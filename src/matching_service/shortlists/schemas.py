"""Request and response bodies of stored lists, their changes and decisions."""

from datetime import datetime
from itertools import accumulate
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, computed_field

from matching_service.api.fields import (
    Answer,
    Body,
    EntityId,
    Text5000,
)
from matching_service.eligibility.schemas import Decision, MatchedProfile, ReasonAnswer
from matching_service.ranking.calibrate import Level
from matching_service.ranking.explain import Explanation
from matching_service.ranking.topics import State

_BEYOND_BMP = 0x10000
"""From here on, UTF-16 takes two code units for a character."""


class PartAnswer(Answer):
    signal: str
    value: float = Field(
        description="In [0, 1]. lexical, semantic: similarity of the texts. must_have: the share that is missing. "
        "stability: the used share of its allowance. Other signals: distance from neutral."
    )
    weight: float = Field(description="Negative if the signal counts against the profile.")
    contribution: float = Field(description="value x weight. All contributions sum to the score.")
    reason: ReasonAnswer | None = Field(default=None, description="The compared values in words.")


class TermAnswer(Answer):
    term: str
    contribution: float


class EvidenceAnswer(Answer):
    work_id: str | None = Field(description="null: the profile's own text.")
    work_title: str | None = None
    year: int | None = None
    field: str
    start: int = Field(description="Offset of `text` in the stored field, in Unicode code points.")
    text: str
    highlights: list[tuple[int, int]] = Field(description="Half-open spans of `text`, in Unicode code points.")

    @computed_field(  # type: ignore[prop-decorator]
        description="The same spans in UTF-16 code units, as JavaScript, Java and C# count."
    )
    @property
    def highlights_utf16(self) -> list[tuple[int, int]]:
        if self.text.isascii() or max(map(ord, self.text)) < _BEYOND_BMP:
            return self.highlights
        units = list(accumulate((1 + (ord(character) >= _BEYOND_BMP) for character in self.text), initial=0))
        return [(units[start], units[end]) for start, end in self.highlights]


class MustHaveAnswer(Answer):
    topic: str
    state: State = Field(
        description="met: a text uses its words or synonyms. not_verified: a text is only close in meaning to the "
        "demand. not_met: neither. The same holds for texts of all languages."
    )
    evidence: EvidenceAnswer | None = Field(
        description="The sentence that shows it; without highlights if not verified."
    )


class ExplanationAnswer(Answer):
    parts: list[PartAnswer]
    terms: list[TermAnswer]
    evidence: list[EvidenceAnswer]
    must_have: list[MustHaveAnswer] = Field(
        default_factory=list, description="In the order of the demand. Empty in lists that an earlier version stored."
    )
    missing_must_have: list[str] = Field(description="The must-haves that are not met.")
    missing_nice_to_have: list[str] = Field(default_factory=list)
    reason: ReasonAnswer


class MatchItem(BaseModel):
    rank: int = Field(description="The place by score. Pinned profiles come first in `items`, whatever their rank.")
    profile: MatchedProfile
    score: float = Field(description="In [0, 1].")
    level: Level
    explanation: ExplanationAnswer | None
    match_id: str | None = Field(default=None, description="Only in a stored list.")
    decision: Decision | None = None


class IndexAnswer(BaseModel):
    version: str
    as_of: int = Field(description="Sequence number of the last profile event in the index.")
    profiles: int
    pending_vectors: int = Field(
        default=0, description="Number of passages without a vector yet: searchable by words, not by meaning."
    )
    encoder_available: bool = Field(
        default=True,
        description="Whether the encoder answers 编码器可用. False: texts without a stored vector "
        "are ranked by words alone.",
    )


class MatchAnswer(BaseModel):
    run_id: str | None
    index: IndexAnswer
    weights_version: str
    took_ms: float | None
    items: list[MatchItem]


class CauseAnswer(BaseModel):
    """Why a profile entered, left or moved: a code for programs, a sentence for people."""

    code: str = Field(
        description="Causes in the profile: first_list, new_profile, profile_changed, availability_changed, "
        "standing_changed, pinned, shortlisted, asked_again, exclusions_changed, deleted, hidden, withdrawn, "
        "unavailable, own_organization, excluded_by_organization, excluded_organization, rejected, refused. "
        "In the demand: demand_changed, asked_by_hand. In the ranking: weights_changed, lexicon_changed, "
        "encoder_changed, frequencies_changed, stability_changed, new_year. others_moved: the profile did not "
        "change itself."
    )
    fields: list[str] = Field(description="Names of changed fields.")
    works: list[str] = Field(description="Titles of added, changed or removed works, at most five.")
    zh: str
    en: str


class PlacedProfile(BaseModel):
    profile_id: str | None = Field(description="null: the profile was already deleted when the list was made.")
    name: str | None = Field(description="null: the profile no longer exists.")
    rank: int
    causes: list[CauseAnswer]


class MovedProfile(BaseModel):
    profile_id: str
    name: str | None = Field(description="null: the profile no longer exists.")
    from_rank: int
    to_rank: int
    causes: list[CauseAnswer]


class DemandChanges(BaseModel):
    """What changed on the list of a demand since the list before."""

    demand_id: str
    demand_title: str
    run_id: str
    at: datetime = Field(description="When the new list became visible.")
    entered: list[PlacedProfile]
    left: list[PlacedProfile]
    moved: list[MovedProfile]


class DecisionBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"decision": "pinned", "reason": "企业已面谈"}]})

    decision: Decision | None = Field(
        description="pinned: first on every list, whatever the rank. shortlisted: marked, its place stays. "
        "rejected: on no new list. null: undoes the decision before."
    )
    reason: Text5000 = None


class PairDecisionBody(DecisionBody):
    """A decision about a profile for a demand, on a list or not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "demand_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11",
                    "profile_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e12",
                    "decision": None,
                }
            ]
        }
    )

    demand_id: EntityId
    profile_id: EntityId


class AddedProfileBody(Body):
    """A profile that staff know and put on the list of a demand by hand."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"profile_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e12", "reason": "曾为该企业解决同类问题"}]
        }
    )

    profile_id: EntityId
    reason: Text5000 = None


class DecisionAnswer(Answer):
    """A decision as it is now stored. ``decision`` is null where it was undone."""

    demand_id: str
    profile_id: str
    decision: Decision | None
    reason: str | None
    actor_id: str
    at: datetime


class NamedDecision(DecisionAnswer):
    profile_name: str | None = Field(description="null: the profile no longer exists.")


def explanation_body(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain JSON, which ``ExplanationAnswer`` can read.

    Written out by hand instead of by pydantic for speed: a night makes tens of thousands.
    """
    return {
        "parts": [
            {
                "signal": part.signal,
                "value": part.value,
                "weight": part.weight,
                "contribution": part.contribution,
                "reason": part.reason._asdict() if part.reason is not None else None,
            }
            for part in explanation.parts
        ],
        "terms": [term._asdict() for term in explanation.terms],
        "evidence": [evidence._asdict() for evidence in explanation.evidence],
        "must_have": [
            {
                "topic": finding.topic,
                "state": finding.state,
                "evidence": finding.evidence._asdict() if finding.evidence is not None else None,
            }
            for finding in explanation.must_have
        ],
        "missing_must_have": list(explanation.missing_must_have),
        "missing_nice_to_have": list(explanation.missing_nice_to_have),
        "reason": explanation.reason._asdict(),
    }


def lacks_of(body: dict[str, Any]) -> tuple[int, int] | None:
    """Return ``RankedProfile.lacks`` of a stored explanation. None for one that an earlier version wrote."""
    if "must_have" not in body:
        return None
    states = [finding["state"] for finding in body["must_have"]]
    return states.count("not_met"), states.count("not_verified")
