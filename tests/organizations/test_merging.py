"""Merging two records of one organization on both databases: everything moves, nothing is lost, nothing twice."""

from typing import Any

import pytest
from sqlalchemy import UniqueConstraint, select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.demands.schemas import DemandCreate, DemandPatch
from matching_service.demands.service import create_demand, update_demand
from matching_service.foundation.errors import Conflict, InvalidInput, MatchingError, NotFound
from matching_service.organizations.merging import merge_organization, references
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate, OrganizationPatch
from matching_service.organizations.service import (
    create_organization,
    replace_exclusions,
    update_organization,
    upsert_organizations,
)
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database
from matching_service.store.organizations import ExclusionRow, OrganizationRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.tables import Table

CODES = ("91350100M000100Y43", "914403001922038216")
UNKNOWN_ID = "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"


async def organizations(database: Database, *fields: dict[str, Any]) -> list[str]:
    async with database.transaction() as session:
        return [
            (await create_organization(session, OrganizationCreate(**({"name": f"某厂{n}"} | one)), COMMAND_LINE)).id
            for n, one in enumerate(fields)
        ]


async def merge(database: Database, merged: str, into: str) -> None:
    async with database.transaction() as session:
        await merge_organization(session, merged, into, actor=COMMAND_LINE)


async def read(database: Database, row_id: str) -> OrganizationRow:
    async with database.reading() as session:
        row = await session.get(OrganizationRow, row_id)
        assert row is not None
        return row


async def test_demands_and_profiles_move_and_the_index_is_told(database: Database) -> None:
    old, new = await organizations(database, {"source": "s", "external_id": "O"}, {})
    async with database.transaction() as session:
        demand = await create_demand(session, DemandCreate(title="柔轮开裂", organization_id=old), COMMAND_LINE)
        profile = await create_profile(
            session, ProfileCreate(kind="expert", name="卓砺川", organization_id=old), COMMAND_LINE
        )
    await merge(database, old, new)
    async with database.reading() as session:
        moved: list[Any] = [(await session.get(type(row), row.id)) for row in (demand, profile)]
        events = (await session.execute(select(OutboxRow.event, OutboxRow.entity_id).order_by(OutboxRow.seq))).all()
        audit = (await session.scalars(select(AuditRow).where(AuditRow.action == "merge"))).one()
    assert [(row.organization_id, row.row_version) for row in moved if row is not None] == [(new, 2), (new, 2)]
    assert {("demand.updated", demand.id), ("profile.updated", profile.id)} < {tuple(event) for event in events}
    assert audit.entity_id == old
    assert audit.detail["moved"] == {"demands.organization_id": 1, "profiles.organization_id": 1}
    async with database.transaction() as session:  # whoever still names the old one is taken to the new one
        late = DemandCreate(title="迟到", source="s", organization_external_id="O")
        assert (await create_demand(session, late, COMMAND_LINE)).organization_id == new
        row = await get_demand(session, demand.id)
        patch = DemandPatch(organization_id=old, region="440600")
        assert (await update_demand(session, row, patch, COMMAND_LINE)).organization_id == new


async def test_what_the_staying_record_lacks_is_taken_from_the_other(database: Database) -> None:
    old, new = await organizations(
        database,
        {"credit_code": CODES[0], "region": "440605", "cluster": "新材料", "introduction": "旧"},
        {"region": "440600"},
    )
    await merge(database, old, new)
    kept, gone = await read(database, new), await read(database, old)
    assert (kept.credit_code, kept.region, kept.cluster, kept.introduction) == (CODES[0], "440600", "新材料", "旧")
    assert (gone.merged_into, gone.credit_code, gone.name) == (new, None, "某厂0")


