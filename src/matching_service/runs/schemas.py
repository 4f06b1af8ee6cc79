"""Request and response bodies of match runs."""

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
        description="open: rank all open demands. changed: rank only demands that changed since the last run, or whose "
        "list would differ because profiles changed; the others keep their list.",
    )


class Run(Answer):
    id: str
    scope: str = Field(description="open, changed, or demand (one list, requested by hand).")
    state: str = Field(description="running, finished, cancelled or failed.")
    created_at: datetime
    finished_at: datetime | None
    heartbeat_at: datetime | None = Field(description="The last time that lists were stored.")
    is_interrupted: bool = Field(
        default=False, description="The run has not ended, but its process is gone: resume or cancel it."
    )
    remaining_s: float | None = Field(
        default=None, description="Estimate from the pace so far; null before the first chunk and after the end."
    )
    estimated_finish_at: datetime | None = None
    n_demands: int
    n_done: int = Field(description="Number of demands ranked.")
    n_kept: int = Field(description="Number of demands that keep their list because no change affects it.")
    n_failed: int
    top_k: int
    index_version: str
    index_as_of: int
    lexicon_version: str
    encoder_version: str
    weights_version: str
    frequencies_version: str | None = Field(description="Version of the document frequencies.")
    stability: float | None


class FailedDemand(Answer):
    demand_id: str
    error: str
