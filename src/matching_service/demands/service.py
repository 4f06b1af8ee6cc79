"""The rules of demands. Every change writes an audit row and an outbox event in the same transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal, Role
from matching_service.api.bulk import Stored, upsert_each
from matching_service.api.ownership import check_own, owned
from matching_service.audit.service import record_audit
from matching_service.demands.queries import get_contact
from matching_service.demands.schemas import DemandContact, DemandContactBody, DemandCreate, DemandPatch
from matching_service.demands.states import EDITABLE, LIFE, DemandStatus
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Bilingual, Conflict, FieldError, InvalidInput
from matching_service.store.affiliation import Affiliations, check_organization, present_organization
from matching_service.store.base import assign, changed_fields
from matching_service.store.batch import Batch, delete_rows, new_row, write_rows
from matching_service.store.demands import DemandContactRow, DemandRow, DemandTransitionRow
from matching_service.store.imports import forget_records
from matching_service.store.lookup import get_by_ids, id_batches, in_parts, refuse_taken
from matching_service.store.outbox import record_event

_DEMAND = Bilingual("需求", "Demand")
_NOT_COLUMNS = {"organization_external_id", "id", "status"}
_TEXTS = frozenset({"title", "problem", "key_technology", "expected_goal", "keywords", "must_have", "nice_to_have"})


async def create_demand(session: AsyncSession, data: DemandCreate, actor: Principal) -> DemandRow:
    """Create a draft. Raises Conflict for a taken external id, InvalidInput for an end before the start."""
    data = owned(data, actor)
    await refuse_taken(session, DemandRow, data.source, data.external_id, what=_DEMAND)
    row = _new(session, data, _values(data, await Affiliations.load(session, [data], actor.scope)), actor)
    session.add_all((row, _first_transition(row, actor)))
    await session.flush()
    return row


async def update_demand(session: AsyncSession, row: DemandRow, patch: DemandPatch, actor: Principal) -> DemandRow:
    """Change the fields that were sent.

    Raises Conflict if the portal changes frozen text, InvalidInput if the end year is before the start year.
    """
    changes = patch.model_dump(exclude_unset=True)
    if (organization_id := changes.get("organization_id")) is not None:
        changes["organization_id"] = await present_organization(session, organization_id, actor.scope)
    check_organization(changes.get("organization_id", row.organization_id), actor.scope)
    _check_years(changes.get("start_year", row.start_year), changes.get("end_year", row.end_year))
    _update(session, row, changes, actor)
    await session.flush()
    return row


async def upsert_demands(session: AsyncSession, items: Sequence[DemandCreate], actor: Principal) -> list[Stored]:
    """Create or update by (source, external_id), in order. An invalid item is rejected alone."""
    items = [owned(item, actor) for item in items]
    batch = await Batch.load(session, DemandRow, items)
    affiliations = await Affiliations.load(session, items, actor.scope)
    transitions: list[DemandTransitionRow] = []

    def create(item: DemandCreate) -> DemandRow:
        row = _new(session, item, _values(item, affiliations), actor)
        transitions.append(_first_transition(row, actor))
        return row

    def update(row: DemandRow, item: DemandCreate) -> bool:
        check_own(row, item.external_id, actor)
        return _update(session, row, item.sent(_values(item, affiliations)), actor)

    results = await upsert_each(items, batch, create=create, update=update)
    await write_rows(session, DemandRow, batch.rows)
    await write_rows(session, DemandTransitionRow, transitions)
    return results


async def delete_demands(session: AsyncSession, ids: Sequence[str], actor: Principal) -> None:
    """Delete demands with all that belongs to them. Requires the rows to be locked, and that nobody works on them."""
    await delete_rows(session, DemandRow, ids)
    for part in in_parts(ids):
        await forget_records(session, part)
    for demand_id in ids:
        record_audit(session, actor, "delete", entity="demand", entity_id=demand_id)
        record_event(session, "demand.deleted", entity="demand", entity_id=demand_id)


async def delete_demand(session: AsyncSession, row: DemandRow, actor: Principal) -> None:
    """Delete a draft with its contact data. Raises Conflict for a demand in another state."""
    if row.status != DemandStatus.DRAFT:
        state = LIFE.named(DemandStatus(row.status))
        message = Bilingual(
            f"只有草稿可以删除，需求现为 {state}；请改为撤回（变为 withdrawn）。",
            f"Only a draft can be deleted; the demand is {row.status}. Withdraw it instead: a transition to withdrawn.",
        )
        raise Conflict("not_a_draft", message)
    await delete_demands(session, [row.id], actor)


async def read_contact(
    session: AsyncSession, row: DemandRow, actor: Principal, *, purpose: str | None = None
) -> DemandContact:
    """Return the contact data, all null if none is stored, and write an audit row with the purpose."""
    detail = {"purpose": purpose} if purpose is not None else None
    record_audit(session, actor, "read_contact", entity="demand", entity_id=row.id, detail=detail)
    stored = await get_contact(session, row.id)
    return DemandContact() if stored is None else DemandContact.model_validate(stored)


async def write_contact(
    session: AsyncSession, row: DemandRow, contact: DemandContactBody, actor: Principal
) -> DemandContact:
    """Replace the contact data completely."""
    stored = await session.merge(DemandContactRow(demand_id=row.id, **contact.model_dump()))
    row.updated_at = now()  # the demand's version covers its contact data too
    await session.flush()
    record_audit(session, actor, "write_contact", entity="demand", entity_id=row.id)
    return DemandContact.model_validate(stored)


async def complete_contacts(session: AsyncSession, contacts: Mapping[str, Mapping[str, str]], actor: Principal) -> None:
    """Write the fields of contact data that differ, by demand; fields that are not named stay."""
    for ids in id_batches(contacts):
        rows = await get_by_ids(session, DemandRow, ids)
        found = await session.scalars(select(DemandContactRow).where(DemandContactRow.demand_id.in_(ids)))
        stored = {row.demand_id: DemandContact.model_validate(row).model_dump() for row in found}
        for demand_id in ids:
            earlier = stored.get(demand_id, {})
            if any(earlier.get(name) != value for name, value in contacts[demand_id].items()):
                contact = DemandContactBody.model_construct(**{**_NO_CONTACT, **earlier, **contacts[demand_id]})
                await write_contact(session, rows[demand_id], contact, actor)


_NO_CONTACT = dict.fromkeys(DemandContactBody.model_fields)


def _new(session: AsyncSession, data: DemandCreate, values: dict[str, Any], actor: Principal) -> DemandRow:
    row = new_row(DemandRow, values | {"id": data.row_id or new_id(), "status": DemandStatus.DRAFT.value})
    record_audit(session, actor, "create", entity="demand", entity_id=row.id)
    record_event(session, "demand.created", entity="demand", entity_id=row.id)
    return row


def _first_transition(row: DemandRow, actor: Principal) -> DemandTransitionRow:
    return DemandTransitionRow(demand_id=row.id, from_status=None, to_status=row.status, actor_id=actor.id, at=now())


def _update(session: AsyncSession, row: DemandRow, values: dict[str, Any], actor: Principal) -> bool:
    changed = changed_fields(row, values)
    if not changed:
        return False
    _check_editable(row, changed, actor)
    assign(row, values)
    record_audit(session, actor, "update", entity="demand", entity_id=row.id, detail={"fields": changed})
    record_event(session, "demand.updated", entity="demand", entity_id=row.id, detail={"fields": changed})
    return True


def _values(data: DemandCreate, affiliations: Affiliations) -> dict[str, Any]:
    _check_years(data.start_year, data.end_year)
    values = data.model_dump(exclude=_NOT_COLUMNS)
    values["organization_id"] = affiliations.organization_id(data)
    return values


def _check_editable(row: DemandRow, changed: Sequence[str], actor: Principal) -> None:
    """Raise Conflict if the portal changes text outside ``EDITABLE`` states. Staff may change it at any time."""
    if actor.role is not Role.PORTAL or row.status in EDITABLE:
        return
    if frozen := [name for name in changed if name in _TEXTS]:
        message = Bilingual(
            f"需求现为 {LIFE.named(DemandStatus(row.status))}，企业不能修改正文；需先由工作人员退回。",
            f"The demand is {row.status}; the enterprise cannot change its text until staff return it.",
        )
        raise Conflict("text_frozen", message, errors=[FieldError("text_frozen", message, f"/{n}") for n in frozen])


def _check_years(start_year: int | None, end_year: int | None) -> None:
    if start_year is not None and end_year is not None and end_year < start_year:
        message = Bilingual(
            f"结束年份 {end_year} 早于开始年份 {start_year}。",
            f"End year {end_year} is before start year {start_year}.",
        )
        raise InvalidInput.at("/end_year", "end_before_start", message)
