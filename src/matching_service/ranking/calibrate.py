"""Levels: scores in words."""

from dataclasses import dataclass
from typing import Literal

from matching_service.foundation.errors import Bilingual

Level = Literal["strong", "related", "weak", "none"]


@dataclass(frozen=True, slots=True)
class LevelFloors:
    """The lowest score of each level, in [0, 1]; scores below ``weak`` have the level "none".

    Floors belong to weights, because other weights spread scores differently. A level is a promise about how people
    judge such pairs; docs/quality.md checks it by cross-validation.
    """

    strong: float = 0.52
    related: float = 0.34
    weak: float = 0.16

    def __post_init__(self) -> None:
        if not 0 < self.weak <= self.related <= self.strong < 1:
            raise ValueError("floors must rise from weak to strong, within (0, 1)")

    def level_of(self, score: float) -> Level:
        """The level of a score in [0, 1]."""
        if score >= self.strong:
            return "strong"
        if score >= self.related:
            return "related"
        return "weak" if score >= self.weak else "none"


DEFAULT_FLOORS = LevelFloors()

LEVEL_NAMES: dict[Level, Bilingual] = {
    "strong": Bilingual("强相关", "strong"),
    "related": Bilingual("较强相关", "related"),
    "weak": Bilingual("弱相关", "weak"),
    "none": Bilingual("无相关", "none"),
}
