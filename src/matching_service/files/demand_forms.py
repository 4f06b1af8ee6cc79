"""A stored demand as the form that offices fill in, so that what goes out can come in again."""

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Response
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import POLICIES, Action, Principal
from matching_service.api.deps import Permit, Purpose, WriteSession
from matching_service.demands.queries import get_demand
from matching_service.demands.service import read_contact
from matching_service.files.downloads import download, file_answer
from matching_service.files.exports import exported_values
from matching_service.files.forms import CONTACT
from matching_service.files.headings import FORMS, ORGANIZATION_NAME
from matching_service.store.organizations import OrganizationRow

router = APIRouter(prefix="/v1/demands", tags=["demands"])

_NAME = "技术需求征集表"
CanRead = Depends(Permit(Action.DEMAND_READ))


@router.get("/{demand_id}/form.docx", **file_answer("docx", 404))
async def read_demand_form(
    demand_id: str, session: WriteSession, principal: Principal = CanRead, purpose: Purpose = None
) -> Response:
    """Return a demand as the form 技术需求征集表 in Word, which `import demands` reads again.

    It holds contact data for those who may read it, with an audit row.
    """
    from matching_service.files.blank_forms import demand_form_docx  # noqa: PLC0415  # slow to import

    values = await form_values(session, demand_id, principal, purpose)
    content = await to_thread.run_sync(demand_form_docx, values)
    return download(content, "docx", _NAME, plain="demand-form", is_secret=True)


@router.get("/{demand_id}/form.xlsx", **file_answer("xlsx", 404))
async def read_demand_form_sheet(
    demand_id: str, session: WriteSession, principal: Principal = CanRead, purpose: Purpose = None
) -> Response:
    """Return a demand as the form 技术需求征集表 in a workbook, as `form.docx`."""
    from matching_service.files.blank_forms import demand_form_xlsx  # noqa: PLC0415  # slow to import

    values = await form_values(session, demand_id, principal, purpose)
    content = await to_thread.run_sync(demand_form_xlsx, values)
    return download(content, "xlsx", _NAME, plain="demand-form", is_secret=True)


async def form_values(
    session: AsyncSession, demand_id: str, principal: Principal, purpose: str | None
) -> dict[str, Any]:
    """Return the values of a demand by the names of ``forms.FORM_LABELS``. Raises NotFound."""
    demand = await get_demand(session, demand_id, scope=principal.scope)
    values = exported_values(demand, list(FORMS["demands"].model.model_fields), {})
    if demand.organization_id is not None:
        organization = await session.get(OrganizationRow, demand.organization_id)
        values[ORGANIZATION_NAME] = organization.name if organization is not None else None
    if principal.role in POLICIES[Action.DEMAND_CONTACT_READ]:
        contact = await read_contact(session, demand, principal, purpose=purpose)
        values |= {field: getattr(contact, name) for field, name in CONTACT.items()}
    return values
