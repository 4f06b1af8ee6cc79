"""Is the process alive, can it do its work, and what does it measure."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from matching_service.api.deps import DatabaseDep
from matching_service.store.migrate import current_revision, newest_revision

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str = "alive"


class Check(BaseModel):
    ok: bool
    detail: str


class Ready(BaseModel):
    """``status`` is ready when every check is ok."""

    status: str
    database: Check
    migrations: Check
    index: Check
    index_as_of: int | None = None
    index_behind: int | None = None
    index_profiles: int | None = None
    index_pending_vectors: int | None = None


@router.get("/health/live")
async def live() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Ready, "description": "Not ready; the checks say why."}})
async def ready(request: Request, response: Response, database: DatabaseDep) -> Ready:
    """Database reachable, migrations applied, index loaded and how far behind it is."""
    try:
        async with database.reading() as session:
            await session.execute(text("SELECT 1"))
        revision, needed = await current_revision(database), newest_revision()
        engine: Any = request.app.state.engine
        behind = await engine.profiles.behind() if revision == needed else None
    except (SQLAlchemyError, OSError) as error:
        unknown = Check(ok=False, detail="unknown")
        failed = Check(ok=False, detail=type(error).__name__)
        response.status_code, response.headers["Retry-After"] = 503, "1"
        return Ready(status="not ready", database=failed, migrations=unknown, index=unknown)
    migrations = Check(ok=revision == needed, detail=f"at {revision}, needs {needed}")
    snapshot, is_open = engine.profiles.snapshot, engine.profiles.is_open and engine.demands.is_open
    index = Check(ok=is_open, detail="loaded" if is_open else "loading")
    is_ready = migrations.ok and index.ok
    if not is_ready:
        response.status_code, response.headers["Retry-After"] = 503, "1"
    return Ready(
        status="ready" if is_ready else "not ready",
        database=Check(ok=True, detail="reachable"),
        migrations=migrations,
        index=index,
        index_as_of=snapshot.as_of,
        index_behind=behind,
        index_profiles=snapshot.n_profiles,
        index_pending_vectors=snapshot.n_pending,
    )


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
