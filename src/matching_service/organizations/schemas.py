"""Bodies and answers of organizations."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from matching_service.api.fields import Answer, Body, Clean, Region, RowId, Text500, Title, UpsertBody
from matching_service.organizations.credit_code import is_valid_credit_code

Kind = Literal["enterprise", "university", "institute", "society", "government", "other"]


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


class OrganizationFields(Body):
    credit_code: CreditCode | None = None
    region: Region | None = None
    introduction: Text500 = None


class OrganizationCreate(UpsertBody, OrganizationFields):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Title
    kind: Kind = "enterprise"


class OrganizationImport(OrganizationCreate):
    """A row of a file, which may also hold our own id."""

    id: RowId | None = None

    @property
    def row_id(self) -> str | None:
        return self.id


class OrganizationPatch(OrganizationFields):
    """Only the fields that are sent are changed; null empties an optional one."""

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
    introduction: str | None
    created_at: datetime
    updated_at: datetime
