"""Who may never be proposed for a demand, and why. It can be asked alone, before anyone is approached."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Literal
from uuid import NAMESPACE_OID, uuid5

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from matching_service.api.fields import Body
from matching_service.demands.queries import get_demand
from matching_service.foundation.clock import is_id
from matching_service.foundation.errors import Text
from matching_service.foundation.paging import Page, PageRequest, page_of
from matching_service.matching.schemas import Ids, MatchedProfile, ReasonAnswer
from matching_service.store.demands import DemandRow
from matching_service.store.matching import DecisionRow
from matching_service.store.organizations import ExclusionRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.suggestions import REFUSED, SuggestionRow

Code = Literal[
    "own_organization",
    "excluded_by_organization",
    "excluded_organization",
    "unavailable",
    "hidden",
    "withdrawn",
    "rejected",
    "refused",
    "not_found",
]

CONFLICT_WORDS: Mapping[Code, Text] = MappingProxyType(
    {
        "own_organization": Text("属于提出需求的机构。", "Belongs to the demanding organization."),
        "excluded_by_organization": Text(
            "在需求机构的排除名单上。", "Is on the exclusion list of the demanding organization."
        ),
        "excluded_organization": Text(
            "所属机构在需求机构的排除名单上。",
            "Belongs to an organization on the exclusion list of the demanding organization.",
        ),
        "unavailable": Text("今天不能承接。", "Is not available today."),
        "hidden": Text("画像已隐藏。", "The profile is hidden."),
        "withdrawn": Text("本人已撤回同意。", "The person has withdrawn consent."),
        "rejected": Text("工作人员已为本需求否决。", "Staff have rejected it for this demand."),
        "refused": Text(
            "曾为本需求推荐而未成（婉拒、无回应或不合适）。",
            "Was suggested for this demand before, and it came to nothing.",
        ),
        "not_found": Text("没有该编号的画像。", "There is no profile with this id."),
    }
)
_CANDIDATES_PER_QUERY = 500
_ListedProfile = aliased(ExclusionRow)
_ListedOrganization = aliased(ExclusionRow)
_EXCLUSIONS = select(
    ExclusionRow.organization_id, ExclusionRow.profile_id, ExclusionRow.excluded_organization_id
).where(ExclusionRow.organization_id.in_(bindparam("organization_ids", expanding=True)))


class ConflictBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"candidates": ["01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"]}]}
    )

    candidates: Ids | None = Field(default=None, description="Check just these profiles; null: all that are stored.")


class ConflictReason(BaseModel):
    code: Code
    detail: ReasonAnswer


class ConflictItem(BaseModel):
    profile: MatchedProfile | None = Field(description="null: there is no such profile.")
    profile_id: str
    reasons: list[ConflictReason] = Field(description="All that apply, at least one.")


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Whom one organization never wants proposed: profiles, and organizations with all their profiles."""

    profile_ids: frozenset[str] = frozenset()
    organization_ids: frozenset[str] = frozenset()


async def exclusions_of(
    session: AsyncSession, demand_organization_ids: Iterable[str | None]
) -> Mapping[str | None, Exclusions]:
    """Per organization its exclusion list, an empty one where it has none, as for a demand without one. One query."""
    profile_ids: dict[str | None, set[str]] = {organization_id: set() for organization_id in demand_organization_ids}
    organization_ids: dict[str | None, set[str]] = {organization_id: set() for organization_id in profile_ids}
    known = sorted(id_ for id_ in profile_ids if id_)
    rows = await session.execute(_EXCLUSIONS, {"organization_ids": known}) if known else ()
    for organization_id, profile_id, excluded_id in rows:
        if profile_id is not None:
            profile_ids[organization_id].add(profile_id)
        elif excluded_id is not None:
            organization_ids[organization_id].add(excluded_id)
    return {
        organization_id: Exclusions(frozenset(profile_ids[organization_id]), frozenset(excluded))
        for organization_id, excluded in organization_ids.items()
    }


def may_be_proposed(profile: ProfileRow, own: str | None, excluded: Exclusions, *, on: date) -> bool:
    """Whether nothing but a decision about the demand itself speaks against the profile on that day.

    own : the demanding organization, and ``excluded`` its exclusion list.
    """
    return not (
        reasons_of_profile(profile, on)
        or profile.id in excluded.profile_ids
        or (profile.organization_id is not None and profile.organization_id in {own, *excluded.organization_ids})
    )


async def find_conflicts(
    session: AsyncSession, demand_id: str, candidates: Sequence[str] | None, page: PageRequest, *, on: date
) -> Page[ConflictItem]:
    """The profiles, of all or of the candidates, that may not be proposed on that day, with every reason, by id.

    Raises NotFound for the demand; a candidate that does not exist is an item of its own.
    """
    demand = await get_demand(session, demand_id)
    if candidates is None:
        return await _among_all(session, demand, page, on)
    return await _among_candidates(session, demand, candidates, page, on)


async def _among_all(session: AsyncSession, demand: DemandRow, page: PageRequest, on: date) -> Page[ConflictItem]:
    statement = _facts(demand, on).where(or_(*_conditions(demand, on).values()))
    if page.after is not None:
        statement = statement.where(ProfileRow.id > page.after)
    rows = (await session.execute(statement.order_by(ProfileRow.id).limit(page.limit + 1))).all()
    return page_of([_item(row, on) for row in rows], page.limit, lambda item: item.profile_id)


