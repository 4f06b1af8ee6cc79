"""To which organization a demand or a profile belongs, however the sender names it."""

from typing import Protocol

from matching_service.foundation.errors import FieldError, InvalidInput, Text
from matching_service.store.lookup import OrganizationIds


class Affiliated(Protocol):
    """A body that names an organization by our id, or by its own system's id within the same source."""

    source: str
    organization_id: str | None
    organization_external_id: str | None


def resolve_organization(data: Affiliated, organizations: OrganizationIds) -> str | None:
    """Our id of the organization, None when none is named; raises InvalidInput when it does not exist."""
    if data.organization_id is not None:
        if organizations.knows(data.organization_id):
            return data.organization_id
        raise _unknown("organization_id", data.organization_id)
    if data.organization_external_id is not None:
        if (found := organizations.by_external_id(data.source, data.organization_external_id)) is not None:
            return found
        raise _unknown("organization_external_id", data.organization_external_id)
    return None


def _unknown(field: str, value: str) -> InvalidInput:
    message = Text(f"机构 {value} 不存在，请先登记该机构。", f"Organization {value} does not exist; register it first.")
    return InvalidInput(
        "organization_not_found", message, errors=[FieldError("organization_not_found", message, f"/{field}")]
    )
