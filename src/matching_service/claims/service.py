"""The rules of claims: eligibility of claimants, score sheets, decisions and their effects on the demand."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.claims.queries import judgements, list_scores
from matching_service.claims.schemas import ClaimCreate, ClaimStep, ScoreBody
from matching_service.claims.states import LIFE, ClaimStatus
from matching_service.demands.queries import get_claimable_demand, get_demand
from matching_service.demands.states import LIFE as DEMAND_LIFE
from matching_service.demands.states import OPEN, DemandStatus
from matching_service.demands.transitions import begin_matching, transition_demand
from matching_service.eligibility.cases import cases_of
from matching_service.eligibility.rules import RULES, Candidate
from matching_service.foundation.clock import new_id, now, today
from matching_service.foundation.errors import Bilingual, Conflict, FieldError, InvalidInput
from matching_service.profiles.queries import get_profile
from matching_service.projects.schemas import Partner
from matching_service.projects.service import record_terms
from matching_service.store.affiliation import present_organization
from matching_service.store.claims import ClaimRow, ClaimScoreRow
from matching_service.store.demands import DemandRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow


@dataclass(slots=True)
class _ClaimingOrganization:
    """An organization that claims, as the eligibility rules read it: a candidate of this organization."""

    organization_id: str | None
    id: str = ""
    visibility: str = "public"
    available_from: date | None = None
    available_until: date | None = None


async def create_claim(session: AsyncSession, body: ClaimCreate, actor: Principal) -> ClaimRow:
    """Create a claim on an open demand. The first claim moves a published demand to ``matching`` so it cannot expire.

    Raises NotFound for the demand or profile and InvalidInput for the organization. Raises Conflict if the demand is
    not open or its last day has passed, the claimant already has an undecided claim on it, or an eligibility rule
    bars the claimant.
    """
    # Locked: two claims at once come one after the other.
    demand = await get_claimable_demand(session, body.demand_id, scope=actor.scope)
    _check_claimable(demand)
    values = body.model_dump()
    if body.profile_id is not None:
        profile = await get_profile(session, body.profile_id, scope=actor.scope)
        await _refuse_barred(session, demand, profile, "/profile_id")
    if body.organization_id is not None:
        values["organization_id"] = await present_organization(session, body.organization_id, actor.scope)
        claimant = _ClaimingOrganization(values["organization_id"])
        await _refuse_barred(session, demand, claimant, "/organization_id")
    await _check_first(session, demand, body.profile_id, values["organization_id"])
    await begin_matching(session, demand, actor=actor)
    row = ClaimRow(id=new_id(), **values, status=ClaimStatus.OFFERED)
    session.add(row)
    await _written(session, row, actor)
    return row


async def transition_claim(session: AsyncSession, row: ClaimRow, body: ClaimStep, actor: Principal) -> ClaimRow:
    """Choose, decline or withdraw a claim.

    Choosing requires a score sheet and a contract number. It moves the demand to ``contracted``, opens the project and
    moves the other undecided claims to ``not_chosen``. Raises IllegalTransition, InvalidInput, Conflict.
    """
    step = LIFE.step(ClaimStatus(row.status), body.to)
    LIFE.check_needs(step, {"opinion": body.opinion, "contract_number": body.contract_number})
    if body.contract_number is not None and body.to is not ClaimStatus.CHOSEN:
        error = FieldError("not_for_this_step", _NO_CONTRACT, "/contract_number")
        raise InvalidInput("transition_incomplete", _NO_CONTRACT, errors=[error])
    if body.to is ClaimStatus.CHOSEN:
        await _check_choosable(session, row)
    row.status, row.opinion = body.to, body.opinion
    await _written(session, row, actor)
    if body.to is ClaimStatus.CHOSEN:
        await _contract(session, row, body.contract_number, actor)
    return row


async def judge_claim(session: AsyncSession, row: ClaimRow, body: ScoreBody, actor: Principal) -> ClaimScoreRow:
    """Store a judge's score sheet, replacing the sheet that the same actor entered for the same judge.

    A sheet from another actor stays, even for the same judge. Raises Conflict if the claim is already decided.
    """
    if row.status != ClaimStatus.OFFERED:
        state = LIFE.named(ClaimStatus(row.status))
        message = Bilingual(f"揭榜已是 {state}，不能再评分。", f"The claim is {row.status} and judged no more.")
        raise Conflict("claim_decided", message)
    judge = body.judge or actor.name
    sheets = await list_scores(session, row.id)
    sheet = next((stored for stored in sheets if (stored.actor_id, stored.judge) == (actor.id, judge)), None)
    if sheet is None:
        sheet = ClaimScoreRow(claim_id=row.id, actor_id=actor.id, judge=judge)
        session.add(sheet)
    sheet.points = {criterion.value: points for criterion, points in body.points.items()}
    sheet.total = sum(body.points.values())
    sheet.comment, sheet.at = body.comment, now()
    row.updated_at = now()  # a new version, so that If-Match rejects a choice made without this sheet
    await session.flush()
    record_audit(session, actor, "judge", entity="claim", entity_id=row.id)
    record_event(session, "claim.judged", entity="claim", entity_id=row.id, detail={"demand_id": row.demand_id})
    return sheet


async def _check_choosable(session: AsyncSession, row: ClaimRow) -> None:
    """Raise Conflict unless the demand is open, the claim has a score sheet and the claimant is still eligible.

    Locks the demand until the transaction ends: when two choices race, the loser finds it contracted.
    """
    demand = await get_demand(session, row.demand_id, for_update=True)
    if DemandStatus(demand.status) not in OPEN:
        raise _not_open(demand)
    if (await judgements(session, [row.id]))[row.id].n_sheets == 0:
        message = Bilingual("该揭榜还没有评分表，请先评榜。", "The claim has no score sheet yet; judge it first.")
        raise Conflict("not_judged", message)
    if row.profile_id is not None:
        await _refuse_barred(session, demand, await get_profile(session, row.profile_id), "/profile_id")
    if row.organization_id is not None:
        await _refuse_barred(session, demand, _ClaimingOrganization(row.organization_id), "/organization_id")


async def _contract(session: AsyncSession, row: ClaimRow, contract_number: str | None, actor: Principal) -> None:
    """Contract the demand and record the claimant and its price in the project that this opens."""
    demand = await get_demand(session, row.demand_id)
    await begin_matching(session, demand, actor=actor)
    await transition_demand(session, demand, DemandStatus.CONTRACTED, contract_number=contract_number, actor=actor)
    partner = await _partner(session, row)
    await record_terms(session, demand.id, amount_wan=row.price_wan, partner=partner, actor=actor)


async def _partner(session: AsyncSession, row: ClaimRow) -> Partner:
    """Return the claimant as a project partner, with a placeholder as its name if it has been deleted."""
    named: ProfileRow | OrganizationRow | None = None
    if row.profile_id is not None:
        named = await session.get(ProfileRow, row.profile_id)
    elif row.organization_id is not None:
        named = await session.get(OrganizationRow, row.organization_id)
    name = named.name if named is not None else "（已删除）"
    return Partner(name=name, role="揭榜方", profile_id=row.profile_id, organization_id=row.organization_id)


async def _written(session: AsyncSession, row: ClaimRow, actor: Principal) -> None:
    """Flush the claim and record its current status as an audit row and an event."""
    await session.flush()
    detail = {"demand_id": row.demand_id}
    record_audit(session, actor, row.status, entity="claim", entity_id=row.id, detail=detail)
    record_event(session, f"claim.{row.status}", entity="claim", entity_id=row.id, detail=detail)


def _check_claimable(demand: DemandRow) -> None:
    is_over = demand.expires_on is not None and demand.expires_on < today()
    if DemandStatus(demand.status) not in OPEN or is_over:
        raise _not_open(demand)


def _not_open(demand: DemandRow) -> Conflict:
    day = demand.expires_on
    zh, en = (f"，截止 {day}", f", last day {day}") if day is not None else ("", "")
    message = Bilingual(
        f"需求 {demand.id} 现为 {DEMAND_LIFE.named(DemandStatus(demand.status))}{zh}，不能揭榜。",
        f"Demand {demand.id} is {demand.status}{en}; it cannot be claimed.",
    )
    return Conflict("demand_not_open", message)


async def _refuse_barred(session: AsyncSession, demand: DemandRow, claimant: Candidate, pointer: str) -> None:
    """Raise Conflict with every rule that forbids the claim. Written reasons of an exclusion stay with the enterprise.

    pointer : the field that names the claimant.
    """
    (case,) = await cases_of(session, [demand], on=today())
    if against := [rule for rule in RULES if rule.bars_claims and rule.applies(claimant, case)]:
        words = Bilingual("".join(rule.words.zh for rule in against), " ".join(rule.words.en for rule in against))
        raise Conflict("may_not_claim", words, errors=[FieldError(rule.code, rule.words, pointer) for rule in against])


async def _check_first(
    session: AsyncSession, demand: DemandRow, profile_id: str | None, organization_id: str | None
) -> None:
    same = ClaimRow.profile_id == profile_id if profile_id is not None else ClaimRow.organization_id == organization_id
    statement = select(ClaimRow.id).where(ClaimRow.demand_id == demand.id, same, ClaimRow.status == ClaimStatus.OFFERED)
    if (known := await session.scalar(statement)) is not None:
        message = Bilingual(
            f"同一揭榜方已有揭榜 {known}；请先撤回。", f"The claimant has claim {known} already; withdraw it first."
        )
        raise Conflict("already_claimed", message)


_NO_CONTRACT = Bilingual("只有中榜时才填写合同编号。", "A contract number belongs to choosing only.")