async def _among_candidates(
    session: AsyncSession, demand: DemandRow, candidates: Sequence[str], page: PageRequest, on: date
) -> Page[ConflictItem]:
    places = sorted((_place(candidate), candidate) for candidate in set(candidates))
    waiting = [(place, candidate) for place, candidate in places if page.after is None or place > page.after]
    statement = _facts(demand, on)
    found: list[tuple[str, ConflictItem]] = []
    for start in range(0, len(waiting), _CANDIDATES_PER_QUERY):
        chunk = waiting[start : start + _CANDIDATES_PER_QUERY]
        ids = [candidate for _, candidate in chunk]
        rows = {row.id: row for row in await session.execute(statement.where(ProfileRow.id.in_(ids)))}
        items = [(place, _item(rows[id_], on) if id_ in rows else _not_found(id_)) for place, id_ in chunk]
        found += [(place, item) for place, item in items if item.reasons]
        if len(found) > page.limit:
            break
    shown = page_of(found, page.limit, itemgetter(0))
    return Page([item for _, item in shown.items], shown.next_cursor)


async def reasons_against(
    session: AsyncSession, demand: DemandRow | None, profile: ProfileRow, *, on: date
) -> list[ConflictReason]:
    """Why this profile may not be proposed on that day; without a demand, for any question at all."""
    if demand is not None:
        row = (await session.execute(_facts(demand, on).where(ProfileRow.id == profile.id))).one()
        return _item(row, on).reasons
    return [_reason(code, profile, on) for code in reasons_of_profile(profile, on)]


def reasons_of_profile(profile: ProfileRow, on: date) -> list[Code]:
    """What speaks against a profile whoever asks."""
    start, end = profile.available_from, profile.available_until
    is_away = (start is not None and start > on) or (end is not None and end < on)
    codes: list[Code] = ["unavailable"] if is_away else []
    return codes + [code for code in ("hidden", "withdrawn") if profile.visibility == code]


def _place(candidate: str) -> str:
    """Where a candidate stands in the list, as an id that a cursor can hold: its own, or one made of other text."""
    return candidate if is_id(candidate) else str(uuid5(NAMESPACE_OID, candidate))


def _conditions(demand: DemandRow, on: date) -> dict[Code, ColumnElement[bool]]:
    """What speaks against a profile, over the joins of ``_facts``; NULL, where something is not known, does not."""
    own = demand.organization_id
    return {
        "own_organization": ProfileRow.organization_id == own if own is not None else false(),
        "excluded_by_organization": _ListedProfile.id.is_not(None),
        "excluded_organization": _ListedOrganization.id.is_not(None),
        "unavailable": or_(ProfileRow.available_from > on, ProfileRow.available_until < on),
        "hidden": ProfileRow.visibility == "hidden",
        "withdrawn": ProfileRow.visibility == "withdrawn",
        "rejected": DecisionRow.id.is_not(None),
        "refused": SuggestionRow.id.is_not(None),
    }


def _facts(demand: DemandRow, on: date) -> Select[*tuple[Any, ...]]:
    """One row per profile: what an answer shows, each condition under its code, and the reasons that people wrote.

    Unique constraints let each join find one row at most. A demand without an organization finds no exclusions.
    """
    return (
        select(
            ProfileRow.id,
            ProfileRow.external_id,
            ProfileRow.kind,
            ProfileRow.name,
            ProfileRow.region,
            ProfileRow.available_from,
            ProfileRow.available_until,
            *(condition.label(code) for code, condition in _conditions(demand, on).items()),
            _ListedProfile.reason.label("excluded_by_organization_reason"),
            _ListedOrganization.reason.label("excluded_organization_reason"),
            DecisionRow.reason.label("rejected_reason"),
            func.coalesce(SuggestionRow.note, SuggestionRow.reason).label("refused_reason"),
        )
        .outerjoin(
            _ListedProfile,
            and_(_ListedProfile.organization_id == demand.organization_id, _ListedProfile.profile_id == ProfileRow.id),
        )
        .outerjoin(
            _ListedOrganization,
            and_(
                _ListedOrganization.organization_id == demand.organization_id,
                _ListedOrganization.excluded_organization_id == ProfileRow.organization_id,
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


def _item(row: Row[*tuple[Any, ...]], on: date) -> ConflictItem:
    return ConflictItem(
        profile=MatchedProfile.model_validate(row),
        profile_id=row.id,
        reasons=[_reason(code, row, on) for code in CONFLICT_WORDS if getattr(row, code, False)],
    )


def _not_found(profile_id: str) -> ConflictItem:
    detail = ReasonAnswer(**CONFLICT_WORDS["not_found"]._asdict())
    return ConflictItem(profile=None, profile_id=profile_id, reasons=[ConflictReason(code="not_found", detail=detail)])


def _reason(code: Code, row: Row[*tuple[Any, ...]] | ProfileRow, on: date) -> ConflictReason:
    """The code in words, with what a person wrote about it or the dates that it rests on."""
    zh, en = CONFLICT_WORDS[code]
    if code == "unavailable":
        dates = _dates(row.available_from, row.available_until)
        zh, en = f"{zh}可承接时间：{dates.zh}；今天是 {on}。", f"{en} Available {dates.en}; today is {on}."
    elif written := getattr(row, f"{code}_reason", None):
        zh, en = f"{zh}理由：{written}", f"{en} Reason: {written}"
    return ConflictReason(code=code, detail=ReasonAnswer(zh=zh, en=en))


def _dates(start: date | None, end: date | None) -> Text:
    if start is None:
        return Text(f"{end} 止", f"until {end}")
    if end is None:
        return Text(f"{start} 起", f"from {start}")
    return Text(f"{start} 至 {end}", f"from {start} until {end}")
