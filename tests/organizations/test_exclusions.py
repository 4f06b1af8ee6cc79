"""An organization's exclusion list: replaced as a whole, written only where it changes, gone with what it names."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete, select

from matching_service.access.policies import COMMAND_LINE, Principal, Role
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Conflict
from matching_service.organizations.queries import get_organization, list_exclusions
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile, delete_profile
from matching_service.store.access import PrincipalRow
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database
from matching_service.store.organizations import ExclusionRow, OrganizationRow
from matching_service.store.outbox import OutboxRow

OTHER = Principal("other", "another key", Role.STAFF)


async def organizations(database: Database, n: int) -> list[str]:
    async with database.transaction() as session:
        session.add(PrincipalRow(id=OTHER.id, kind="key", name=OTHER.name))
        rows = [await create_organization(session, OrganizationCreate(name=f"机构{i}"), COMMAND_LINE) for i in range(n)]
        return [row.id for row in rows]


async def profiles(database: Database, n: int) -> list[str]:
    async with database.transaction() as session:
        bodies = [ProfileCreate(kind="expert", name=f"专家{i}") for i in range(n)]
        return [(await create_profile(session, body, COMMAND_LINE)).id for body in bodies]


async def replace(
    database: Database, organization_id: str, *items: dict[str, Any], actor: Principal = COMMAND_LINE
) -> list[tuple[Any, ...]]:
    """The list after it was replaced."""
    async with database.transaction() as session:
        organization = await get_organization(session, organization_id, for_update=True)
        wanted = [ExclusionBody(**item) for item in items]
        return values(await replace_exclusions(session, organization, wanted, actor))


def values(rows: Sequence[ExclusionRow]) -> list[tuple[Any, ...]]:
    return [(r.id, r.profile_id, r.excluded_organization_id, r.reason, r.actor_id, r.at) for r in rows]


async def listed(database: Database, organization_id: str) -> list[tuple[Any, ...]]:
    async with database.reading() as session:
        return values(await list_exclusions(session, organization_id))


async def recorded(database: Database, organization_id: str) -> tuple[list[dict[str, Any]], int]:
    """Details of the audit rows and the number of events that speak of the list."""
    async with database.reading() as session:
        audit = await session.scalars(
            select(AuditRow)
            .where(AuditRow.entity_id == organization_id, AuditRow.action == "replace_exclusions")
            .order_by(AuditRow.id)
        )
        events = await session.scalars(
            select(OutboxRow).where(
                OutboxRow.event == "organization.exclusions_changed",
                OutboxRow.entity == "organization",
                OutboxRow.entity_id == organization_id,
            )
        )
        return [row.detail for row in audit], len(events.all())


async def test_the_list_becomes_what_is_sent_and_kept_entries_keep_their_rows(database: Database) -> None:
    own, rival = await organizations(database, 2)
    first, second = await profiles(database, 2)
    before = await replace(database, own, {"profile_id": first, "reason": "旧怨"}, {"organization_id": rival})
    assert [row[1:5] for row in before] == [(first, None, "旧怨", "cli"), (None, rival, None, "cli")]
    after = await replace(
        database, own, {"organization_id": rival, "reason": "竞争对手"}, {"profile_id": second}, actor=OTHER
    )
    assert [row[1:5] for row in after] == [(None, rival, "竞争对手", "other"), (second, None, None, "other")]
    assert after[0][0] == before[1][0]  # the same row, with another reason
    assert after == await listed(database, own)
    assert await recorded(database, own) == (
        [{"added": 2, "changed": 0, "removed": 0}, {"added": 1, "changed": 1, "removed": 1}],
        2,
    )


async def test_the_same_list_again_writes_nothing(database: Database) -> None:
    own, rival = await organizations(database, 2)
    (profile,) = await profiles(database, 1)
    items = [{"profile_id": profile, "reason": "旧怨"}, {"organization_id": rival}]
    before = await replace(database, own, *items)
    assert await replace(database, own, *items[::-1], actor=OTHER) == before
    assert len((await recorded(database, own))[0]) == 1
    assert await replace(database, own) == []
    assert await replace(database, own) == []
    assert await recorded(database, own) == (
        [{"added": 2, "changed": 0, "removed": 0}, {"added": 0, "changed": 0, "removed": 2}],
        2,
    )


async def test_the_audit_row_holds_no_reason(database: Database) -> None:
    own, rival = await organizations(database, 2)
    await replace(database, own, {"organization_id": rival, "reason": "机密理由"})
    async with database.reading() as session:
        assert "机密" not in str([row.detail for row in await session.scalars(select(AuditRow))])


async def test_lists_of_two_organizations_are_two_lists(database: Database) -> None:
    own, other = await organizations(database, 2)
    (profile,) = await profiles(database, 1)
    await replace(database, own, {"profile_id": profile}, {"organization_id": other})
    await replace(database, other, {"profile_id": profile}, {"organization_id": own})
    assert await replace(database, own) == []
    assert len(await listed(database, other)) == 2


async def test_entries_go_with_the_profile_or_the_organization(database: Database) -> None:
    own, rival, third = await organizations(database, 3)
    first, second = await profiles(database, 2)
    await replace(database, own, {"profile_id": first}, {"profile_id": second}, {"organization_id": rival})
    await replace(database, third, {"organization_id": own}, {"organization_id": rival})
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, first), COMMAND_LINE)
        await session.execute(delete(OrganizationRow).where(OrganizationRow.id == rival))
    assert [row[1:3] for row in await listed(database, own)] == [(second, None)]
    assert [row[1:3] for row in await listed(database, third)] == [(None, own)]
    async with database.transaction() as session:
        await session.execute(delete(OrganizationRow).where(OrganizationRow.id == own))
    async with database.reading() as session:
        assert (await session.scalars(select(ExclusionRow))).all() == []


@pytest.mark.parametrize("targets", ["none", "both", "profile twice", "organization twice", "unknown profile"])
async def test_the_database_holds_the_rules_too(database: Database, targets: str) -> None:
    own, rival = await organizations(database, 2)
    (profile,) = await profiles(database, 1)
    rows: list[tuple[str | None, str | None]] = {
        "none": [(None, None)],
        "both": [(profile, rival)],
        "profile twice": [(profile, None)] * 2,
        "organization twice": [(None, rival)] * 2,
        "unknown profile": [(new_id(), None)],
    }[targets]  # type: ignore[assignment]

    async def write() -> None:
        async with database.transaction() as session:
            for profile_id, organization_id in rows:
                session.add(
                    ExclusionRow(
                        organization_id=own, profile_id=profile_id, excluded_organization_id=organization_id,
                        actor_id="cli", at=now(),
                    )
                )  # fmt: skip

    with pytest.raises(Conflict):
        await write()
