"""Claims on both databases: who may claim, judged before chosen, chosen once, and nothing on a demand that is closed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.claims.queries import get_claim, judgements, list_scores
from matching_service.claims.schemas import ClaimCreate, ClaimStep, ScoreBody
from matching_service.claims.service import create_claim, judge_claim, transition_claim
from matching_service.claims.states import CRITERIA, ClaimStatus, Criterion
from matching_service.demands.queries import get_demand
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.demands.states import DemandStatus, EndReason
from matching_service.demands.transitions import adopt_status, transition_demand
from matching_service.foundation.clock import today
from matching_service.foundation.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    MatchingError,
    PreconditionFailed,
)
from matching_service.organizations.queries import get_organization
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile
from matching_service.store.audit import AuditRow
from matching_service.store.claims import ClaimRow
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow
from matching_service.store.projects import ProjectRow

S = ClaimStatus
FULL = {criterion: float(most) for criterion, (_, most) in CRITERIA.items()}


@dataclass(frozen=True)
class Hall:
    """A published demand of the first organization, which excludes the third; four profiles, of none, the first, the
    third and none of them.
    """

    database: Database
    demand: str
    organizations: list[str]
    profiles: Sequence[str]
    offer: str = field(default="六个月给出样机")

    async def claim(self, profile: int | None = None, *, organization: int | None = None, **fields: Any) -> str:
        who: dict[str, Any] = {
            "profile_id": self.profiles[profile] if profile is not None else None,
            "organization_id": self.organizations[organization] if organization is not None else None,
        }
        body = ClaimCreate(demand_id=self.demand, offer=self.offer, **who, **fields)
        async with self.database.transaction() as session:
            return (await create_claim(session, body, COMMAND_LINE)).id

    async def judge(self, claim_id: str, judge: str = "甲", points: dict[Criterion, float] | None = None) -> None:
        async with self.database.transaction() as session:
            body = ScoreBody(points=points or FULL, judge=judge)
            row = await get_claim(session, claim_id, for_update=True)
            await judge_claim(session, row, body, COMMAND_LINE)

    async def move(self, claim_id: str, to: S, **given: Any) -> None:
        async with self.database.transaction() as session:
            row = await get_claim(session, claim_id)
            await transition_claim(session, row, ClaimStep(to=to, **given), COMMAND_LINE)

    async def adopt(self, status: DemandStatus) -> None:
        async with self.database.transaction() as session:
            await adopt_status(session, await get_demand(session, self.demand), status, actor=COMMAND_LINE)

    async def state(self) -> tuple[str, list[str]]:
        """Of the demand and of its claims."""
        async with self.database.reading() as session:
            rows = await session.scalars(select(ClaimRow.status).order_by(ClaimRow.id))
            return (await get_demand(session, self.demand)).status, list(rows)


@pytest.fixture
async def hall(database: Database) -> Hall:
    async with database.transaction() as session:
        organizations = [
            await create_organization(session, OrganizationCreate(name=f"机构{n}"), COMMAND_LINE) for n in range(3)
        ]
        belongs = (None, organizations[0].id, organizations[2].id, None)
        profiles = [
            await create_profile(
                session, ProfileCreate(kind="expert", name=f"专家{n}", organization_id=organization_id), COMMAND_LINE
            )
            for n, organization_id in enumerate(belongs)
        ]
        excluded = [ExclusionBody(organization_id=organizations[2].id)]
        await replace_exclusions(session, organizations[0], excluded, COMMAND_LINE)
        demand = await create_demand(
            session, DemandCreate(title="柔轮开裂", organization_id=organizations[0].id), COMMAND_LINE
        )
        await adopt_status(session, demand, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
    return Hall(database, demand.id, [row.id for row in organizations], [row.id for row in profiles])


async def refused(work: Any) -> MatchingError:
    with pytest.raises(MatchingError) as error:
        await work
    return error.value


async def test_the_best_claim_is_chosen_and_the_demand_contracted(hall: Hall) -> None:
    first = await hall.claim(0, price_wan=60, attachments=[{"name": "方案.pdf", "reference": "oss://1"}])
    assert await hall.state() == ("matching", ["offered"])
    second, third = await hall.claim(organization=1), await hall.claim(3)
    await hall.judge(first)
    await hall.judge(first, "乙", FULL | {Criterion.PRICE: 5.0})
    await hall.judge(second, points=dict.fromkeys(Criterion, 0.0))
    await hall.move(third, S.WITHDRAWN)
    async with hall.database.reading() as session:
        found = await judgements(session, [first, second, third])
    assert [(found[one].n_sheets, found[one].score) for one in (first, second, third)] == [
        (2, 95.0),
        (1, 0.0),
        (0, None),
    ]
    await hall.move(first, S.CHOSEN, contract_number="FS-17", opinion="综合评分第一")
    assert await hall.state() == ("contracted", ["chosen", "not_chosen", "withdrawn"])
    async with hall.database.reading() as session:
        project = (await session.scalars(select(ProjectRow))).one()
        events = (await session.scalars(select(OutboxRow.event).order_by(OutboxRow.seq))).all()
    assert (project.demand_id, project.contract_number) == (hall.demand, "FS-17")
    assert [event for event in events if event.startswith("claim.")] == [
        "claim.offered", "claim.offered", "claim.offered", "claim.judged", "claim.judged", "claim.judged",
        "claim.withdrawn", "claim.chosen", "claim.not_chosen",
    ]  # fmt: skip


async def test_choosing_needs_a_sheet_and_a_contract_number(hall: Hall) -> None:
    claim = await hall.claim(0)
    assert (await refused(hall.move(claim, S.CHOSEN, contract_number="1"))).code == "not_judged"
    await hall.judge(claim)
    assert [error.pointer for error in (await refused(hall.move(claim, S.CHOSEN))).errors] == ["/contract_number"]
    assert [error.pointer for error in (await refused(hall.move(claim, S.NOT_CHOSEN))).errors] == ["/opinion"]
    error = await refused(hall.move(claim, S.WITHDRAWN, contract_number="1"))
    assert isinstance(error, InvalidInput)
    assert await hall.state() == ("matching", ["offered"])


async def test_a_demand_that_is_closed_is_neither_claimed_nor_given_away(hall: Hall) -> None:
    claim = await hall.claim(0)
    await hall.judge(claim)
    await hall.adopt(DemandStatus.ABANDONED)
    assert (await refused(hall.claim(3))).code == "demand_not_open"
    assert (await refused(hall.move(claim, S.CHOSEN, contract_number="1"))).code == "illegal_transition"
    assert (await refused(hall.judge(claim, "乙"))).code == "claim_decided"
    assert await hall.state() == ("abandoned", ["not_chosen"])


@pytest.mark.parametrize(
    ("to", "given", "opinion"),
    [
        (DemandStatus.CONTRACTED, {"contract_number": "FS-1"}, "需求已签约"),
        (DemandStatus.ABANDONED, {"reason": EndReason.NO_SUPPLIER}, "需求已放弃"),
    ],
)
async def test_what_is_undecided_when_the_demand_leaves_the_list_is_not_chosen(
    hall: Hall, to: DemandStatus, given: dict[str, Any], opinion: str
) -> None:
    claims = [await hall.claim(0), await hall.claim(3), await hall.claim(organization=1)]
    await hall.move(claims[0], S.WITHDRAWN)
    async with hall.database.transaction() as session:
        await transition_demand(session, await get_demand(session, hall.demand), to, actor=COMMAND_LINE, **given)
    assert await hall.state() == (to, ["withdrawn", "not_chosen", "not_chosen"])
    async with hall.database.reading() as session:
        ended = [await get_claim(session, claim) for claim in claims]
        statement = select(OutboxRow).where(OutboxRow.event == "claim.not_chosen").order_by(OutboxRow.entity_id)
        events = (await session.scalars(statement)).all()
        audit = (await session.scalars(select(AuditRow.entity_id).where(AuditRow.action == "not_chosen"))).all()
        n_projects = len((await session.scalars(select(ProjectRow))).all())
    assert [claim.opinion for claim in ended] == [None, opinion, opinion]
    detail = {"demand_id": hall.demand, "reason": f"demand_{to}"}
    assert [(event.entity_id, event.detail) for event in events] == [(claim, detail) for claim in claims[1:]]
    assert sorted(audit) == claims[1:]
    assert n_projects == (to is DemandStatus.CONTRACTED)


async def test_a_demand_that_expires_or_came_further_elsewhere_leaves_no_claim_open(hall: Hall) -> None:
    for to in (DemandStatus.EXPIRED, DemandStatus.CLOSED):
        async with hall.database.transaction() as session:
            demand = await create_demand(session, DemandCreate(title="柔轮开裂"), COMMAND_LINE)
            await adopt_status(session, demand, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
            values = {"demand_id": demand.id, "profile_id": hall.profiles[0], "offer": "一年", "attachments": []}
            session.add(ClaimRow(**values, status=S.OFFERED))  # as an earlier version left one on a published demand
            await session.flush()
            await adopt_status(session, demand, to, actor=COMMAND_LINE)
    assert (await hall.state())[1] == ["not_chosen", "not_chosen"]


async def test_a_claim_and_a_contract_at_once_leave_no_claim_undecided(hall: Hall) -> None:
    await hall.adopt(DemandStatus.MATCHING)

    async def contract() -> None:
        async with hall.database.transaction() as session:
            row = await get_demand(session, hall.demand)
            await transition_demand(session, row, DemandStatus.CONTRACTED, contract_number="1", actor=COMMAND_LINE)

    results = await asyncio.gather(*(hall.claim(n) for n in (0, 3)), contract(), return_exceptions=True)
    errors = {error.code for error in results if isinstance(error, MatchingError)}
    assert errors <= {"demand_not_open"}
    status, claims = await hall.state()
    assert status == "contracted"
    assert set(claims) <= {"not_chosen"}


async def test_after_the_last_day_nothing_is_claimed_also_before_the_night(hall: Hall) -> None:
    claim = await hall.claim(0)  # since when the demand is no longer published, but matching
    await hall.judge(claim)
    async with hall.database.transaction() as session:
        (await get_demand(session, hall.demand)).expires_on = today() - timedelta(days=1)
    assert (await refused(hall.claim(3))).code == "demand_not_open"
    await hall.move(claim, S.CHOSEN, contract_number="1")  # what came in time may be decided on
    assert (await hall.state())[0] == "contracted"


async def test_who_belongs_to_the_enterprise_or_is_excluded_by_it_does_not_claim(hall: Hall) -> None:
    for who, code in (
        ({"profile": 1}, "own_organization"), ({"profile": 2}, "excluded_organization"),
        ({"organization": 0}, "own_organization"), ({"organization": 2}, "excluded_organization"),
    ):  # fmt: skip
        error = await refused(hall.claim(**who))
        assert (error.code, [one.code for one in error.errors]) == ("may_not_claim", [code])
    assert await hall.state() == ("published", [])


async def test_the_same_firm_under_another_source_does_not_claim_and_no_written_reason_is_told(hall: Hall) -> None:
    async with hall.database.transaction() as session:
        twin = await create_organization(session, OrganizationCreate(name="机构0", source="别处"), COMMAND_LINE)
        own = await get_organization(session, hall.organizations[0])
        exclusion = ExclusionBody(organization_id=hall.organizations[2], reason="曾有纠纷")
        await replace_exclusions(session, own, [exclusion], COMMAND_LINE)
    hall.organizations.append(twin.id)
    assert [one.code for one in (await refused(hall.claim(organization=3))).errors] == ["own_organization"]
    for who in ({"organization": 2}, {"profile": 2}):
        error = await refused(hall.claim(**who))
        assert [one.code for one in error.errors] == ["excluded_organization"]
        assert "纠纷" not in f"{error} {error.errors}"


async def test_one_claimant_has_one_claim_at_a_time_also_when_it_asks_twice_at_once(hall: Hall) -> None:
    results = await asyncio.gather(*(hall.claim(0) for _ in range(3)), return_exceptions=True)
    claims = [result for result in results if isinstance(result, str)]
    codes = {error.code for error in results if isinstance(error, MatchingError)}
    assert (len(claims), codes) == (1, {"already_claimed"})
    await hall.move(claims[0], S.WITHDRAWN)
    await hall.claim(0)  # a better offer
    assert (await hall.state())[1] == ["withdrawn", "offered"]


async def test_of_two_chosen_at_once_one_gets_the_contract(hall: Hall) -> None:
    claims = [await hall.claim(0), await hall.claim(3)]
    for claim in claims:
        await hall.judge(claim)
    results = await asyncio.gather(
        *(hall.move(claim, S.CHOSEN, contract_number=claim[:8]) for claim in claims), return_exceptions=True
    )
    errors = [result for result in results if result is not None]
    assert len(errors) == 1
    assert isinstance(errors[0], (Conflict, IllegalTransition, PreconditionFailed))
    assert (await hall.state())[0] == "contracted"
    assert sorted((await hall.state())[1]) == ["chosen", "not_chosen"]
    async with hall.database.reading() as session:
        assert len((await session.scalars(select(ProjectRow))).all()) == 1


async def test_a_judge_has_one_sheet_and_none_after_the_decision(hall: Hall) -> None:
    claim = await hall.claim(0)
    await hall.judge(claim)
    await hall.judge(claim, points=dict.fromkeys(Criterion, 1.0))
    async with hall.database.reading() as session:
        assert [sheet.total for sheet in await list_scores(session, claim)] == [5.0]
    await hall.move(claim, S.NOT_CHOSEN, opinion="路线不可行")
    assert (await refused(hall.judge(claim, "乙"))).code == "claim_decided"


@pytest.mark.parametrize(
    ("points", "kind"),
    [
        ({}, "points_missing"),
        ({name: value for name, value in FULL.items() if name != Criterion.TEAM}, "points_missing"),
        (FULL | {Criterion.TEAM: 20.5}, "too_many_points"),
        (FULL | {Criterion.TEAM: -1}, "greater_than_equal"),
        (FULL | {"beauty": 5}, "enum"),
    ],
)
def test_a_sheet_is_whole_and_within_its_points(points: dict[Any, float], kind: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        ScoreBody(points=points)
    assert [error["type"] for error in wrong.value.errors()] == [kind]


def test_a_full_sheet_has_a_hundred_points() -> None:
    assert sum(FULL.values()) == 100
    assert set(CRITERIA) == set(Criterion)


@pytest.mark.parametrize("who", [{}, {"profile_id": "a", "organization_id": "b"}])
def test_a_claim_has_one_claimant(who: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClaimCreate(demand_id="d", offer="x", **who)
