"""Which room may write the rows of each table, and a watch that sees every write while the suite runs.

The watch looks who called: the nearest frame of a room, passing over ``store``, which writes for others, and libraries.
Writes of tests themselves are theirs. It sees this process alone; servers that tests start are read by
architecture/test_tables.py, as all other source.
"""

import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from types import FrameType
from typing import Any

from sqlalchemy import Delete, Insert, Table, Update, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from matching_service.store import tables
from matching_service.store.base import Table as Row

MOVED_WITH_ORGANIZATIONS = {
    "ClaimRow", "DemandRow", "EngagementRow", "ProfileRow", "ProgrammeRecordRow", "ProjectPartnerRow",
}  # fmt: skip
"""Their rows refer to organizations, and follow one that is merged into another (organizations/merging.py)."""
MAY_WRITE = {
    "AnsweredProfileRow": {"api"},
    "ApiKeyRow": {"access"},
    "AuditRow": {"audit"},
    "ClaimRow": {
        "claims",
        "demands",
        "organizations",
    },  # demands: a demand that leaves the list ends what is still offered (0022)
    "ClaimScoreRow": {"claims"},
    "DeadlineNoticeRow": {"jobs"},
    "DecisionRow": {"shortlists"},
    "DeliveryRow": {"webhooks"},
    "DemandContactRow": {"demands"},
    "DemandRow": {"demands", "feeds", "organizations"},
    "DemandTransitionRow": {"demands"},
    "EmbeddingRow": {"live_index"},
    "EngagementRow": {"engagements", "organizations"},
    "ExclusionRow": {"organizations"},
    "FeedRejectionRow": {"feeds"},
    "FeedRow": {"feeds"},
    "IdempotentAnswerRow": {"api", "jobs"},  # jobs: deletes expired answers
    "ImportRow": {"files"},
    "ImportedRecordRow": {
        "demands",
        "files",
        "organizations",
        "profiles",
        "programme",
    },  # whoever deletes a record erases its former values: store.imports.forget_records
    "MatchListRow": {"shortlists", "runs"},  # runs: a run that begins anew deletes its lists
    "MatchRow": {"shortlists"},
    "MatchRunRow": {"shortlists", "runs"},
    "MilestoneRow": {"projects"},
    "OrganizationRow": {"organizations"},
    "OutboxRow": {"jobs"},  # prunes it; store.outbox alone adds events
    "PrincipalRow": {"access", "feeds"},  # feeds: each source of records is a principal
    "ProfileContactRow": {"profiles"},
    "ProfileRow": {
        "feeds",
        "organizations",
        "profiles",
        "quality",
    },  # quality: rows of files, which never reach a database
    "ProgrammeRecordRow": {"organizations", "programme"},
    "ProjectPartnerRow": {"organizations", "projects"},
    "ProjectRow": {"projects", "demands"},  # demands: the step to contracted opens the project (0022)
    "SuggestionRow": {"suggestions", "demands"},  # demands: a demand that leaves the list closes what waits (0022)
    "SuggestionTransitionRow": {"suggestions", "demands"},
    "WebhookRow": {"webhooks"},
    "WebhookStateRow": {"webhooks"},
    "WorkRow": {"profiles", "quality"},
}

BROKEN: list[tuple[str, str]] = []
"""Room and table of each write against the rule. A fixture fails the test that did it."""
_PASSED_OVER = ("sqlalchemy", "table_rights", "matching_service.store", "importlib", "contextlib", "asyncio")
_COMMITS = "matching_service.store.database"
"""Writes the audit rows and events that rooms have appended to its journal, whoever owns the transaction."""
_CLASSES = {mapper.local_table: mapper.class_.__name__ for mapper in Row.registry.mappers}


def _room() -> str | None:
    """The room that called, or None where a test did."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module == _COMMITS:
            return None
        if not module.startswith(_PASSED_OVER):
            package, _, rest = module.partition(".")
            return rest.partition(".")[0] if package == "matching_service" else None
        frame = frame.f_back
    return None


def _look(table: str) -> None:
    room = _room()
    if room is not None and room not in MAY_WRITE[table]:
        BROKEN.append((room, table))


def _look_at_assignment(row: Any, value: object, _old: object, _initiator: object) -> object:
    _look(type(row).__name__)
    return value


def _watched(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def call(self: Any, what: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(what, Row):
            _look(type(what).__name__)
        elif isinstance(what, Insert | Update | Delete) and isinstance(what.table, Table):
            _look(_CLASSES[what.table])
        return await original(self, what, *arguments, **options)

    return call


def watch() -> None:
    """Watch every assignment to a row, and every statement and deletion through a session or a connection."""
    assert tables
    for mapper in Row.registry.mappers:
        for attribute in mapper.column_attrs:
            column: InstrumentedAttribute[Any] = getattr(mapper.class_, attribute.key)
            event.listen(column, "set", _look_at_assignment)
    for kind, names in (
        (AsyncSession, ("execute", "scalars", "scalar", "delete", "stream")),
        (AsyncConnection, ("execute",)),
    ):
        for name in names:
            setattr(kind, name, _watched(getattr(kind, name)))
