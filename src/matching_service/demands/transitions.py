"""Transitions of a demand: their preconditions and effects, and the required fields of the form."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.problems import count_of_errors
from matching_service.audit.service import record_audit
from matching_service.demands.queries import get_contact
from matching_service.demands.states import LIFE, OPEN, STATUS_NAMES, DemandStatus, EndReason
from matching_service.foundation.clock import new_id, now, today
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput
from matching_service.foundation.regions import regions
from matching_service.store.claims import NOT_CHOSEN, OFFERED, ClaimRow
from matching_service.store.demands import DemandRow, DemandTransitionRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import record_event
from matching_service.store.projects import ProjectRow
from matching_service.store.suggestions import ACCEPTED, CLOSED, UNSETTLED, SuggestionRow, SuggestionTransitionRow

_REQUIRED = {
    "problem": "主要问题",
    "key_technology": "关键技术与指标",
    "keywords": "关键词",
    "cooperation": "解决方式",
    "organization_id": "提出需求的机构",
}
_REQUIRED_CONTACT = {"person": "联系人", "mobile": "手机", "email": "电子邮箱"}


async def transition_demand(
    session: AsyncSession,
    row: DemandRow,
    to: DemandStatus,
    *,
    actor: Principal,
    opinion: str | None = None,
    reason: EndReason | None = None,
    contract_number: str | None = None,
) -> DemandRow:
    """Take one step of a demand's life.

    Raises IllegalTransition with the possible steps. Raises InvalidInput that names everything missing: an opinion, a
    reason, a contract number, fields of the form.
    """
    given = {"opinion": opinion, "reason": reason, "contract_number": contract_number}
    step = LIFE.step(DemandStatus(row.status), to)
    LIFE.check_needs(step, given)
    if reason is EndReason.OTHER and opinion is None:
        raise _refused("needed_for_step", "/opinion", _OTHER_NEEDS_OPINION)
    if contract_number is not None and to is not DemandStatus.CONTRACTED:
        raise _refused("not_for_this_step", "/contract_number", _CONTRACT_NUMBER_NOT_ALLOWED)
    if to is DemandStatus.SUBMITTED and (errors := await form_errors(session, row)):
        raise InvalidInput("form_incomplete", count_of_errors(len(errors)), errors=errors)
    if to is DemandStatus.PUBLISHED and row.expires_on is not None and row.expires_on < today():
        raise _expired_already(row.expires_on)
    await _apply(session, row, [to], opinion=opinion, reason=reason, contract_number=contract_number, actor=actor)
    return row


async def begin_matching(session: AsyncSession, row: DemandRow, *, actor: Principal) -> None:
    """Move a published demand to ``matching``, at its first contact, claim or contract."""
    if row.status == DemandStatus.PUBLISHED:
        await transition_demand(session, row, DemandStatus.MATCHING, actor=actor)


async def adopt_status(session: AsyncSession, row: DemandRow, to: DemandStatus, *, actor: Principal) -> bool:
    """Move to the state given by an imported file, as one entry of the history. Returns False if it is the same.

    The steps before happened elsewhere, so forms and opinions are not required. Raises IllegalTransition for a state
    that cannot be reached from the current one.
    """
    current = DemandStatus(row.status)
    if current is to:
        return False
    path = LIFE.path(current, to)
    if path is None:
        raise LIFE.illegal(current, to)
    await _apply(session, row, path, actor=actor)
    return True


async def take_back_status(
    session: AsyncSession,
    row: DemandRow,
    to: DemandStatus,
    *,
    since: datetime,
    published_at: datetime | None,
    actor: Principal,
) -> None:
    """Take back the entries of the history since a moment, with a project that they opened: a file was mistaken.

    to, published_at : the state and the time of publication before that moment.
    The entries leave the history, so that no report counts them; the audit log keeps them. Nobody may have worked on
    the demand since.
    """
    step = {"from": row.status, "to": to.value, "taken_back": True}
    opened = select(ProjectRow.id).where(ProjectRow.demand_id == row.id, ProjectRow.created_at >= since)
    for project_id in (await session.scalars(opened)).all():
        await session.execute(delete(ProjectRow).where(ProjectRow.id == project_id))
        record_audit(session, actor, "delete", entity="project", entity_id=project_id)
        detail = {"demand_id": row.id}
        record_event(session, "project.deleted", entity="project", entity_id=project_id, detail=detail)
    history = delete(DemandTransitionRow).where(DemandTransitionRow.demand_id == row.id)
    await session.execute(history.where(DemandTransitionRow.at >= since))
    row.status, row.published_at = to.value, published_at
    await session.flush()
    record_audit(session, actor, "transition", entity="demand", entity_id=row.id, detail=step)
    record_event(session, f"demand.{to.value}", entity="demand", entity_id=row.id, detail=step)


async def form_errors(session: AsyncSession, row: DemandRow) -> Sequence[FieldError]:
    """Return an error for each field missing for submission: fields of the demand, its contact and its organization."""
    missing = {f"/{name}": words for name, words in _REQUIRED.items() if not getattr(row, name)}
    contact = await get_contact(session, row.id)
    missing |= {
        f"/contact/{name}": words
        for name, words in _REQUIRED_CONTACT.items()
        if contact is None or getattr(contact, name) is None
    }
    organization: OrganizationRow | None = None
    if row.region is None and row.organization_id is not None:
        organization = await session.get(OrganizationRow, row.organization_id)
        if organization is None or organization.region is None:
            missing["/region"] = "地区"
    code = row.region
    if code is None and row.organization_id is not None and organization is not None:
        code = organization.region
    errors = [
        FieldError(
            "required_for_submission",
            Bilingual(f"提交前须填写{words}。", f"{pointer[1:].replace('/', '.')} is required before submission."),
            pointer,
        )
        for pointer, words in missing.items()
    ]
    if code is not None and code not in regions():
        message = Bilingual(
            f"地区代码 {code} 不在 GB/T 2260 中，请改为区县或城市的代码，如 440605（见 GET /v1/codes/regions）。",
            f"GB/T 2260 has no region {code}; take the code of a district or city, as 440605 (GET /v1/codes/regions).",
        )
        errors.append(FieldError("unknown_region", message, "/region"))
    if row.start_year is not None and row.start_year < today().year:
        message = Bilingual("开始年份不能早于今年。", "The start year must not be before this year.")
        errors.append(FieldError("start_in_the_past", message, "/start_year"))
    return errors


async def _apply(
    session: AsyncSession,
    row: DemandRow,
    path: Sequence[DemandStatus],
    *,
    actor: Principal,
    opinion: str | None = None,
    reason: EndReason | None = None,
    contract_number: str | None = None,
) -> None:
    """Set the last state of the path, write history, audit and event, and apply the effects of all states on it."""
    moment = now()
    step: dict[str, Any] = {"from": row.status, "to": path[-1].value}
    row.status = path[-1].value
    if DemandStatus.PUBLISHED in path:
        row.published_at = moment
    session.add(
        DemandTransitionRow(
            demand_id=row.id,
            from_status=step["from"],
            to_status=step["to"],
            opinion=opinion,
            reason=reason.value if reason is not None else None,
            actor_id=actor.id,
            at=moment,
        )
    )
    await session.flush()
    record_audit(session, actor, "transition", entity="demand", entity_id=row.id, detail=step)
    record_event(session, f"demand.{step['to']}", entity="demand", entity_id=row.id, detail=step)
    if DemandStatus.CONTRACTED in path:
        project = ProjectRow(id=new_id(), demand_id=row.id, contract_number=contract_number)
        session.add(project)
        await session.flush()
        record_audit(session, actor, "open", entity="project", entity_id=project.id)
        detail = {"demand_id": row.id}
        record_event(session, "project.opened", entity="project", entity_id=project.id, detail=detail)
    if step["from"] in OPEN and path[-1] not in OPEN:
        await _end_claims(session, row, actor)
        await _end_suggestions(session, row, actor)


async def _end_claims(session: AsyncSession, row: DemandRow, actor: Principal) -> None:
    """Set the undecided claims to not chosen when the demand is no longer open."""
    offered = select(ClaimRow).where(ClaimRow.demand_id == row.id, ClaimRow.status == OFFERED).order_by(ClaimRow.id)
    claims = (await session.scalars(offered.with_for_update())).all()
    detail = {"demand_id": row.id, "reason": f"demand_{row.status}"}
    for claim in claims:
        claim.status, claim.opinion = NOT_CHOSEN, f"需求{STATUS_NAMES[DemandStatus(row.status)]}"
        record_audit(session, actor, NOT_CHOSEN, entity="claim", entity_id=claim.id, detail=detail)
        record_event(session, f"claim.{NOT_CHOSEN}", entity="claim", entity_id=claim.id, detail=detail)
    await session.flush()


async def _end_suggestions(session: AsyncSession, row: DemandRow, actor: Principal) -> None:
    """Close the suggestions that wait for a next step when the demand is no longer open.

    A contract ends only those without an answer: with an accepted one staff may still write down the agreement.
    """
    ended = UNSETTLED - ACCEPTED if row.status == DemandStatus.CONTRACTED else UNSETTLED
    waiting = select(SuggestionRow).where(SuggestionRow.demand_id == row.id, SuggestionRow.status.in_(ended))
    for suggestion in (await session.scalars(waiting.order_by(SuggestionRow.id).with_for_update())).all():
        before, suggestion.status = suggestion.status, CLOSED
        note = f"需求{STATUS_NAMES[DemandStatus(row.status)]}"
        session.add(
            SuggestionTransitionRow(
                suggestion_id=suggestion.id,
                from_status=before,
                to_status=CLOSED,
                note=note,
                actor_id=actor.id,
                at=now(),
            )
        )
        detail = {"from": before, "to": CLOSED, "demand_id": row.id, "profile_id": suggestion.profile_id}
        record_audit(session, actor, "transition", entity="suggestion", entity_id=suggestion.id, detail=detail)
        record_event(session, f"suggestion.{CLOSED}", entity="suggestion", entity_id=suggestion.id, detail=detail)
    await session.flush()


def _refused(code: str, pointer: str, message: Bilingual) -> InvalidInput:
    return InvalidInput("transition_incomplete", message, errors=[FieldError(code, message, pointer)])


def _expired_already(day: date) -> InvalidInput:
    message = Bilingual(
        f"揭榜截止日期 {day} 已过，请先修改 expires_on。", f"expires_on ({day}) is in the past; change it first."
    )
    return InvalidInput.at("/to", "expires_in_the_past", message)


_OTHER_NEEDS_OPINION = Bilingual(
    "原因为“其他”时须在 opinion 中说明。", "The reason “other” requires an explanation in opinion."
)
_CONTRACT_NUMBER_NOT_ALLOWED = Bilingual(
    "只有签约时才填写合同编号。", "A contract number is allowed only for the step to contracted."
)
