"""The transition table of a claim, and the criteria of its score sheets."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from matching_service.access.life import Life, Step
from matching_service.access.policies import Action
from matching_service.foundation.errors import Bilingual
from matching_service.store.claims import NOT_CHOSEN, OFFERED


class ClaimStatus(StrEnum):
    OFFERED = OFFERED
    CHOSEN = "chosen"
    NOT_CHOSEN = NOT_CHOSEN
    WITHDRAWN = "withdrawn"


class Criterion(StrEnum):
    FEASIBILITY = "feasibility"
    TARGETS = "targets"
    TEAM = "team"
    PRICE = "price"
    SCHEDULE = "schedule"


STATUS_NAMES: Mapping[ClaimStatus, str] = MappingProxyType(
    {
        ClaimStatus.OFFERED: "已揭榜",
        ClaimStatus.CHOSEN: "已中榜",
        ClaimStatus.NOT_CHOSEN: "未中榜",
        ClaimStatus.WITHDRAWN: "已撤回",
    }
)
CRITERIA: Mapping[Criterion, tuple[Bilingual, int]] = MappingProxyType(
    {
        Criterion.FEASIBILITY: (Bilingual("技术路线可行性", "feasibility of the way"), 30),
        Criterion.TARGETS: (Bilingual("对指标的满足程度", "how far it meets the targets"), 25),
        Criterion.TEAM: (Bilingual("团队与基础", "team and groundwork"), 20),
        Criterion.PRICE: (Bilingual("报价合理性", "price"), 15),
        Criterion.SCHEDULE: (Bilingual("进度安排", "schedule"), 10),
    }
)
"""The name and the maximum points of each criterion. The maxima sum to 100."""


def _steps() -> list[Step[ClaimStatus]]:
    s = ClaimStatus
    chosen = Bilingual(
        "至少一份评分表；需求随之签约，其余揭榜未中榜",
        "a score sheet at least; the demand becomes contracted, the other claims not_chosen",
    )
    not_chosen = Bilingual(
        "需求以其他方式签约、过期或放弃时，未决的揭榜自动未中榜",
        "happens by itself when the demand is contracted otherwise, expires or is abandoned",
    )
    return [
        Step(s.OFFERED, s.CHOSEN, Action.CLAIM_JUDGE, ("contract_number",), chosen),
        Step(s.OFFERED, s.NOT_CHOSEN, Action.CLAIM_JUDGE, ("opinion",), not_chosen),
        Step(s.OFFERED, s.WITHDRAWN, Action.CLAIM_WRITE),
    ]


LIFE = Life(Bilingual("揭榜", "claim"), STATUS_NAMES, _steps())
