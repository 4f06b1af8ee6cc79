"""The life of a demand as a table of transitions, and the reasons for an end without success."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from matching_service.access.life import Life, Step
from matching_service.access.policies import Action
from matching_service.foundation.errors import Bilingual


class DemandStatus(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    REVIEWED = "reviewed"
    REJECTED = "rejected"
    PUBLISHED = "published"
    EXPIRED = "expired"
    MATCHING = "matching"
    ABANDONED = "abandoned"
    CONTRACTED = "contracted"
    TERMINATED = "terminated"
    IN_PROGRESS = "in_progress"
    FAILED = "failed"
    ACCEPTED = "accepted"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class EndReason(StrEnum):
    """Why a demand was withdrawn or abandoned, its contract terminated, or its project failed."""

    NO_SUPPLIER = "no_supplier"
    NO_CONTACT = "no_contact"
    SOLVED_OTHERWISE = "solved_otherwise"
    ENTERPRISE_WITHDREW = "enterprise_withdrew"
    SUPPLIER_WITHDREW = "supplier_withdrew"
    FUNDING = "funding"
    TARGETS_NOT_MET = "targets_not_met"
    DELAY = "delay"
    OTHER = "other"


STATUS_NAMES: Mapping[DemandStatus, str] = MappingProxyType(
    {
        DemandStatus.DRAFT: "草稿",
        DemandStatus.SUBMITTED: "已提交",
        DemandStatus.RETURNED: "已退回",
        DemandStatus.REVIEWED: "已审核",
        DemandStatus.REJECTED: "未通过",
        DemandStatus.PUBLISHED: "已发布",
        DemandStatus.EXPIRED: "已过期",
        DemandStatus.MATCHING: "对接中",
        DemandStatus.ABANDONED: "已放弃",
        DemandStatus.CONTRACTED: "已签约",
        DemandStatus.TERMINATED: "已解约",
        DemandStatus.IN_PROGRESS: "攻关中",
        DemandStatus.FAILED: "未成功",
        DemandStatus.ACCEPTED: "已验收",
        DemandStatus.CLOSED: "已关闭",
        DemandStatus.WITHDRAWN: "已撤回",
    }
)

REASON_NAMES: Mapping[EndReason, str] = MappingProxyType(
    {
        EndReason.NO_SUPPLIER: "无合适供给方",
        EndReason.NO_CONTACT: "长期无对接",
        EndReason.SOLVED_OTHERWISE: "已另行解决",
        EndReason.ENTERPRISE_WITHDREW: "企业撤回",
        EndReason.SUPPLIER_WITHDREW: "供给方退出",
        EndReason.FUNDING: "资金原因",
        EndReason.TARGETS_NOT_MET: "未达指标",
        EndReason.DELAY: "延期",
        EndReason.OTHER: "其他",
    }
)

_FORM = Bilingual("必填项齐全", "all required fields of the form")
_DATE = Bilingual("揭榜截止日期未过（如有）", "`expires_on`, if set, is not in the past")
_PROJECT = Bilingual("同时建立项目", "opens a project")


def _steps() -> list[Step[DemandStatus]]:
    s, a = DemandStatus, Action
    return [
        Step(s.DRAFT, s.SUBMITTED, a.DEMAND_SUBMIT, note=_FORM),
        Step(s.DRAFT, s.WITHDRAWN, a.DEMAND_WITHDRAW),
        Step(s.SUBMITTED, s.REVIEWED, a.DEMAND_TRANSITION),
        Step(s.SUBMITTED, s.RETURNED, a.DEMAND_TRANSITION, ("opinion",)),
        Step(s.SUBMITTED, s.WITHDRAWN, a.DEMAND_WITHDRAW),
        Step(s.RETURNED, s.SUBMITTED, a.DEMAND_SUBMIT, note=_FORM),
        Step(s.RETURNED, s.WITHDRAWN, a.DEMAND_WITHDRAW),
        Step(s.REVIEWED, s.PUBLISHED, a.DEMAND_TRANSITION, note=_DATE),
        Step(s.REVIEWED, s.REJECTED, a.DEMAND_TRANSITION, ("opinion",)),
        Step(s.PUBLISHED, s.MATCHING, a.DEMAND_TRANSITION),
        Step(s.PUBLISHED, s.EXPIRED, a.DEMAND_EXPIRE),
        Step(s.PUBLISHED, s.WITHDRAWN, a.DEMAND_WITHDRAW, ("reason",)),
        Step(s.MATCHING, s.CONTRACTED, a.DEMAND_TRANSITION, ("contract_number",), _PROJECT),
        Step(s.MATCHING, s.ABANDONED, a.DEMAND_EXPIRE, ("reason",)),
        Step(s.CONTRACTED, s.IN_PROGRESS, a.DEMAND_TRANSITION),
        Step(s.CONTRACTED, s.TERMINATED, a.DEMAND_TRANSITION, ("reason",)),
        Step(s.IN_PROGRESS, s.ACCEPTED, a.DEMAND_TRANSITION, ("opinion",)),
        Step(s.IN_PROGRESS, s.FAILED, a.DEMAND_TRANSITION, ("reason",)),
        Step(s.ACCEPTED, s.CLOSED, a.DEMAND_TRANSITION),
    ]


LIFE = Life(Bilingual("需求", "demand"), STATUS_NAMES, _steps())

OPEN = frozenset({DemandStatus.PUBLISHED, DemandStatus.MATCHING})
"""From publication until a contract. Open demands are re-ranked every night."""

EDITABLE = frozenset({DemandStatus.DRAFT, DemandStatus.RETURNED})
"""States in which the enterprise may change the text of its demand."""
