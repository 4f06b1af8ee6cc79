"""A rule says the same in memory, in a query and in the index: compared over random worlds on both databases."""

import random
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.eligibility.cases import Case, cases_of
from matching_service.eligibility.conflicts import find_conflicts, reasons_against
from matching_service.eligibility.rules import LASTING, RULES, codes_against, filters_for, joined, may_be_shown
from matching_service.foundation.clock import now, today
from matching_service.foundation.paging import PageRequest
from matching_service.index.contract import Versions
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import profile_documents
from matching_service.organizations.queries import get_organization
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.queries import WITH_WORKS
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile
from matching_service.ranking.encoder import load_encoder
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.ranking.structured import Circumstances
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import NEVER_MATCHED, ProfileRow
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import SuggestionRow

N_PROFILES, N_DEMANDS = 40, 6
DECISIONS = ("pinned", "shortlisted", "rejected")
STATES = ("suggested", "contacted", "accepted", "met", "agreed", "declined", "no_answer", "not_suitable")
ENCODER = load_encoder("none")


async def random_world(database: Database, seed: int, on: date) -> None:
    """Profiles and demands among which every rule applies to some pairs and not to others."""
    rng = random.Random(seed)
    async with database.transaction() as session:
        organizations = [
            (await create_organization(session, OrganizationCreate(name=name, source=f"{n}"), COMMAND_LINE)).id
            for n, name in enumerate(["某厂（佛山）", "某厂(佛山)", "某厂2", "某厂3"])
        ]

        def day() -> date | None:
            return rng.choice([None, None, on, on - timedelta(days=1), on + timedelta(days=1)])

        profiles = []
        for n in range(N_PROFILES):
            body = ProfileCreate(
                kind=rng.choice(["expert", "achievement"]),
                name=f"泵{n}",
                summary="液压泵",
                organization_id=rng.choice([None, *organizations]),
                visibility=rng.choice(["public", "public", "restricted", "hidden", "withdrawn"]),
            )
            row = await create_profile(session, body, COMMAND_LINE)
            row.available_from, row.available_until = day(), day()  # also in an order that the form refuses
            profiles.append(row.id)
        demands = [
            (await create_demand(session, DemandCreate(title="液压泵", organization_id=owner), COMMAND_LINE)).id
            for owner in [None, *(rng.choice(organizations) for _ in range(N_DEMANDS - 1))]
        ]
        for organization_id in organizations:
            excluded = [ExclusionBody(profile_id=one, reason="竞争") for one in rng.sample(profiles, 4)]
            excluded.append(
                ExclusionBody(organization_id=rng.choice([o for o in organizations if o != organization_id]))
            )
            organization = await get_organization(session, organization_id, for_update=True)
            await replace_exclusions(session, organization, excluded, COMMAND_LINE)
        for demand_id in demands:
            for profile_id in rng.sample(profiles, 15):
                session.add(
                    DecisionRow(
                        demand_id=demand_id, profile_id=profile_id, decision=rng.choice(DECISIONS), actor_id="cli", at=now()
                    )
                )  # fmt: skip
            for profile_id in rng.sample(profiles, 15):
                session.add(SuggestionRow(demand_id=demand_id, profile_id=profile_id, status=rng.choice(STATES)))


@pytest.mark.parametrize("seed", range(3))
async def test_in_memory_in_a_query_and_in_the_index_the_rules_are_the_same(database: Database, seed: int) -> None:
    on = today()
    await random_world(database, seed, on)
    applied: dict[str, set[bool]] = {rule.code: set() for rule in RULES}
    async with database.reading() as session:
        profiles = list(await session.scalars(select(ProfileRow).options(WITH_WORKS).order_by(ProfileRow.id)))
        demands = list(await session.scalars(select(DemandRow).order_by(DemandRow.id)))
        indexed = [profile for profile in profiles if profile.visibility not in NEVER_MATCHED]
        snapshot = Snapshot.build(
            profile_documents(indexed, {}, ENCODER), Versions("", ENCODER.version, ENCODER.n_dimensions)
        )
        for demand, case in zip(demands, await cases_of(session, demands, on=on), strict=True):
            in_memory = {profile.id: codes_against(profile, case) for profile in profiles}
            flags = [rule.condition(demand, on).label(rule.code) for rule in RULES]
            rows = (await session.execute(joined(select(ProfileRow.id, *flags), demand))).all()
            assert len(rows) == len(profiles), "a join multiplied rows"
            in_query = {row.id: [rule.code for rule in RULES if getattr(row, rule.code)] for row in rows}
            assert in_query == in_memory

            page = await find_conflicts(session, demand.id, None, PageRequest(200), on=on)
            told = {item.profile_id: [reason.code for reason in item.reasons] for item in page.items}
            assert told == {profile_id: codes for profile_id, codes in in_memory.items() if codes}
            alone = {p.id: [r.code for r in await reasons_against(session, demand, p, on=on)] for p in profiles[:5]}
            assert alone == {profile.id: in_memory[profile.id] for profile in profiles[:5]}

            for rules, is_allowed in (
                (RULES, lambda profile, case=case: not codes_against(profile, case)),
                (LASTING, lambda profile, case=case: may_be_shown(profile, case)),
            ):
                ranked = rank(
                    prepare(Query("液压泵"), ENCODER),
                    snapshot,
                    top_k=N_PROFILES,
                    filters=filters_for(case, rules=rules),
                    circumstances=Circumstances(on),
                )
                assert {entry.profile_id for entry in ranked} == {p.id for p in profiles if is_allowed(p)}
            for rule in RULES:
                applied[rule.code] |= {rule.code in codes for codes in in_memory.values()}
    assert all(seen == {True, False} for seen in applied.values()), applied


async def test_a_question_that_is_not_stored_has_the_rules_of_the_profile_alone(database: Database) -> None:
    on = today()
    await random_world(database, 7, on)
    async with database.reading() as session:
        for profile in await session.scalars(select(ProfileRow)):
            codes = [reason.code for reason in await reasons_against(session, None, profile, on=on)]
            assert codes == codes_against(profile, Case(on))
            assert set(codes) <= {"unavailable", "hidden", "withdrawn"}


def test_every_rule_has_words_in_both_languages_and_a_code_of_its_own() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.words.zh.endswith("。") and rule.words.en.endswith(".") for rule in RULES)
    assert {rule.code for rule in RULES if rule.narrow is None} == NEVER_MATCHED  # these never enter the index
