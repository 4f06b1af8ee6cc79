"""The table of rules that forbid proposing a profile for a demand. Every view reads it.

A rule has three equivalent forms: ``applies`` for a profile in memory, ``condition`` for a query, and ``narrow`` for a
filter of the index. tests/eligibility/test_rules.py compares the three.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, and_, false, or_, select
from sqlalchemy.orm import aliased

from matching_service.eligibility.cases import SAME_ORGANIZATIONS, Case
from matching_service.eligibility.schemas import Code
from matching_service.foundation.errors import Bilingual
from matching_service.index.filters import NO_FILTERS, Filters
from matching_service.store.demands import DemandRow
from matching_service.store.organizations import ExclusionRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import REFUSED, SuggestionRow

ExclusionOfProfile = aliased(ExclusionRow)
ExclusionOfOrganization = aliased(ExclusionRow)


class Candidate(Protocol):
    """The columns of a profile that the rules read."""

    id: str
    organization_id: str | None
    visibility: str
    available_from: date | None
    available_until: date | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason not to propose a profile.

    condition : SQL condition on a query made by ``joined``. NULL counts as False, as in every WHERE.
    narrow : adds this rule to the filters; None if such profiles never enter the index.
    changed_by : entities whose events can make the rule begin or cease to apply.
    is_decision : the rule comes from a decision about this very pair. A list stored before the decision still shows
        the profile, with the decision, but no new list contains it.
    bars_claims : the rule also forbids a claim. Rules that only limit proposals by the office do not: a claimant
        volunteers.
    """

    code: Code
    words: Bilingual
    applies: Callable[[Any, Case], bool]
    condition: Callable[[DemandRow, date], ColumnElement[bool]]
    narrow: Callable[[Filters, Case], Filters] | None
    changed_by: frozenset[str]
    is_decision: bool = False
    bars_claims: bool = True


def _is_of_own_organization(profile: Candidate, case: Case) -> bool:
    return profile.organization_id in case.own_organizations


def _is_away(profile: Candidate, case: Case) -> bool:
    start, end = profile.available_from, profile.available_until
    return (start is not None and start > case.on) or (end is not None and end < case.on)


def _without_profiles(filters: Filters, ids: frozenset[str]) -> Filters:
    return replace(filters, exclude=filters.exclude | ids)


def _without_organizations(filters: Filters, ids: Iterable[str]) -> Filters:
    return replace(filters, excluded_organizations=filters.excluded_organizations | frozenset(ids))


def _is_of_the_same_organization(demand: DemandRow) -> ColumnElement[bool]:
    """Also for a record of the same firm that another source has sent."""
    if demand.organization_id is None:
        return false()
    same = SAME_ORGANIZATIONS.subquery()
    others = select(same.c[1]).where(same.c[0] == demand.organization_id)
    return or_(ProfileRow.organization_id == demand.organization_id, ProfileRow.organization_id.in_(others))


