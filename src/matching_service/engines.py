"""The engine that the settings describe. Apart from the application: commands and ranking processes need no routes."""

from matching_service.encoders.choice import configured_encoder
from matching_service.foundation.settings import Settings
from matching_service.index.snapshot import Snapshot
from matching_service.matching.engine import Engine
from matching_service.store.database import Database


def create_engine(settings: Settings, database: Database) -> Engine:
    """Create the engine for a database. The caller opens its indexes."""
    return Engine.create(
        database,
        configured_encoder(settings),
        form=Snapshot,
        snapshots=settings.snapshot_dir,
        weights=settings.weights_dir,
        stability=settings.stability,
    )
