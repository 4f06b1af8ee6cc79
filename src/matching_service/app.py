"""Builds the FastAPI application from the packages of the service. Contains no domain logic."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from matching_service import __version__
from matching_service.api import health
from matching_service.api.admission import BulkQueue, ImportQueue, RankingQueue
from matching_service.api.audit import router as audit
from matching_service.api.authentication import WrongKeys
from matching_service.api.description import describe as complete_description
from matching_service.api.idempotency import AnswerKnown, answer_again
from matching_service.api.middleware import RequestMiddleware
from matching_service.api.parameters import KnownParameters
from matching_service.api.problems import add_problem_handlers, problem_responses, problem_schemas
from matching_service.api.services import Services
from matching_service.api.workers import Workers
from matching_service.board.listing import Board
from matching_service.board.routes import router as board
from matching_service.claims import states as claim_states
from matching_service.claims.routes import router as claims
from matching_service.codes.routes import router as codes
from matching_service.demands import states as demand_states
from matching_service.demands.clusters import Clusters
from matching_service.demands.routes import router as demands
from matching_service.disclosure.mapping import Mappings, load_mappings
from matching_service.eligibility.routes import router as eligibility
from matching_service.engagements.routes import router as engagements
from matching_service.engines import create_engine
from matching_service.feeds.routes import router as feeds
from matching_service.files.background import BackgroundImports
from matching_service.files.demand_forms import router as demand_forms
from matching_service.files.routes import router as imports
from matching_service.files.shortlist_routes import router as shortlist_files
from matching_service.files.template_routes import router as import_templates
from matching_service.files.uploads import MAX_UPLOAD_BYTES
from matching_service.foundation.logs import configure_logs
from matching_service.foundation.settings import Settings
from matching_service.matching.engine import Engine
from matching_service.matching.health import index_health
from matching_service.matching.routes import router as matches
from matching_service.organizations.routes import router as organizations
from matching_service.profiles.routes import router as profiles
from matching_service.programme.plan import load_plan
from matching_service.programme.routes import router as programme
from matching_service.projects.routes import router as projects
from matching_service.reports.files import load_templates
from matching_service.reports.routes import router as reports
from matching_service.runs.background import BackgroundRuns
from matching_service.runs.routes import router as runs
from matching_service.shortlists.routes import router as shortlists
from matching_service.store.database import Database
from matching_service.store.migrate import check_schema
from matching_service.suggestions import states as suggestion_states
from matching_service.suggestions.routes import router as suggestions
from matching_service.webhooks.routes import router as webhooks
from matching_service.webhooks.sender import Sender

_DESCRIPTION = """需求匹配服务. Matches enterprises' technical demands (揭榜挂帅) with experts, societies, teams,
laboratories and achievements, and explains every match. Every path under `/v1` but the public list `/v1/board` needs
`Authorization: Bearer <key>`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the application. Database and indexes are opened at startup, and the database is closed at shutdown."""
    chosen = settings or Settings()
    configure_logs(chosen.log_level)
    app: FastAPI = FastAPIOffline(
        title="matching_service",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        dependencies=[KnownParameters],
        generate_unique_id_function=_operation_id,
    )
    plan = load_plan(chosen.targets)
    app.state.services = Services(
        chosen,
        load_mappings(chosen.feed_mapping),
        plan,
        Clusters(tuple(plan.clusters)),
        load_templates(chosen.templates_dir),
        RankingQueue(),
        BulkQueue(),
        ImportQueue(),
        WrongKeys(),
    )
    app.add_middleware(RequestMiddleware, streamed={f"{imports.prefix}/imports": MAX_UPLOAD_BYTES})
    add_problem_handlers(app)
    app.add_exception_handler(AnswerKnown, answer_again)
    records = (organizations, demands, profiles, suggestions, claims, projects, engagements, programme)
    for router in (
        matches,
        shortlists,
        runs,
        eligibility,
        *records,
        reports,
        imports,
        webhooks,
        feeds,
        codes,
        audit,
        import_templates,
        shortlist_files,
        demand_forms,
    ):  # routes are searched in this order, so the most frequent come first
        app.include_router(router, responses=problem_responses(400, 401, 403, 408, 413, 422, 429, 500, 503))
    app.include_router(board, responses=problem_responses(400, 422, 500, 503))  # public: needs no key
    app.include_router(health.router)
    _describe_problems(app)
    return app


def _operation_id(route: APIRoute) -> str:
    """The name of the route's function, by which generated clients name theirs."""
    return route.name


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    settings = services.get(Settings)
    database = Database(settings.effective_database_url, patience_s=_PATIENCE_S)
    await check_schema(database)
    engine = create_engine(settings, database)
    background, sender = BackgroundRuns(engine), Sender(database, settings, services.get(Mappings))
    importing = BackgroundImports(database, settings.imports_dir)
    workers = Workers.of_this_server()
    for service in (database, engine, index_health(engine), workers, background, importing, Board(database), sender):
        services.add(service)
    tasks = [asyncio.create_task(work) for work in (engine.follow(), _announce(engine, workers), sender.run())]
    try:
        yield
    finally:
        await background.close()
        await importing.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


async def _announce(engine: Engine, workers: Workers) -> None:
    """Tell the other workers of this server when this one can match."""
    await engine.opened.wait()
    await workers.announce()


_PATIENCE_S = 30.0
"""Seconds that a request waits for one statement of the database."""
_VALUE_NAMES: Mapping[str, Mapping[Any, str]] = {
    demand_states.DemandStatus.__name__: demand_states.STATUS_NAMES,
    suggestion_states.SuggestionStatus.__name__: suggestion_states.STATUS_NAMES,
    claim_states.ClaimStatus.__name__: claim_states.STATUS_NAMES,
    demand_states.EndReason.__name__: demand_states.REASON_NAMES,
    claim_states.Criterion.__name__: {criterion: name.zh for criterion, (name, _) in claim_states.CRITERIA.items()},
}
"""Schema of an enumeration -> the Chinese name of each value."""


def _describe_problems(app: FastAPI) -> None:
    """Add the schemas of errors, which no route returns, and words and examples to the OpenAPI document."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = describe()
            document["components"]["schemas"].update(problem_schemas())
            complete_description(document, _VALUE_NAMES)
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
