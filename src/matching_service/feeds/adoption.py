"""Items of another service's feed as records of ours: known by where they came from, and never handed on.

A record is stored under ``source`` ``feed:<name>`` with the other service's id as its external id; ``origin`` keeps
what it is called there. What came from a feed is not in ours (``representations``), and what the other service imported
itself is passed over, so that records do not travel in circles.

Of a demand's life only this is taken over: it is published here while it is open there, and ends when it ends there.
Contracts and projects are made where the enterprise is. Whether a record may be seen is decided here once it is stored:
an import shows again only what an import took away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal, Role
from matching_service.api.bulk import Stored, parse_items
from matching_service.api.fields import ExternalId
from matching_service.api.problems import field_errors
from matching_service.demands.schemas import DemandImport, DemandPatch
from matching_service.demands.service import update_demand, upsert_demands
from matching_service.demands.states import LIFE, OPEN, DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.disclosure.mapping import Mapped
from matching_service.foundation.clock import now
from matching_service.foundation.errors import FieldError
from matching_service.organizations.schemas import OrganizationImport
from matching_service.organizations.service import upsert_organizations
from matching_service.profiles.schemas import ProfileImport, ProfilePatch, Work
from matching_service.profiles.service import update_profile, upsert_profiles
from matching_service.store.demands import DemandRow
from matching_service.store.feeds import FeedRejectionRow, FeedRow
from matching_service.store.lookup import get_by_ids, rows_by_external_id
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import NEVER_MATCHED, ProfileRow

_DECIDED_HERE = frozenset({"id", "source", "external_id", "organization_id", "organization_external_id", "visibility"})
_MAX_NAME = 100
_ENDS = (DemandStatus.EXPIRED, DemandStatus.ABANDONED)


@dataclass(frozen=True, slots=True)
class RejectedItem:
    """An item that was not stored, and why; ``place`` counts all items of an import from 0."""

    place: int
    entity: str
    entity_id: str
    errors: tuple[FieldError, ...]


@dataclass(slots=True)
class FeedReport:
    """Counts by outcome, and every item that was refused.

    skipped : of a kind that is not imported, or what the other service imported itself.
    """

    n_items: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: int = 0
    rejected: list[RejectedItem] = field(default_factory=list)


class _Item(BaseModel):
    entity: Annotated[str, Field(max_length=50)]
    entity_id: ExternalId
    deleted: bool = False
    data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Record:
    """A demand or profile of a feed: where its item stood, the item, and its data in our words; None: to be removed."""

    place: int
    raw: Any
    entity: str
    id: str
    data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of record is stored, and with which visibility it is taken away."""

    table: Any
    model: type[BaseModel]
    upsert: Any
    hidden: str


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "demand": _Kind(DemandRow, DemandImport, upsert_demands, "restricted"),
        "profile": _Kind(ProfileRow, ProfileImport, upsert_profiles, "hidden"),
    }
)


def actor_of(feed_name: str) -> Principal:
    """The principal in whose name the items of a feed are stored."""
    return Principal(f"feed:{feed_name}", f"feed {feed_name}", Role.ADMIN)


async def adopt_items(
    session: AsyncSession, feed: FeedRow, items: Sequence[Any], *, mapping: Mapped | None, report: FeedReport
) -> None:
    """Store one page of items; those that cannot be stored are kept for the next import, and stop no other."""
    actor = actor_of(feed.name)
    records: dict[tuple[str, str], _Record] = {}
    for place, raw in enumerate(items, start=report.n_items):
        try:
            record = _read(place, raw, mapping)
        except ValidationError as error:  # it has no name under which it could be kept
            report.rejected.append(RejectedItem(place, "", "", tuple(field_errors(error.errors(include_url=False)))))
            continue
        if record is None:
            report.skipped += 1
        else:
            records[record.entity, record.id] = record  # of two in one page the later counts
    report.n_items += len(items)
    refused: list[RejectedItem] = []
    for entity, kind in _KINDS.items():
        chosen = [record for record in records.values() if record.entity == entity]
        report.removed += await _remove(
            session, feed, kind, [record for record in chosen if record.data is None], actor
        )
        wanted = [record for record in chosen if record.data is not None]
        for record, outcome in zip(wanted, await _store(session, feed, kind, wanted, actor), strict=True):
            if outcome.status == "invalid":
                refused.append(RejectedItem(record.place, entity, record.id, outcome.errors))
            else:
                setattr(report, outcome.status, getattr(report, outcome.status) + 1)
    report.rejected += refused
    await _keep_refused(session, feed, records, refused)


