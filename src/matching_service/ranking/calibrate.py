"""What a score means in words."""

from typing import Literal

from matching_service.foundation.errors import Text

Level = Literal["strong", "related", "weak", "none"]

_FLOORS: tuple[tuple[float, Level], ...] = (
    (0.55, "strong"),
    (0.38, "related"),
    (0.18, "weak"),
)
"""Read off the judged pairs; docs/quality.md shows how judges graded the pairs of each level."""

LEVEL_NAMES: dict[Level, Text] = {
    "strong": Text("强相关", "strong"),
    "related": Text("较强相关", "related"),
    "weak": Text("弱相关", "weak"),
    "none": Text("无相关", "none"),
}


def level_of(score: float) -> Level:
    """The level of a score in [0, 1]."""
    return next((level for floor, level in _FLOORS if score >= floor), "none")
