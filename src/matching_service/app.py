"""The roof: builds the application from its rooms. Holds no logic of its own."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from matching_service import __version__
from matching_service.api import health
from matching_service.api.admission import bulk_line, ranking_line
from matching_service.api.idempotency import AnswerKnown, answer_again
from matching_service.api.middleware import RequestMiddleware
from matching_service.api.problems import add_problem_handlers, problem_responses, problem_schemas
from matching_service.demands.routes import router as demands
from matching_service.foundation.logs import configure_logs
from matching_service.foundation.settings import Settings
from matching_service.matching import runs
from matching_service.matching.engine import Engine
from matching_service.matching.routes import router as matches
from matching_service.organizations.routes import router as organizations
from matching_service.profiles.routes import router as profiles
from matching_service.ranking.encoder import load_encoder
from matching_service.store.database import Database
from matching_service.store.migrate import check_schema

logger = logging.getLogger(__name__)
_RETRY_S = 5.0

_DESCRIPTION = """Matches enterprises' technical demands (揭榜挂帅) with experts, societies, teams, laboratories and
achievements, and explains every match. Every path under `/v1` needs `Authorization: Bearer <key>`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; database and index are opened when it starts, and closed when it stops."""
    chosen = settings or Settings()
    configure_logs(chosen.log_level)
    app: FastAPI = FastAPIOffline(
        title="matching_service 需求匹配服务",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
    )
    app.state.settings = chosen
    app.state.ranking_line, app.state.bulk_line = ranking_line(), bulk_line()
    app.add_middleware(RequestMiddleware)
    add_problem_handlers(app)
    app.add_exception_handler(AnswerKnown, answer_again)
    for router in (organizations, demands, profiles, matches):
        app.include_router(router, responses=problem_responses(400, 401, 403, 413, 422, 500, 503))
    app.include_router(health.router)
    _describe_problems(app)
    return app


def create_engine(settings: Settings, database: Database) -> Engine:
    """Encoder and indexes over a database; the indexes still have to be opened."""
    return Engine.create(
        database, load_encoder(settings.encoder), snapshots=settings.snapshot_dir, weights=settings.weights_dir
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    database = Database(app.state.settings.effective_database_url)
    await check_schema(database)
    engine = create_engine(app.state.settings, database)
    tasks: set[asyncio.Task[None]] = set()

    async def start_run(run_id: str) -> None:  # async: a plain function would be called in a thread without a loop
        _keep(tasks, asyncio.create_task(_work_off(engine, run_id)))

    app.state.database = database
    app.state.engine = engine
    app.state.start_run = start_run
    _keep(tasks, asyncio.create_task(_open(engine)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _open(engine: Engine) -> None:
    """Open the indexes beside the server, which is alive at once and ready when they are; tried until it works."""
    for index in (engine.profiles, engine.demands):
        while not index.is_open:
            try:
                await index.open()
            except Exception:
                logger.exception("index_not_opened")
                await asyncio.sleep(_RETRY_S)
    # What is here now stays: no collection of garbage need look at it again, each of which would stop all for 0.1 s.
    gc.collect()
    gc.freeze()


async def _work_off(engine: Engine, run_id: str) -> None:
    try:
        await runs.work_off(engine, run_id)
    except Exception:
        logger.exception("match_run_failed", extra={"run_id": run_id})
        await runs.fail_run(engine, run_id)
        raise


def _describe_problems(app: FastAPI) -> None:
    """Put the schema of errors into the description of the API; FastAPI knows only bodies that routes return."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe()["components"]["schemas"].update(problem_schemas())
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
