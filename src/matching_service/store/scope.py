"""Which records belong to the key of a portal. It is built into queries: a record of others is not found."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, true

from matching_service.store.organizations import OrganizationRow


@dataclass(frozen=True, slots=True)
class Scope:
    """Records of one source; where organizations are named, only those that belong to one of them."""

    source: str
    organization_ids: frozenset[str] = frozenset()

    def of(self, table: Any) -> ColumnElement[bool]:
        """The condition that a row of demands, profiles or organizations belongs to the key."""
        if not self.organization_ids:
            condition: ColumnElement[bool] = table.source == self.source
            return condition
        if table is OrganizationRow:  # the office may have registered it, with a source of its own
            return OrganizationRow.id.in_(sorted(self.organization_ids))
        return and_(table.source == self.source, table.organization_id.in_(sorted(self.organization_ids)))

    def holds(self, row: Any) -> bool:
        """The same of a row that was read."""
        if not self.organization_ids:
            return bool(row.source == self.source)
        if isinstance(row, OrganizationRow):
            return row.id in self.organization_ids
        return row.source == self.source and row.organization_id in self.organization_ids


NOTHING = Scope(source="")
"""The scope of a program that owns no record, because no record has this source: it reads what is public."""


def within(scope: Scope | None, table: Any, *, beside: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """The condition of a scope, or that beside it; without a scope every row fulfils it."""
    if scope is None:
        return true()
    return scope.of(table) if beside is None else scope.of(table) | beside
