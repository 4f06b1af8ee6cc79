"""Store the items of another service's feed as our own records.

A record has ``source`` ``feed:<name>`` and the other service's id as its external id. ``origin`` keeps its names there.
Imported records are not part of our own public feed (``representations``), and records that the other service imported
itself are skipped, so that records do not travel in circles.

Only part of a demand's life is followed: it is published here while it is open there, and ends here when it ends there.
Contracts and projects are made where the enterprise is. Visibility is decided here once a record is stored: an import
restores it only if an import had taken it away.
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
    """An item that was not stored, with its errors. ``place`` is its index among all items of an import."""

    place: int
    entity: str
    entity_id: str
    errors: tuple[FieldError, ...]


@dataclass(slots=True)
class FeedReport:
    """Numbers of items by outcome, and the rejected items.

    skipped : items of entities that are not imported, and records that the other service imported itself.
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
    """A demand or profile of a feed.

    place : index of its item among all items of the import.
    raw : the item as it was received.
    data : its data under our field names; None: the record was deleted there.
    """

    place: int
    raw: Any
    entity: str
    id: str
    data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of record is stored. ``hidden`` is the visibility that hides a removed record."""

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
    """Store one page of items. A rejected item does not stop the others; it is kept for the next import."""
    actor = actor_of(feed.name)
    records: dict[tuple[str, str], _Record] = {}
    for place, raw in enumerate(items, start=report.n_items):
        try:
            record = _read(place, raw, mapping)
        except ValidationError as error:  # without an id it cannot be kept for the next import
            report.rejected.append(RejectedItem(place, "", "", tuple(field_errors(error.errors(include_url=False)))))
            continue
        if record is None:
            report.skipped += 1
        else:
            records[record.entity, record.id] = record  # a later item on the page replaces an earlier one
    report.n_items += len(items)
    rejected: list[RejectedItem] = []
    for entity, kind in _KINDS.items():
        of_kind = [record for record in records.values() if record.entity == entity]
        deleted = [record for record in of_kind if record.data is None]
        report.removed += await _remove(session, feed, kind, deleted, actor)
        present = [record for record in of_kind if record.data is not None]
        for record, outcome in zip(present, await _store(session, feed, kind, present, actor), strict=True):
            if outcome.status == "invalid":
                rejected.append(RejectedItem(record.place, entity, record.id, outcome.errors))
            else:
                setattr(report, outcome.status, getattr(report, outcome.status) + 1)
    report.rejected += rejected
    await _keep_rejected(session, feed, records, rejected)


def _read(place: int, raw: Any, mapping: Mapped | None) -> _Record | None:
    """Parse an item and translate its data. Returns None if it is not to be imported. Raises ValidationError."""
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
    """Hide the stored rows of records that were deleted there. Returns the number of rows changed.

    Rows are not deleted, because lists, decisions and contacts refer to them: a profile becomes hidden, a demand
    becomes restricted and ends.
    """
    n_removed = 0
    conditions = _conditions_for(feed, kind, records)
    for row in await session.scalars(select(kind.table).where(*conditions).order_by(kind.table.id)):
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
    """Create or update records, their organizations first. Returns one outcome per record."""
    columns = select(kind.table.external_id, kind.table.visibility, kind.table.origin)
    stored_rows = await session.execute(columns.where(*_conditions_for(feed, kind, records)))
    stored = {row.external_id: row for row in stored_rows}
    links = await _link_organizations(session, feed, records, actor)
    linked = [(record, link) for record, link in zip(records, links, strict=True) if not isinstance(link, Stored)]
    bodies = [_body(feed, kind, record, stored.get(record.id)) | link for record, link in linked]
    parsed = parse_items(bodies, kind.model)
    results = iter(parsed.merge(await kind.upsert(session, parsed.items, actor)))
    outcomes = [link if isinstance(link, Stored) else next(results) for link in links]
    rows = await get_by_ids(session, kind.table, (o.id for o in outcomes if o.id is not None and o.status != "invalid"))
    for i, (record, outcome) in enumerate(zip(records, outcomes, strict=True)):
        if (row := rows.get(outcome.id or "")) is not None:
            is_changed = _set_origin(feed, record, row)
            if isinstance(row, DemandRow):
                is_changed |= await _follow_status(session, row, actor)
            if is_changed and outcome.status == "unchanged":
                outcomes[i] = Stored("updated", outcome.id)
    await session.flush()
    return outcomes


def _body(feed: FeedRow, kind: _Kind, record: _Record, row: Any) -> dict[str, Any]:
    """Return the data of the record as the body of an import, without fields that this program does not know."""
    data = record.data or {}
    body = {name: data[name] for name in kind.model.model_fields.keys() & data.keys() - _DECIDED_HERE}
    if isinstance(works := body.get("works"), list):
        fields = Work.model_fields.keys()
        body["works"] = [
            {name: work[name] for name in fields & work.keys()} if isinstance(work, dict) else work for work in works
        ]
    origin = (row.origin or {}) if row is not None else {}
    if origin.get("removed") and row.visibility == kind.hidden:
        body["visibility"] = origin["visibility"]  # it was deleted there before, and is back now
    return body | {"source": _source(feed), "external_id": record.id}


def _set_origin(feed: FeedRow, record: _Record, row: Any) -> bool:
    """Store the names and the state of the record in the other service. Returns whether they changed."""
    data = record.data or {}
    origin = {"feed": feed.name, "id": record.id} | {
        name: str(value)[:_MAX_NAME]
        for name in ("source", "external_id", "status")
        if (value := data.get(name)) is not None
    }
    is_changed = bool(row.origin != origin)
    row.origin = origin
    return is_changed


async def _follow_status(session: AsyncSession, row: DemandRow, actor: Principal) -> bool:
    """Publish a demand that is open there; end one that has ended there. Returns whether the state changed.

    A demand that is past publication here, for example under contract, keeps its state.
    """
    remote = (row.origin or {}).get("status", DemandStatus.PUBLISHED)
    current = DemandStatus(row.status)
    if remote in OPEN:
        can_be_published = bool(LIFE.path(current, DemandStatus.PUBLISHED))
        return can_be_published and await adopt_status(session, row, DemandStatus.PUBLISHED, actor=actor)
    is_unpublished = LIFE.path(DemandStatus(remote), DemandStatus.PUBLISHED) is not None
    return False if is_unpublished else await _end(session, row, actor)


async def _end(session: AsyncSession, row: DemandRow, actor: Principal) -> bool:
    """End a demand if it is open here. Returns whether it was."""
    if DemandStatus(row.status) not in OPEN:
        return False
    end = next(end for end in _ENDS if LIFE.path(DemandStatus(row.status), end) is not None)
    return await adopt_status(session, row, end, actor=actor)


async def _link_organizations(
    session: AsyncSession, feed: FeedRow, records: Sequence[_Record], actor: Principal
) -> list[dict[str, Any] | Stored]:
    """Return, for each record, the field that refers to its organization, or the reason why that is rejected.

    The dict is empty if the record says nothing about an organization. An organization with a known credit code is
    reused; others are stored with the source of the feed.
    """
    source = _source(feed)
    bodies: dict[str, dict[str, Any]] = {}
    names: list[str | None] = []
    for record in records:
        given = (record.data or {}).get("organization")
        name = given.get("id") or given.get("credit_code") or given.get("name") if isinstance(given, dict) else None
        names.append(str(name) if name else None)
        if name and isinstance(given, dict):
            fields = OrganizationImport.model_fields.keys() & given.keys() - _DECIDED_HERE
            body = {key: given[key] for key in fields if given[key] is not None}
            bodies[str(name)] = body | {"source": source, "external_id": str(name)}
    parsed = parse_items(list(bodies.values()), OrganizationImport)
    reused = await _existing_organizations(session, source, parsed.items)
    others = [item for item, row_id in zip(parsed.items, reused, strict=True) if row_id is None]
    stored = iter(await upsert_organizations(session, others, actor))
    results = parsed.merge([Stored("unchanged", row_id) if row_id is not None else next(stored) for row_id in reused])
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


async def _existing_organizations(
    session: AsyncSession, source: str, items: Sequence[OrganizationImport]
) -> list[str | None]:
    """Return, for each item, the id of another record that represents it, or None.

    That is the record with its credit code, or the record into which the feed's own one was merged.
    """
    codes = {item.credit_code for item in items if item.credit_code}
    by_code = {
        row.credit_code: row
        for row in await session.scalars(select(OrganizationRow).where(OrganizationRow.credit_code.in_(codes)))
    }
    keys = [(source, item.external_id) for item in items if item.external_id is not None]
    own = await rows_by_external_id(session, OrganizationRow, keys)
    ids: list[str | None] = []
    for item in items:
        row, owner = own.get((source, item.external_id or "")), by_code.get(item.credit_code)
        if row is not None and row.merged_into is not None:
            ids.append(row.merged_into)
        else:
            ids.append(owner.id if owner is not None and owner is not row else None)
    return ids


async def _keep_rejected(
    session: AsyncSession,
    feed: FeedRow,
    records: Mapping[tuple[str, str], _Record],
    rejected: Sequence[RejectedItem],
) -> None:
    """Store the rejected items for the next import. Earlier rejections of the same records are deleted."""
    if records:
        is_of_records = tuple_(FeedRejectionRow.entity, FeedRejectionRow.entity_id).in_(list(records))
        await session.execute(delete(FeedRejectionRow).where(FeedRejectionRow.feed_id == feed.id, is_of_records))
    session.add_all(
        FeedRejectionRow(
            feed_id=feed.id,
            entity=item.entity,
            entity_id=item.entity_id,
            item=records[item.entity, item.entity_id].raw,
            errors=[{"code": e.code, "message": e.message.zh, "pointer": e.pointer} for e in item.errors],
            at=now(),
        )
        for item in rejected
    )


def _conditions_for(feed: FeedRow, kind: _Kind, records: Sequence[_Record]) -> tuple[ColumnElement[bool], ...]:
    """SQL conditions that match the stored rows of these records."""
    return kind.table.source == _source(feed), kind.table.external_id.in_([record.id for record in records])


def _source(feed: FeedRow) -> str:
    return f"feed:{feed.name}"