def _read(place: int, raw: Any, mapping: Mapped | None) -> _Record | None:
    """The item in our words; None for what is not imported. Raises ValidationError for what is no item."""
    item = _Item.model_validate(raw)
    if item.entity not in _KINDS:
        return None
    if item.deleted:
        return _Record(place, raw, item.entity, item.entity_id, None)
    if item.data is None or item.data.get("origin") or (mapping is not None and item.entity not in mapping):
        return None
    data = item.data if mapping is None else mapping[item.entity].inward(item.data)
    return _Record(place, raw, item.entity, item.entity_id, data)


async def _remove(
    session: AsyncSession, feed: FeedRow, kind: _Kind, records: Sequence[_Record], actor: Principal
) -> int:
    """Take away what was taken back there; returns how many were there to take away.

    Rows stay, because lists, decisions and contacts hang on them: a profile is hidden, a demand restricted and ended.
    """
    n_removed = 0
    for row in await session.scalars(select(kind.table).where(*_are(feed, kind, records)).order_by(kind.table.id)):
        is_changed = False
        if row.visibility not in {kind.hidden, *NEVER_MATCHED}:
            row.origin = (row.origin or {}) | {"removed": True, "visibility": row.visibility}
            if isinstance(row, DemandRow):
                await update_demand(session, row, DemandPatch(visibility="restricted"), actor)
            else:
                await update_profile(session, row, ProfilePatch(visibility="hidden"), actor)
            is_changed = True
        if isinstance(row, DemandRow):
            is_changed |= await _end(session, row, actor)
        n_removed += is_changed
    return n_removed


async def _store(
    session: AsyncSession, feed: FeedRow, kind: _Kind, records: Sequence[_Record], actor: Principal
) -> list[Stored]:
    """Create or update records, their organizations first; one outcome for each."""
    columns = select(kind.table.external_id, kind.table.visibility, kind.table.origin)
    present = {row.external_id: row for row in await session.execute(columns.where(*_are(feed, kind, records)))}
    links = await _link_organizations(session, feed, records, actor)
    linked = [(record, link) for record, link in zip(records, links, strict=True) if not isinstance(link, Stored)]
    bodies = [_body(feed, kind, record, present.get(record.id)) | link for record, link in linked]
    parsed = parse_items(bodies, kind.model)
    results = iter(parsed.merge(await kind.upsert(session, parsed.items, actor)))
    outcomes = [link if isinstance(link, Stored) else next(results) for link in links]
    rows = await get_by_ids(session, kind.table, (o.id for o in outcomes if o.id is not None and o.status != "invalid"))
    for place, (record, outcome) in enumerate(zip(records, outcomes, strict=True)):
        if (row := rows.get(outcome.id or "")) is not None:
            is_changed = _note_origin(feed, record, row)
            if isinstance(row, DemandRow):
                is_changed |= await _follow(session, row, actor)
            if is_changed and outcome.status == "unchanged":
                outcomes[place] = Stored("updated", outcome.id)
    await session.flush()
    return outcomes


def _body(feed: FeedRow, kind: _Kind, record: _Record, row: Any) -> dict[str, Any]:
    """What the record says, as the body of an import; fields that this program does not know are left out."""
    data = record.data or {}
    body = {name: data[name] for name in kind.model.model_fields.keys() & data.keys() - _DECIDED_HERE}
    if isinstance(works := body.get("works"), list):
        known = Work.model_fields.keys()
        body["works"] = [
            {name: work[name] for name in known & work.keys()} if isinstance(work, dict) else work for work in works
        ]
    origin = (row.origin or {}) if row is not None else {}
    if origin.get("removed") and row.visibility == kind.hidden:
        body["visibility"] = origin["visibility"]  # it was taken back there, and is given again
    return body | {"source": _source(feed), "external_id": record.id}


def _note_origin(feed: FeedRow, record: _Record, row: Any) -> bool:
    """Keep what the record is called there; returns whether that is new."""
    data = record.data or {}
    origin = {"feed": feed.name, "id": record.id} | {
        name: str(value)[:_MAX_NAME]
        for name in ("source", "external_id", "status")
        if (value := data.get(name)) is not None
    }
    is_changed = bool(row.origin != origin)
    row.origin = origin
    return is_changed


async def _follow(session: AsyncSession, row: DemandRow, actor: Principal) -> bool:
    """Publish a demand that is open there, end one that has ended there; one that goes its own way here stays."""
    there = (row.origin or {}).get("status", DemandStatus.PUBLISHED)
    current = DemandStatus(row.status)
    if there in OPEN:
        can_be_published = bool(LIFE.path(current, DemandStatus.PUBLISHED))
        return can_be_published and await adopt_status(session, row, DemandStatus.PUBLISHED, actor=actor)
    is_before = LIFE.path(DemandStatus(there), DemandStatus.PUBLISHED) is not None
    return False if is_before else await _end(session, row, actor)


