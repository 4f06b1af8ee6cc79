"""Resolve the organization of a demand or a profile from our id or from the sender's external id."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.store.lookup import get_by_ids, get_row, rows_by_external_id
from matching_service.store.organizations import OrganizationRow
from matching_service.store.scope import Scope, within


class Affiliated(Protocol):
    """A body that refers to an organization by our id, or by an external id of the same source."""

    source: str
    organization_id: str | None
    organization_external_id: str | None


class Affiliations:
    """Resolves the organizations of a whole batch of bodies with a few queries."""

    def __init__(
        self,
        by_id: Mapping[str, OrganizationRow],
        by_external_id: Mapping[tuple[str, str], OrganizationRow],
        scope: Scope | None,
    ) -> None:
        self._scope = scope
        self._by_id = by_id
        self._by_external_id = by_external_id

    @classmethod
    async def load(
        cls, session: AsyncSession, items: Sequence[Affiliated], scope: Scope | None = None
    ) -> "Affiliations":
        """``scope``: organizations outside of it do not exist for the sender."""
        ids = {item.organization_id for item in items if item.organization_id is not None}
        keys = [(i.source, i.organization_external_id) for i in items if i.organization_external_id is not None]
        return cls(
            await get_by_ids(session, OrganizationRow, sorted(ids)),
            await rows_by_external_id(session, OrganizationRow, keys),
            scope,
        )

    def organization_id(self, item: Affiliated) -> str | None:
        """Return the id of the item's organization, or of the one it was merged into. None if the item names none.

        Raises InvalidInput for an unknown organization.
        """
        if item.organization_id is not None:
            row = self._by_id.get(item.organization_id)
            if row is None or not self._is_known(row):
                raise _unknown("organization_id", item.organization_id)
            return row.merged_into or row.id
        if item.organization_external_id is not None:
            row = self._by_external_id.get((item.source, item.organization_external_id))
            if row is None or not self._is_known(row):
                raise _unknown("organization_external_id", item.organization_external_id)
            return row.merged_into or row.id
        if self._scope is not None:
            check_organization(None, self._scope)
        return None

    def _is_known(self, row: OrganizationRow) -> bool:
        return self._scope is None or self._scope.holds(row)


def check_organization(organization_id: str | None, scope: Scope | None) -> None:
    """Raise InvalidInput for no organization, where a record without one would not be the sender's own."""
    if organization_id is None and scope is not None and scope.organization_ids:
        listed = ", ".join(sorted(scope.organization_ids))
        message = Bilingual(
            f"本密钥只限指定机构的记录，请写明 organization_id：{listed}。",
            f"The key is bound to organizations; name one of them in organization_id: {listed}.",
        )
        raise InvalidInput.at("/organization_id", "organization_needed", message)


async def present_organization(session: AsyncSession, organization_id: str, scope: Scope | None = None) -> str:
    """The id itself, or that of the organization into which it was merged.

    Raises InvalidInput for one that is unknown, or outside the scope.
    """
    row = await get_row(session, OrganizationRow, organization_id, where=within(scope, OrganizationRow))
    if row is None:
        raise _unknown("organization_id", organization_id)
    return row.merged_into or row.id


def _unknown(field: str, value: str) -> InvalidInput:
    message = Bilingual(
        f"机构 {value} 不存在；请先登记该机构。", f"Organization {value} does not exist; register it first."
    )
    return InvalidInput.at(f"/{field}", "organization_not_found", message)
