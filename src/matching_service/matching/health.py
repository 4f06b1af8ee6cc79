"""The state of the index for the health check."""

from matching_service.api.health import IndexHealth, IndexState
from matching_service.matching.engine import Engine


def index_health(engine: Engine) -> IndexHealth:
    def state() -> IndexState:
        snapshot = engine.profiles.snapshot
        return IndexState(
            is_loaded=engine.profiles.is_open and engine.demands.is_open,
            as_of=snapshot.as_of,
            n_profiles=snapshot.n_profiles,
            n_pending=snapshot.n_pending,
            has_encoder=engine.encoder.is_available,
        )

    return IndexHealth(state, engine.profiles.behind)
