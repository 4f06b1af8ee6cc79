"""Request and response bodies of organizations."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from matching_service.api.fields import (
    Answer,
    Body,
    Clean,
    EntityId,
    Region,
    RowId,
    Text500,
    Text5000,
    Title,
    Topic,
    UpsertBody,
)
from matching_service.organizations.credit_code import is_valid_credit_code

Kind = Literal["enterprise", "university", "institute", "society", "government", "other"]
MAX_EXCLUSIONS = 1_000


def _checked(code: str) -> str:
    if not is_valid_credit_code(code):
        raise PydanticCustomError("credit_code", "not a valid unified social credit code (18 characters, GB 32100)")
    return code


CreditCode = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True), *Clean, AfterValidator(_checked)]

_EXAMPLE: JsonDict = {
    "external_id": "ORG-1",
    "source": "portal",
    "name": "佛山市某精密传动有限公司",
    "kind": "enterprise",
    "credit_code": "91350100M000100Y43",
    "region": "440605",
}
_EXCLUSIONS_EXAMPLE: JsonDict = {
    "items": [
        {"profile_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11", "reason": "合作已终止"},
        {"organization_id": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e12", "reason": "竞争对手的研究院"},
    ]
}


class OrganizationFields(Body):
    credit_code: CreditCode | None = None
    region: Region | None = None
    cluster: Topic | None = None
    introduction: Text500 = None


class OrganizationCreate(UpsertBody, OrganizationFields):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Title
    kind: Kind = "enterprise"


class OrganizationImport(OrganizationCreate):
    """A row of an imported file. It may contain our own id."""

    id: RowId | None = None

    @property
    def row_id(self) -> str | None:
        return self.id


class OrganizationPatch(OrganizationFields):
    """Changes only the fields that are sent; null clears an optional field."""

    name: Title = Field(default="")
    kind: Kind = Field(default="enterprise")


class Organization(Answer):
    id: str
    source: str
    external_id: str | None
    name: str
    kind: str
    credit_code: str | None
    region: str | None
    cluster: str | None
    introduction: str | None
    created_at: datetime
    updated_at: datetime


class NamedOrganization(Answer):
    id: str
    source: str
    external_id: str | None
    name: str
    kind: str
    credit_code: str | None
    region: str | None


class LikeOrganization(BaseModel):
    organization: NamedOrganization
    likeness: float = Field(description="Similarity of the names, in (0, 1].")


class RegisteredOrganization(Organization):
    """A new organization, with those that may be the same one. Merge them by POST /v1/organizations/{id}/merge."""

    similar: list[LikeOrganization] = Field(description="Organizations with a similar name, at most five.")


class LikeOrganizations(BaseModel):
    """Two records that may belong to the same organization."""

    organizations: tuple[NamedOrganization, NamedOrganization]
    likeness: float = Field(description="Similarity of the names, in (0, 1].")


class MergeBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"into": "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"}]})

    into: EntityId = Field(description="Id of the record that remains.")


class ExclusionBody(Body):
    """Either ``profile_id`` or ``organization_id``; the latter excludes all profiles of that organization."""

    profile_id: EntityId | None = None
    organization_id: EntityId | None = None
    reason: Text5000 = None

    @property
    def target(self) -> tuple[str | None, str | None]:
        """The id of the excluded profile and of the excluded organization; one of them is None."""
        return self.profile_id, self.organization_id

    @model_validator(mode="after")
    def _one_target(self) -> "ExclusionBody":
        if (self.profile_id is None) == (self.organization_id is None):
            raise PydanticCustomError("one_target", "give either profile_id or organization_id, not both")
        return self


class ExclusionsBody(Body):
    """The whole list. It replaces the previous one."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXCLUSIONS_EXAMPLE]})

    items: Annotated[list[ExclusionBody], Field(max_length=MAX_EXCLUSIONS)]


class Exclusion(Answer):
    profile_id: str | None
    organization_id: str | None = Field(
        validation_alias="excluded_organization_id", description="The excluded organization."
    )
    reason: str | None
    actor_id: str
    at: datetime
