"""Rows that are only ever added, and that nobody reads before the commit: the audit log and the outbox.

They are collected during a transaction as plain values and inserted in bulk just before its end (``database.py``).
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.store.base import Table

Journal = dict[type[Table], list[dict[str, Any]]]
_JOURNAL = "journal"


def append(session: AsyncSession, table: type[Table], **values: Any) -> None:
    """Add a row with the transaction, or not at all. All rows of a table name the same columns."""
    journal: Journal = session.info.setdefault(_JOURNAL, {})
    journal.setdefault(table, []).append(values)


def take(session: AsyncSession) -> Journal:
    """The rows of this transaction that are not written yet, per table in the order in which they were added."""
    journal: Journal = session.info.pop(_JOURNAL, {})
    return journal
