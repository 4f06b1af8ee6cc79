"""The plan in a TOML file that the operator writes: the targets, their counting rules, and districts and clusters."""

import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from matching_service.api.fields import Region, Title, Topic
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput, NotFound
from matching_service.programme.schemas import Kind

_SHIPPED = Path(__file__).parent / "targets.toml"
_Number = Annotated[int, Field(ge=1, le=10_000_000)]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
UNKNOWN = "未注明"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedTarget(_Frozen):
    label: Title
    counts: Kind | Literal["enterprises_served"]
    how: Literal["standing", "begun"]
    plan: _Number
    districts: dict[Region, _Number] = Field(default_factory=dict)
    clusters: dict[Topic, _Number] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _served_enterprises_are_begun(self) -> Self:
        if self.counts == "enterprises_served" and self.how != "begun":
            raise ValueError('enterprises_served requires how = "begun"')
        return self


class Plan(_Frozen):
    """``districts`` maps region codes to names. Answers keep the order of districts and clusters."""

    first_day: date
    last_day: date
    clusters: list[Topic] = Field(default_factory=list)
    districts: dict[Region, Topic] = Field(default_factory=dict)
    targets: Annotated[dict[_Name, PlannedTarget], Field(min_length=1)]

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.last_day < self.first_day:
            raise ValueError("last_day is before first_day")
        return self

    def district(self, region: str | None) -> str:
        """Return the name of a region code, or the code itself if the plan does not list it."""
        return UNKNOWN if region is None else self.districts.get(region, region)


def in_plan_order(keys: Iterable[str | None], known: Iterable[str]) -> list[str | None]:
    """Return all ``known`` keys in their order, then the other ``keys`` sorted, then None if it is one of them."""
    others = set(keys) - set(known := list(known))
    return [*known, *sorted(key for key in others if key is not None), *([None] if None in others else [])]


def load_plan(path: Path | None) -> Plan:
    """Load the plan from ``path``, by default the one that ships. Raises InvalidInput that names every mistake."""
    path = path or _SHIPPED
    try:
        with path.open("rb") as file:
            return Plan.model_validate(tomllib.load(file))
    except ValidationError as error:
        mistakes = [f"[{'.'.join(str(part) for part in detail['loc'])}] {detail['msg']}" for detail in error.errors()]
        raise _invalid(path, mistakes) from error
    except (OSError, ValueError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise _invalid(path, [str(error)]) from error


def find_target(plan: Plan, name: str) -> PlannedTarget:
    """Return the target of this name. Raises NotFound that lists the existing targets."""
    if name in plan.targets:
        return plan.targets[name]
    known = ", ".join(plan.targets)
    message = Bilingual(
        f"没有名为 {name} 的目标；现有：{known}。", f"There is no target {name}; the targets are: {known}."
    )
    raise NotFound("target_not_found", message)


def _invalid(path: Path, mistakes: list[str]) -> InvalidInput:
    reasons = "；".join(mistakes)
    return InvalidInput(
        "plan_invalid",
        Bilingual(f"目标文件 {path} 有误：{reasons}", f"The plan {path} is invalid: {reasons}"),
        errors=[FieldError("plan_invalid", Bilingual(mistake, mistake), "") for mistake in mistakes],
    )
