"""Deadlines of open demands.

A published demand expires after its date. A demand without contacts gets a reminder, then a last chance, and is then
abandoned. The job is idempotent, also when several processes run it at once.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import open_demand_ids
from matching_service.demands.states import LIFE, OPEN, DemandStatus, EndReason
from matching_service.demands.transitions import transition_demand
from matching_service.engagements.queries import last_contacts
from matching_service.foundation.clock import day_of, now
from matching_service.foundation.settings import Settings
from matching_service.store.database import Database
from matching_service.store.demands import DeadlineNoticeRow, DemandRow
from matching_service.store.outbox import record_event

logger = logging.getLogger(__name__)
_DEMANDS_PER_TRANSACTION = 100
_LOCK = 0x646561646C696E65  # any constant; the ASCII codes of "deadline"


@dataclass(slots=True)
class DeadlineReport:
    """Ids of demands by what happened to them."""

    expired: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    last_chance: list[str] = field(default_factory=list)
    nudge: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, int]]:
        """Return each outcome with its number of demands."""
        return [(outcome.name, len(getattr(self, outcome.name))) for outcome in fields(self)]


async def meet_deadlines(database: Database, settings: Settings, *, on: date) -> DeadlineReport:
    """Apply all deadlines of that day, with ``_DEMANDS_PER_TRANSACTION`` demands per transaction."""
    report = DeadlineReport()
    async with database.reading() as session:
        ids = await open_demand_ids(session)
    for start in range(0, len(ids), _DEMANDS_PER_TRANSACTION):
        chunk = DeadlineReport()
        async with database.transaction() as session:
            await database.lock(session, _LOCK)
            await _meet(session, ids[start : start + _DEMANDS_PER_TRANSACTION], settings, on, chunk)
        for outcome in fields(report):  # only after the commit
            getattr(report, outcome.name).extend(getattr(chunk, outcome.name))
    logger.info("deadlines_met", extra={f"n_{name}": n for name, n in report.rows()})
    return report


async def _meet(
    session: AsyncSession, ids: Sequence[str], settings: Settings, on: date, report: DeadlineReport
) -> None:
    """Apply the deadlines of some demands. They are read again and locked, because people work on them as well."""
    statement = select(DemandRow).where(DemandRow.id.in_(ids), DemandRow.status.in_(OPEN)).order_by(DemandRow.id)
    demands = (await session.scalars(statement.with_for_update())).all()
    contacts = await last_contacts(session, [demand.id for demand in demands], until=on)
    earlier = await session.scalars(select(DeadlineNoticeRow).where(DeadlineNoticeRow.demand_id.in_(ids)))
    notices = {(notice.demand_id, notice.kind, notice.silent_since) for notice in earlier}
    for demand in demands:
        if demand.status == DemandStatus.PUBLISHED and demand.expires_on is not None and demand.expires_on < on:
            await transition_demand(session, demand, DemandStatus.EXPIRED, actor=COMMAND_LINE)
            report.expired.append(demand.id)
            continue
        published = day_of(demand.published_at or demand.created_at)
        silent_since = max(published, contacts.get(demand.id, published))
        days = (on - silent_since).days
        if days >= settings.abandon_days and not _waits_for_its_date(demand):
            await _abandon(session, demand, days)
            report.abandoned.append(demand.id)
            continue
        kind = "last_chance" if days >= settings.last_chance_days else "nudge" if days >= settings.nudge_days else None
        if kind is not None and (demand.id, kind, silent_since) not in notices:
            session.add(DeadlineNoticeRow(demand_id=demand.id, kind=kind, silent_since=silent_since, at=now()))
            detail = {"days": days, "silent_since": silent_since.isoformat()}
            record_event(session, f"demand.{kind}", entity="demand", entity_id=demand.id, detail=detail)
            getattr(report, kind).append(demand.id)


def _waits_for_its_date(demand: DemandRow) -> bool:
    """Whether the demand is on the board until a date: it may still be claimed, even without a contact."""
    return demand.status == DemandStatus.PUBLISHED and demand.expires_on is not None


async def _abandon(session: AsyncSession, demand: DemandRow, days: int) -> None:
    for to in LIFE.path(DemandStatus(demand.status), DemandStatus.ABANDONED) or ():
        is_end = to is DemandStatus.ABANDONED
        await transition_demand(
            session,
            demand,
            to,
            reason=EndReason.NO_CONTACT if is_end else None,
            opinion=f"{days} 天没有对接记录" if is_end else None,
            actor=COMMAND_LINE,
        )
