"""The public view of a demand: without organization, contact data and opinions."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from matching_service.api.fields import Answer


class BoardDemand(Answer):
    id: str
    status: Literal["published", "matching"]
    title: str
    problem: str | None
    key_technology: str | None
    expected_goal: str | None
    keywords: list[str]
    must_have: list[str]
    nice_to_have: list[str]
    region: str | None
    cluster: str | None
    field: str | None
    industry_code: str | None
    funding_wan: float | None
    start_year: int | None
    end_year: int | None
    cooperation: str | None
    wanted_partners: list[str]
    published_at: datetime
    updated_at: datetime | None = Field(default=None, description="When it last changed.")
    expires_on: date | None = Field(description="The last day on which it can be claimed.")
