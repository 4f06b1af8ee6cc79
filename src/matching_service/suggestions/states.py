"""The life of a suggestion as a table of transitions, and the reasons for an end without an agreement."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from matching_service.access.life import Life, Step
from matching_service.access.policies import Action
from matching_service.foundation.errors import Bilingual


class SuggestionStatus(StrEnum):
    SUGGESTED = "suggested"
    CONTACTED = "contacted"
    ACCEPTED = "accepted"
    MET = "met"
    AGREED = "agreed"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"
    NOT_SUITABLE = "not_suitable"
    CLOSED = "closed"


class RefusalReason(StrEnum):
    """Why the supplier declined or was not suitable."""

    NO_TIME = "no_time"
    NOT_MY_FIELD = "not_my_field"
    CONFLICT_OF_INTEREST = "conflict_of_interest"
    TERMS = "terms"
    DISTANCE = "distance"
    EXPERIENCE = "experience"
    ENTERPRISE_REFUSED = "enterprise_refused"
    OTHER = "other"


STATUS_NAMES: Mapping[SuggestionStatus, str] = MappingProxyType(
    {
        SuggestionStatus.SUGGESTED: "已推荐",
        SuggestionStatus.CONTACTED: "已联系",
        SuggestionStatus.ACCEPTED: "已接受",
        SuggestionStatus.MET: "已会面",
        SuggestionStatus.AGREED: "已达成",
        SuggestionStatus.DECLINED: "已婉拒",
        SuggestionStatus.NO_ANSWER: "无回应",
        SuggestionStatus.NOT_SUITABLE: "不合适",
        SuggestionStatus.CLOSED: "已关闭",
    }
)

_OPEN = Bilingual("需求仍开放；已发布的需求随之变为对接中", "the demand is open; a published demand becomes matching")

_ENDED = Bilingual("需求签约、过期或放弃时自动关闭", "automatic when the demand is contracted, expired or abandoned")


def _steps() -> list[Step[SuggestionStatus]]:
    s, write = SuggestionStatus, Action.SUGGESTION_WRITE
    return [
        Step(s.SUGGESTED, s.CONTACTED, write, note=_OPEN),
        Step(s.SUGGESTED, s.NOT_SUITABLE, write),
        Step(s.CONTACTED, s.ACCEPTED, write),
        Step(s.CONTACTED, s.DECLINED, write, ("reason",)),
        Step(s.CONTACTED, s.NO_ANSWER, write),
        Step(s.CONTACTED, s.NOT_SUITABLE, write),
        Step(s.NO_ANSWER, s.CONTACTED, write, note=_OPEN),
        Step(s.ACCEPTED, s.MET, write),
        Step(s.ACCEPTED, s.DECLINED, write, ("reason",)),
        Step(s.ACCEPTED, s.NO_ANSWER, write),
        Step(s.ACCEPTED, s.NOT_SUITABLE, write),
        Step(s.MET, s.AGREED, write),
        Step(s.MET, s.DECLINED, write, ("reason",)),
        Step(s.MET, s.NOT_SUITABLE, write),
        *(Step(state, s.CLOSED, write, note=_ENDED) for state in (s.SUGGESTED, s.CONTACTED, s.ACCEPTED, s.MET)),
    ]


LIFE = Life(Bilingual("推荐", "suggestion"), STATUS_NAMES, _steps())