async def _end(session: AsyncSession, row: DemandRow, actor: Principal) -> bool:
    """End a demand that is open here without a contract; returns whether it was."""
    if DemandStatus(row.status) not in OPEN:
        return False
    end = next(end for end in _ENDS if LIFE.path(DemandStatus(row.status), end) is not None)
    return await adopt_status(session, row, end, actor=actor)


async def _link_organizations(
    session: AsyncSession, feed: FeedRow, records: Sequence[_Record], actor: Principal
) -> list[dict[str, Any] | Stored]:
    """For each record the reference to its organization, empty where it names none, or why that is refused.

    An organization that is known by its credit code is that organization; others are stored as the feed's.
    """
    source = _source(feed)
    bodies: dict[str, dict[str, Any]] = {}
    names: list[str | None] = []
    for record in records:
        given = (record.data or {}).get("organization")
        name = given.get("id") or given.get("credit_code") or given.get("name") if isinstance(given, dict) else None
        names.append(str(name) if name else None)
        if name and isinstance(given, dict):
            wanted = OrganizationImport.model_fields.keys() & given.keys() - _DECIDED_HERE
            body = {key: given[key] for key in wanted if given[key] is not None}
            bodies[str(name)] = body | {"source": source, "external_id": str(name)}
    parsed = parse_items(list(bodies.values()), OrganizationImport)
    known = await _known_organizations(session, source, parsed.items)
    unknown = [item for item, row_id in zip(parsed.items, known, strict=True) if row_id is None]
    stored = iter(await upsert_organizations(session, unknown, actor))
    results = parsed.merge([Stored("unchanged", row_id) if row_id is not None else next(stored) for row_id in known])
    outcomes = dict(zip(bodies, results, strict=True))
    return [
        _link(record, outcomes[name] if name is not None else None) for record, name in zip(records, names, strict=True)
    ]


def _link(record: _Record, organization: Stored | None) -> dict[str, Any] | Stored:
    if organization is None:
        return {"organization_id": None} if "organization" in (record.data or {}) else {}
    if organization.status == "invalid":
        errors = (FieldError(e.code, e.message, f"/organization{e.pointer}") for e in organization.errors)
        return Stored("invalid", errors=tuple(errors))
    return {"organization_id": organization.id}


async def _known_organizations(
    session: AsyncSession, source: str, items: Sequence[OrganizationImport]
) -> list[str | None]:
    """For each our id, where another record stands for it: one with its credit code, or into which it was merged."""
    codes = {item.credit_code for item in items if item.credit_code}
    by_code = {
        row.credit_code: row
        for row in await session.scalars(select(OrganizationRow).where(OrganizationRow.credit_code.in_(codes)))
    }
    keys = [(source, item.external_id) for item in items if item.external_id is not None]
    own = await rows_by_external_id(session, OrganizationRow, keys)
    known: list[str | None] = []
    for item in items:
        row, owner = own.get((source, item.external_id or "")), by_code.get(item.credit_code)
        if row is not None and row.merged_into is not None:
            known.append(row.merged_into)
        else:
            known.append(owner.id if owner is not None and owner is not row else None)
    return known


async def _keep_refused(
    session: AsyncSession,
    feed: FeedRow,
    records: Mapping[tuple[str, str], _Record],
    refused: Sequence[RejectedItem],
) -> None:
    """Keep what was refused, for the next import; forget what was refused before and is not now."""
    if records:
        spoken_of = tuple_(FeedRejectionRow.entity, FeedRejectionRow.entity_id).in_(list(records))
        await session.execute(delete(FeedRejectionRow).where(FeedRejectionRow.feed_id == feed.id, spoken_of))
    session.add_all(
        FeedRejectionRow(
            feed_id=feed.id,
            entity=item.entity,
            entity_id=item.entity_id,
            item=records[item.entity, item.entity_id].raw,
            errors=[{"code": e.code, "message": e.message.zh, "pointer": e.pointer} for e in item.errors],
            at=now(),
        )
        for item in refused
    )


def _are(feed: FeedRow, kind: _Kind, records: Sequence[_Record]) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which a row is what is stored of one of the records."""
    return kind.table.source == _source(feed), kind.table.external_id.in_([record.id for record in records])


def _source(feed: FeedRow) -> str:
    return f"feed:{feed.name}"
