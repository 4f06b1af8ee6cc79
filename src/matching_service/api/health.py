"""Liveness, readiness and metrics of the process."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import nan

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from matching_service.api.deps import DatabaseDep
from matching_service.api.services import services_of
from matching_service.api.workers import Workers
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Unavailable
from matching_service.foundation.metrics import NIGHT_RUN_AGE
from matching_service.store.migrate import current_revision, newest_revision
from matching_service.store.shortlists import NIGHT_SCOPES, MatchRunRow, RunState

router = APIRouter(tags=["health"])
_LAST_NIGHT_RUN = (
    select(MatchRunRow.finished_at)
    .where(MatchRunRow.scope.in_(NIGHT_SCOPES), MatchRunRow.state == RunState.FINISHED)
    .order_by(MatchRunRow.id.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class IndexState:
    """The index of profiles in this process.

    as_of : sequence number of the last event that it includes.
    n_pending : number of passages without a vector yet.
    has_encoder : False while the encoder's endpoint does not answer.
    """

    is_loaded: bool
    as_of: int
    n_profiles: int
    n_pending: int
    has_encoder: bool


@dataclass(frozen=True, slots=True)
class IndexHealth:
    """Access to the index, which is in a higher room that this module must not import.

    behind : returns by how many sequence numbers the index lags behind the database.
    """

    state: Callable[[], IndexState]
    behind: Callable[[], Awaitable[int]]


class Alive(BaseModel):
    status: str = "alive"


class Check(BaseModel):
    ok: bool
    detail: str


class Ready(BaseModel):
    """``status`` is ready if every check is ok but that of the encoder, without which ranking goes on by words."""

    status: str
    database: Check
    migrations: Check
    index: Check
    workers: Check
    encoder: Check
    index_as_of: int | None = None
    index_behind: int | None = None
    index_profiles: int | None = None
    index_pending_vectors: int | None = None


class Root(BaseModel):
    """Where to go from here."""

    service: str = "matching_service"
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    board: str = "/v1/board"
    ready: str = "/health/ready"


@router.get("/")
async def root() -> Root:
    """The addresses to begin with."""
    return Root()


@router.get("/health/live")
async def live() -> Alive:
    """Report that the process answers."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Ready, "description": "Not ready; the checks say why."}})
async def ready(request: Request, response: Response, database: DatabaseDep) -> Ready:
    """Check that the database is reachable and migrated, and that the index is loaded in each worker of this server.

    Report the lag of the index of the worker that answers.
    """
    try:
        async with database.reading() as session:
            await session.execute(text("SELECT 1"))
        revision, needed = await current_revision(database), newest_revision()
        index = services_of(request).get(IndexHealth)
        behind = await index.behind() if revision == needed else None
    except (SQLAlchemyError, OSError) as error:
        unknown = Check(ok=False, detail="unknown")
        failed = Check(ok=False, detail=type(error).__name__)
        response.status_code, response.headers["Retry-After"] = 503, "1"
        return Ready(
            status="not ready", database=failed, migrations=unknown, index=unknown, workers=unknown, encoder=unknown
        )
    migrations = Check(ok=revision == needed, detail=f"at {revision}, needs {needed}")
    state = index.state()
    loaded = Check(ok=state.is_loaded, detail="loaded" if state.is_loaded else "loading")
    workers = services_of(request).get(Workers)
    n_ready = workers.n_ready()
    all_ready = Check(ok=n_ready >= workers.n, detail=f"{n_ready} of {workers.n} ready")
    is_ready = migrations.ok and loaded.ok and all_ready.ok
    if not is_ready:
        response.status_code, response.headers["Retry-After"] = 503, "1"
    return Ready(
        status="ready" if is_ready else "not ready",
        database=Check(ok=True, detail="reachable"),
        migrations=migrations,
        index=loaded,
        workers=all_ready,
        encoder=Check(
            ok=state.has_encoder,
            detail="available" if state.has_encoder else "away: ranking by words alone, vectors are made later",
        ),
        index_as_of=state.as_of,
        index_behind=behind,
        index_profiles=state.n_profiles,
        index_pending_vectors=state.n_pending,
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(database: DatabaseDep) -> Response:
    """Return the metrics. They are complete also while the database is away, except for the age of the night run."""
    try:
        async with database.reading() as session:
            finished_at = await session.scalar(_LAST_NIGHT_RUN)
    except (SQLAlchemyError, OSError, Unavailable):
        finished_at = None
    NIGHT_RUN_AGE.set(nan if finished_at is None else (now() - finished_at).total_seconds())
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
