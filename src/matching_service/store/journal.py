"""The journal of a transaction: append-only rows that nobody reads before the commit (audit log, outbox).

They are collected as plain values and inserted in bulk just before the end of the transaction (``database.py``).
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.store.base import Table

Journal = dict[type[Table], list[dict[str, Any]]]
_JOURNAL = "journal"


def append(session: AsyncSession, table: type[Table], **values: Any) -> None:
    """Add a row that is inserted when the transaction commits. All rows of a table must have the same columns."""
    journal: Journal = session.info.setdefault(_JOURNAL, {})
    journal.setdefault(table, []).append(values)


def take(session: AsyncSession) -> Journal:
    """Remove and return the rows that are not written yet, by table, in the order in which they were added."""
    journal: Journal = session.info.pop(_JOURNAL, {})
    return journal
