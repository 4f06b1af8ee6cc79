"""The conflict check: profiles that must not be proposed for a demand, each with all reasons."""

from collections.abc import Sequence
from datetime import date
from operator import itemgetter
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Row, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.queries import get_demand
from matching_service.eligibility.cases import Case
from matching_service.eligibility.rules import RULES, ExclusionOfOrganization, ExclusionOfProfile, Rule, joined
from matching_service.eligibility.schemas import ConflictItem, ConflictReason, MatchedProfile, ReasonAnswer
from matching_service.foundation.clock import is_id
from matching_service.foundation.errors import Bilingual, Conflict, FieldError
from matching_service.foundation.paging import Page, PageRequest, page_of
from matching_service.store.demands import DemandRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import SuggestionRow

_NOT_FOUND = Bilingual("没有该编号的画像。", "There is no profile with this id.")
_CANDIDATES_PER_QUERY = 500


async def find_conflicts(
    session: AsyncSession, demand_id: str, candidates: Sequence[str] | None, page: PageRequest, *, on: date
) -> Page[ConflictItem]:
    """Return the profiles that must not be proposed on that day, ordered by id, each with all reasons.

    candidates : ids to check; None: all stored profiles. An id without a profile gives an item with ``not_found``.
    Raises NotFound for the demand.
    """
    demand = await get_demand(session, demand_id)
    if candidates is None:
        return await _among_all(session, demand, page, on)
    return await _among_candidates(session, demand, candidates, page, on)


async def _among_all(session: AsyncSession, demand: DemandRow, page: PageRequest, on: date) -> Page[ConflictItem]:
    statement = _facts(demand, on).where(or_(*(rule.condition(demand, on) for rule in RULES)))
    if page.after is not None:
        statement = statement.where(ProfileRow.id > page.after)
    rows = (await session.execute(statement.order_by(ProfileRow.id).limit(page.limit + 1))).all()
    return page_of([_item(row, on) for row in rows], page.limit, lambda item: item.profile_id)


async def _among_candidates(
    session: AsyncSession, demand: DemandRow, candidates: Sequence[str], page: PageRequest, on: date
) -> Page[ConflictItem]:
    ordered = sorted((_cursor_id(candidate), candidate) for candidate in set(candidates))
    remaining = [(cursor, candidate) for cursor, candidate in ordered if page.after is None or cursor > page.after]
    statement = _facts(demand, on)
    conflicts: list[tuple[str, ConflictItem]] = []
    for start in range(0, len(remaining), _CANDIDATES_PER_QUERY):
        chunk = remaining[start : start + _CANDIDATES_PER_QUERY]
        ids = [candidate for _, candidate in chunk]
        rows = {row.id: row for row in await session.execute(statement.where(ProfileRow.id.in_(ids)))}
        items = [(cursor, _item(rows[id_], on) if id_ in rows else _not_found(id_)) for cursor, id_ in chunk]
        conflicts += [(cursor, item) for cursor, item in items if item.reasons]
        if len(conflicts) > page.limit:
            break
    shown = page_of(conflicts, page.limit, itemgetter(0))
    return Page([item for _, item in shown.items], shown.next_cursor)


async def reasons_against(
    session: AsyncSession, demand: DemandRow | None, profile: ProfileRow, *, on: date
) -> list[ConflictReason]:
    """Return all reasons why a profile must not be proposed on that day. Without a demand only general rules apply."""
    if demand is not None:
        row = (await session.execute(_facts(demand, on).where(ProfileRow.id == profile.id))).one()
        return _item(row, on).reasons
    case = Case(on)
    return [_reason(rule, profile, on) for rule in RULES if rule.applies(profile, case)]


def refuse_barred(against: Sequence[ConflictReason], *, code: str = "may_not_be_proposed") -> None:
    """Raise Conflict with all reasons, if there are any."""
    if against:
        words = [Bilingual(reason.detail.zh, reason.detail.en) for reason in against]
        message = Bilingual("".join(word.zh for word in words), " ".join(word.en for word in words))
        errors = [FieldError(reason.code, word, "/profile_id") for reason, word in zip(against, words, strict=True)]
        raise Conflict(code, message, errors=errors)


def _cursor_id(candidate: str) -> str:
    """Return the candidate as an id that a cursor can contain. Any other text is hashed to one."""
    return candidate if is_id(candidate) else str(uuid5(NAMESPACE_OID, candidate))


def _facts(demand: DemandRow, on: date) -> Select[*tuple[Any, ...]]:
    """Select one row per profile.

    It has the columns that an answer shows, the condition of each rule labelled with its code, and written reasons.
    """
    statement = select(
        ProfileRow.id,
        ProfileRow.external_id,
        ProfileRow.kind,
        ProfileRow.name,
        ProfileRow.region,
        ProfileRow.country,
        ProfileRow.language,
        ProfileRow.organization_id,
        OrganizationRow.name.label("organization_name"),
        ProfileRow.available_from,
        ProfileRow.available_until,
        *(rule.condition(demand, on).label(rule.code) for rule in RULES),
        ExclusionOfProfile.reason.label("excluded_by_organization_reason"),
        ExclusionOfOrganization.reason.label("excluded_organization_reason"),
        DecisionRow.reason.label("rejected_reason"),
        func.coalesce(SuggestionRow.note, SuggestionRow.reason).label("refused_reason"),
    )
    named = joined(statement, demand)
    return named.outerjoin(OrganizationRow, OrganizationRow.id == ProfileRow.organization_id)


def _item(row: Row[*tuple[Any, ...]], on: date) -> ConflictItem:
    return ConflictItem(
        profile=MatchedProfile.of(row, row.organization_name),
        profile_id=row.id,
        reasons=[_reason(rule, row, on) for rule in RULES if getattr(row, rule.code)],
    )


def _not_found(profile_id: str) -> ConflictItem:
    detail = ReasonAnswer(**_NOT_FOUND._asdict())
    return ConflictItem(profile=None, profile_id=profile_id, reasons=[ConflictReason(code="not_found", detail=detail)])


def _reason(rule: Rule, row: Row[*tuple[Any, ...]] | ProfileRow, on: date) -> ConflictReason:
    """Word a reason, with the written reason or the dates of availability."""
    zh, en = rule.words
    if rule.code == "unavailable":
        dates = _dates(row.available_from, row.available_until)
        zh, en = f"{zh}可承接时间：{dates.zh}；今天是 {on}。", f"{en} Available {dates.en}; today is {on}."
    elif written := getattr(row, f"{rule.code}_reason", None):
        zh, en = f"{zh}理由：{written}", f"{en} Reason: {written}"
    return ConflictReason(code=rule.code, detail=ReasonAnswer(zh=zh, en=en))


def _dates(start: date | None, end: date | None) -> Bilingual:
    if start is None:
        return Bilingual(f"{end} 止", f"until {end}")
    if end is None:
        return Bilingual(f"{start} 起", f"from {start}")
    return Bilingual(f"{start} 至 {end}", f"from {start} until {end}")
