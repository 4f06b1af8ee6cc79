"""Request and response bodies of profiles. Contact data has its own body and is part of no other."""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, computed_field
from pydantic.config import JsonDict

from matching_service.api.fields import (
    Answer,
    Body,
    EntityId,
    ExternalId,
    NotBool,
    Origin,
    Region,
    RowId,
    Text50,
    Text200,
    Text500,
    Text10000,
    Title,
    Topics,
    UpsertBody,
    WorkTitle,
    Year,
)
from matching_service.foundation.errors import Bilingual
from matching_service.store.profiles import HOME

Kind = Literal["expert", "society", "team", "platform", "achievement", "policy"]
Visibility = Literal["public", "restricted", "hidden", "withdrawn"]
WorkKind = Literal["paper", "patent", "project", "standard", "award", "other"]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
LanguageCode = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
MAX_WORKS = 200
KIND_NAMES: Mapping[str, Bilingual] = MappingProxyType(
    {
        "expert": Bilingual("专家", "expert"),
        "society": Bilingual("学会", "society"),
        "team": Bilingual("科技服务团", "team"),
        "platform": Bilingual("科研平台", "platform"),
        "achievement": Bilingual("科技成果", "achievement"),
        "policy": Bilingual("政策", "policy"),
    }
)

_EXAMPLE: JsonDict = {
    "external_id": "A-17",
    "source": "kexie",
    "kind": "expert",
    "name": "卓砺川",
    "summary": "从事精密传动研究，主攻谐波齿轮柔轮疲劳与齿形优化。",
    "keywords": ["谐波传动", "柔轮", "疲劳寿命"],
    "fields": ["机械工程"],
    "region": "440600",
    "title": "教授",
    "clusters": ["智能制造装备及机器人"],
    "capacity": 3,
    "works": [
        {
            "external_id": "w1",
            "kind": "paper",
            "title": "谐波减速器柔轮齿根疲劳寿命预测",
            "abstract": "建立柔轮齿根应力谱，给出裂纹萌生寿命的估计方法。",
            "year": 2024,
        }
    ],
}


class Work(Body):
    model_config = ConfigDict(from_attributes=True)

    external_id: ExternalId | None = None
    kind: WorkKind = "other"
    title: WorkTitle
    abstract: Text10000 = None
    year: Year | None = None


class ProfileFields(Body):
    summary: Text10000 = None
    keywords: Topics = Field(default_factory=list)
    fields: Topics = Field(default_factory=list)
    organization_id: EntityId | None = None
    region: Region | None = None
    country: Country = HOME
    language: LanguageCode = Field(default="zh", description="Language of the texts, ISO 639.")
    title: Text200 = Field(default=None, description="Academic or professional title, such as 教授.")
    honours: Topics = Field(default_factory=list)
    clusters: Topics = Field(default_factory=list)
    capacity: Annotated[int, Field(ge=0, le=1000), NotBool] | None = None
    available_from: date | None = None
    available_until: date | None = None
    visibility: Visibility = Field(
        default="public",
        description="hidden and withdrawn profiles are never ranked; withdrawn: the person withdrew consent.",
    )
    works: Annotated[list[Work], Field(max_length=MAX_WORKS)] = Field(default_factory=list)


class ProfileCreate(UpsertBody, ProfileFields):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    organization_external_id: ExternalId | None = Field(
        default=None, description="The organization by its external_id within the same source."
    )
    kind: Kind
    name: Title


class ProfileImport(ProfileCreate):
    """A row of an imported file. It may contain our own id."""

    id: RowId | None = None

    @property
    def row_id(self) -> str | None:
        return self.id


class ProfilePatch(ProfileFields):
    """Changes only the fields that are sent. ``works`` replaces the whole list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"capacity": 1, "keywords": ["谐波传动"]}]})

    kind: Kind = Field(default="expert")
    name: Title = Field(default="")


class WorkAnswer(Work):
    id: str


class Profile(Answer):
    id: str
    source: str
    external_id: str | None
    kind: str
    name: str
    summary: str | None
    keywords: list[str]
    fields: list[str]
    organization_id: str | None
    region: str | None
    country: str
    language: str
    title: str | None
    honours: list[str]
    clusters: list[str]
    capacity: int | None
    available_from: date | None
    available_until: date | None
    visibility: str
    origin: Origin | None
    works: list[WorkAnswer]
    created_at: datetime
    updated_at: datetime

    @computed_field(description="海智: the country is not CN.")  # type: ignore[prop-decorator]
    @property
    def overseas(self) -> bool:
        return self.country != HOME


class Contact(Body):
    """Contact data of the person. Reading it writes an audit row."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [{"phone": "0757-0000000", "email": "a@example.org"}]}
    )

    phone: Text50 = None
    email: Text200 = None
    address: Text500 = None
