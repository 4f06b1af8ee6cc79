"""Read the texts of profiles and works, as plain rows, for lists and their explanations."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.store.lookup import id_batches
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow, WorkRow


class ShownProfile(NamedTuple):
    """The columns of a profile that a list shows or explains."""

    id: str
    external_id: str | None
    kind: str
    name: str
    region: str | None
    country: str
    language: str
    organization_id: str | None
    summary: str | None
    keywords: list[str]
    fields: list[str]
    organization_name: str | None


class ShownWork(NamedTuple):
    """The columns of a work that an explanation quotes."""

    id: str
    kind: str
    title: str
    abstract: str | None
    year: int | None


# Plain rows, because ORM objects take three times as long to read and to send to another process.
_OWN_COLUMNS = [getattr(ProfileRow, name) for name in ShownProfile._fields if name != "organization_name"]
_SHOWN_PROFILES = (
    select(*_OWN_COLUMNS, OrganizationRow.name.label("organization_name"))
    .outerjoin(OrganizationRow, OrganizationRow.id == ProfileRow.organization_id)
    .where(ProfileRow.id.in_(bindparam("ids", expanding=True)))
)


_SHOWN_WORKS = select(*(getattr(WorkRow, name) for name in ShownWork._fields)).where(
    WorkRow.id.in_(bindparam("ids", expanding=True))
)


async def shown_texts(
    session: AsyncSession, profile_ids: Iterable[str], work_ids: Iterable[str]
) -> tuple[dict[str, ShownProfile], dict[str, ShownWork]]:
    """Return profiles and works by id. Deleted ones are left out."""
    profiles: dict[str, ShownProfile] = {}
    works: dict[str, ShownWork] = {}
    for batch in id_batches(profile_ids):
        for row in await session.execute(_SHOWN_PROFILES, {"ids": batch}):
            profiles[row.id] = ShownProfile._make(row)
    for batch in id_batches(work_ids):
        for row in await session.execute(_SHOWN_WORKS, {"ids": batch}):
            works[row.id] = ShownWork._make(row)
    return profiles, works
