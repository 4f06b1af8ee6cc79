"""Bodies and answers of match runs."""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from matching_service.api.fields import (
    Answer,
    Body,
)


class RunBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"scope": "open"}, {"scope": "changed"}]})

    scope: Literal["open", "changed"] = Field(
        default="open",
        description="open: all open demands. changed: those that changed since the last run, or whose list would be "
        "another because of a profile that did; the others keep theirs.",
    )


class Run(Answer):
    id: str
    scope: str = Field(description="open, changed, or demand: one list that was asked for by hand.")
    state: str = Field(description="running, finished, cancelled or failed.")
    created_at: datetime
    finished_at: datetime | None
    heartbeat_at: datetime | None = Field(description="When it last stored lists.")
    is_interrupted: bool = Field(
        default=False, description="It is running, but the process that ranked is gone: resume or cancel it."
    )
    remaining_s: float | None = Field(
        default=None, description="Estimated by its pace so far; null while nothing is known, and when it has ended."
    )
    estimated_finish_at: datetime | None = None
    n_demands: int
    n_done: int = Field(description="Demands that were ranked.")
    n_kept: int = Field(description="Demands that keep their list, because nothing that concerns them changed.")
    n_failed: int
    top_k: int
    index_version: str
    index_as_of: int
    lexicon_version: str
    encoder_version: str
    weights_version: str
    frequencies_version: str | None = Field(description="Names the word counts that rarity rests on.")
    stability: float | None


class FailedDemand(Answer):
    demand_id: str
    error: str