async def test_exclusions_are_joined_without_doubles_and_without_itself(database: Database) -> None:
    old, new, third = await organizations(database, {}, {}, {})
    async with database.transaction() as session:
        made = [await create_profile(session, ProfileCreate(kind="expert", name=name), COMMAND_LINE) for name in "甲乙"]
        lists = {
            old: [{"profile_id": made[0].id}, {"profile_id": made[1].id}, {"organization_id": new}],
            new: [{"profile_id": made[0].id}, {"organization_id": old}],
            third: [{"organization_id": old}, {"organization_id": new}],
        }
        for owner, wanted in lists.items():
            organization = await session.get(OrganizationRow, owner)
            assert organization is not None
            await replace_exclusions(session, organization, [ExclusionBody(**one) for one in wanted], COMMAND_LINE)
    await merge(database, old, new)
    async with database.reading() as session:
        rows = (await session.scalars(select(ExclusionRow))).all()
        changed = select(OutboxRow.entity_id).where(OutboxRow.event == "organization.exclusions_changed")
        told = (await session.scalars(changed.order_by(OutboxRow.seq))).all()
    assert set(told[3:]) == {new, third}  # after the three lists above: their demands are ranked again
    assert {(row.organization_id, row.profile_id or row.excluded_organization_id) for row in rows} == {
        (new, made[0].id), (new, made[1].id), (third, new),
    }  # fmt: skip
    assert len(rows) == 3


async def test_merging_again_leads_everybody_to_the_last(database: Database) -> None:
    first, second, third = await organizations(database, {"source": "s", "external_id": "1"}, {}, {})
    await merge(database, first, second)
    await merge(database, second, third)
    assert (await read(database, first)).merged_into == (await read(database, second)).merged_into == third


async def test_what_cannot_be_merged_is_refused_and_changes_nothing(database: Database) -> None:
    one, two, other = await organizations(database, {"credit_code": CODES[0]}, {"credit_code": CODES[1]}, {})
    cases: list[tuple[str, str, type[MatchingError], str]] = [
        (one, one, InvalidInput, "same_organization"),
        (one, UNKNOWN_ID, InvalidInput, "organization_not_found"),
        (one, "x", InvalidInput, "organization_not_found"),
        (UNKNOWN_ID, one, NotFound, "organization_not_found"),
        (one, two, Conflict, "credit_codes_differ"),
    ]
    for merged, into, kind, code in cases:
        with pytest.raises(kind) as refused:
            await merge(database, merged, into)
        assert refused.value.code == code
    await merge(database, other, two)
    for merged, into in ((other, one), (one, other)):
        with pytest.raises(Conflict) as again:
            await merge(database, merged, into)
        assert again.value.code == "organization_merged"
        assert two in again.value.detail.en
    assert (await read(database, one)).merged_into is None


async def test_a_merged_record_is_not_written_to(database: Database) -> None:
    old, new = await organizations(database, {"source": "s", "external_id": "1"}, {})
    await merge(database, old, new)
    async with database.transaction() as session:
        row = await session.get(OrganizationRow, old)
        assert row is not None
        with pytest.raises(Conflict):
            await update_organization(session, row, OrganizationPatch(name="新名"), COMMAND_LINE)
        body = OrganizationCreate(source="s", external_id="1", name="新名")
        (stored,) = await upsert_organizations(session, [body], COMMAND_LINE)
        owner = await session.get(OrganizationRow, new)
        assert owner is not None
        with pytest.raises(InvalidInput) as refused:
            await replace_exclusions(session, owner, [ExclusionBody(organization_id=old)], COMMAND_LINE)
    assert (stored.status, stored.errors[0].code) == ("invalid", "organization_merged")
    assert refused.value.errors[0].code == "organization_merged"


def test_every_table_that_names_an_organization_can_follow_a_merge() -> None:
    """Moving rows breaks no unique constraint, except on exclusions, which are joined by hand."""
    assert "profiles.organization_id" in map(str, references())
    unique = {
        str(column)
        for table in Table.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
        for column in constraint.columns
    }
    assert unique & set(map(str, references())) == {
        "exclusions.organization_id", "exclusions.excluded_organization_id",
    }  # fmt: skip
    assert ProfileRow.__table__.c.organization_id in references()