RULES: tuple[Rule, ...] = (
    Rule(
        "own_organization",
        Bilingual("属于提出需求的机构。", "Belongs to the demanding organization."),
        applies=_is_of_own_organization,
        condition=lambda demand, _on: _is_of_the_same_organization(demand),
        narrow=lambda filters, case: _without_organizations(filters, case.own_organizations),
        changed_by=frozenset({"organization", "demand", "profile"}),
    ),
    Rule(
        "excluded_by_organization",
        Bilingual("在需求机构的排除名单上。", "Is on the exclusion list of the demanding organization."),
        applies=lambda profile, case: profile.id in case.exclusions.profile_ids,
        condition=lambda _demand, _on: ExclusionOfProfile.id.is_not(None),
        narrow=lambda filters, case: _without_profiles(filters, case.exclusions.profile_ids),
        changed_by=frozenset({"organization", "demand"}),
    ),
    Rule(
        "excluded_organization",
        Bilingual(
            "所属机构在需求机构的排除名单上。",
            "Belongs to an organization on the exclusion list of the demanding organization.",
        ),
        applies=lambda profile, case: profile.organization_id in case.exclusions.organization_ids,
        condition=lambda _demand, _on: ExclusionOfOrganization.id.is_not(None),
        narrow=lambda filters, case: _without_organizations(filters, case.exclusions.organization_ids),
        changed_by=frozenset({"organization", "demand", "profile"}),
    ),
    Rule(
        "unavailable",
        Bilingual("今天不能承接。", "Is not available today."),
        applies=_is_away,
        condition=lambda _demand, on: or_(ProfileRow.available_from > on, ProfileRow.available_until < on),
        narrow=lambda filters, case: replace(filters, available_on=case.on),
        changed_by=frozenset({"profile"}),  # and by the day
        bars_claims=False,
    ),
    Rule(
        "hidden",
        Bilingual("画像已隐藏。", "The profile is hidden."),
        applies=lambda profile, _case: profile.visibility == "hidden",
        condition=lambda _demand, _on: ProfileRow.visibility == "hidden",
        narrow=None,
        changed_by=frozenset({"profile"}),
    ),
    Rule(
        "withdrawn",
        Bilingual("本人已撤回同意。", "The person has withdrawn consent."),
        applies=lambda profile, _case: profile.visibility == "withdrawn",
        condition=lambda _demand, _on: ProfileRow.visibility == "withdrawn",
        narrow=None,
        changed_by=frozenset({"profile"}),
    ),
    Rule(
        "rejected",
        Bilingual("工作人员已为本需求否决。", "Staff have rejected it for this demand."),
        applies=lambda profile, case: case.decision(profile.id) == "rejected",
        condition=lambda _demand, _on: DecisionRow.id.is_not(None),
        narrow=lambda filters, case: _without_profiles(filters, case.decided("rejected")),
        changed_by=frozenset({"match"}),
        bars_claims=False,
        is_decision=True,
    ),
    Rule(
        "refused",
        Bilingual(
            "曾为本需求推荐而未成（婉拒、无回应或不合适）。",
            "An earlier suggestion for this demand failed (declined, no answer or not suitable).",
        ),
        applies=lambda profile, case: case.is_refused(profile.id),
        condition=lambda _demand, _on: SuggestionRow.id.is_not(None),
        narrow=lambda filters, case: _without_profiles(filters, case.refused()),
        changed_by=frozenset({"suggestion"}),
        bars_claims=False,
        is_decision=True,
    ),
)
LASTING = tuple(rule for rule in RULES if not rule.is_decision)
"""The rules that also hide a profile on lists that are already stored."""


def codes_against(profile: Candidate, case: Case) -> list[Code]:
    """Return the code of every rule that forbids the profile, in the order of the table."""
    return [rule.code for rule in RULES if rule.applies(profile, case)]


def may_be_shown(profile: Candidate, case: Case) -> bool:
    """Whether a stored list may still show the profile."""
    return not any(rule.applies(profile, case) for rule in LASTING)


def filters_for(case: Case, *, rules: Sequence[Rule] = RULES) -> Filters:
    """Return index filters that leave out every profile that one of the rules forbids."""
    return reduce(lambda filters, rule: rule.narrow(filters, case) if rule.narrow else filters, rules, NO_FILTERS)


def joined(statement: Select[*tuple[Any, ...]], demand: DemandRow) -> Select[*tuple[Any, ...]]:
    """Join a query over profiles with the tables that the conditions read.

    Unique constraints ensure that each join adds at most one row per profile. A demand without an organization joins
    no exclusions.
    """
    own = demand.organization_id
    return (
        statement.outerjoin(
            ExclusionOfProfile,
            and_(ExclusionOfProfile.organization_id == own, ExclusionOfProfile.profile_id == ProfileRow.id),
        )
        .outerjoin(
            ExclusionOfOrganization,
            and_(
                ExclusionOfOrganization.organization_id == own,
                ExclusionOfOrganization.excluded_organization_id == ProfileRow.organization_id,
            ),
        )
        .outerjoin(
            DecisionRow,
            and_(
                DecisionRow.demand_id == demand.id,
                DecisionRow.profile_id == ProfileRow.id,
                DecisionRow.decision == "rejected",
            ),
        )
        .outerjoin(
            SuggestionRow,
            and_(
                SuggestionRow.demand_id == demand.id,
                SuggestionRow.profile_id == ProfileRow.id,
                SuggestionRow.status.in_(REFUSED),
            ),
        )
    )
