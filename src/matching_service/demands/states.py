"""The life of a demand as one table. This step knows draft, published and closed."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from matching_service.foundation.errors import IllegalTransition, Text


class DemandStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    CLOSED = "closed"


TRANSITIONS: Mapping[DemandStatus, frozenset[DemandStatus]] = MappingProxyType(
    {
        DemandStatus.DRAFT: frozenset({DemandStatus.PUBLISHED}),
        DemandStatus.PUBLISHED: frozenset({DemandStatus.CLOSED}),
        DemandStatus.CLOSED: frozenset(),
    }
)

OPEN = frozenset({DemandStatus.PUBLISHED})
"""States in which a demand is ranked every night."""


def check_transition(current: DemandStatus, to: DemandStatus) -> None:
    """Return quietly, or raise IllegalTransition listing what is possible."""
    if to in TRANSITIONS[current]:
        return
    legal = ", ".join(sorted(TRANSITIONS[current]))
    raise IllegalTransition(
        "illegal_transition",
        Text(
            f"需求现为 {current}，不能变为 {to}；可变为：{legal or '无（已是终态）'}。",
            f"The demand is {current} and cannot become {to}; possible: {legal or 'nothing, it has ended'}.",
        ),
    )


def path_between(current: DemandStatus, to: DemandStatus) -> list[DemandStatus] | None:
    """The shortest way from one state to another, without the first; None when there is none."""
    paths: list[list[DemandStatus]] = [[current]]
    seen = {current}
    while paths:
        path = paths.pop(0)
        if path[-1] is to:
            return path[1:]
        for following in sorted(TRANSITIONS[path[-1]] - seen):
            seen.add(following)
            paths.append([*path, following])
    return None
