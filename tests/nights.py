"""What tests of runs share: a small city with its engine, a run and all that it changed, a copy of a database."""

import json
import math
import shutil
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Postgres
from sqlalchemy import select, text

from matching_service.access.policies import COMMAND_LINE
from matching_service.engines import create_engine
from matching_service.files.imports import import_file
from matching_service.foundation.errors import NotFound
from matching_service.foundation.settings import Settings
from matching_service.jobs import nightly
from matching_service.matching.engine import Engine
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import upsert_profiles
from matching_service.shortlists.schemas import DemandChanges, MatchItem
from matching_service.shortlists.service import latest_matches
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import MatchRunRow, RunScope

WORDS = ["谐波减速器", "陶瓷窑炉", "心肌标志物", "注塑机液压", "铝型材挤压", "光伏逆变器"]
N_DEMANDS = 6


async def opened_engine(database: Database, folder: Path, *, stability: float = 0.01) -> Engine:
    """An engine that ranks by words alone."""
    engine = create_engine(Settings(encoder="none", data_dir=folder, stability=stability), database)
    await engine.open()
    return engine


async def small_city(database: Database, folder: Path) -> Engine:
    """Thirty profiles E0 to E29, six published demands D0 to D5 and a draft."""
    profiles = [
        {
            "external_id": f"E{n}", "kind": "expert", "name": f"专家{n}",
            "summary": f"{WORDS[n % 6]}研究{WORDS[(n // 6) % 6]}", "keywords": [WORDS[(n + 1) % 6]],
        }
        for n in range(30)
    ]  # fmt: skip
    await store_profiles(database, *profiles)
    demands = [{"external_id": f"D{n}", "title": f"{WORDS[n]}难题", "status": "published"} for n in range(N_DEMANDS)]
    await store_demands(database, folder, *demands, {"external_id": "draft", "title": "谐波减速器草稿"})
    return await opened_engine(database, folder / "data")


async def store_profiles(database: Database, *profiles: dict[str, Any]) -> list[str]:
    """Create or update; the ids."""
    items = [ProfileImport.model_validate({"kind": "expert", "name": "新"} | profile) for profile in profiles]
    async with database.transaction() as session:
        return [stored.id or "" for stored in await upsert_profiles(session, items, COMMAND_LINE)]


async def store_demands(database: Database, folder: Path, *demands: dict[str, Any]) -> None:
    path = folder / f"{uuid.uuid4().hex}.jsonl"
    path.write_text("\n".join(json.dumps(demand) for demand in demands))
    await import_file(database, "demands", path, COMMAND_LINE, defaults={}, strict=True)


@dataclass(frozen=True, slots=True)
class Night:
    """A run that has ended, and all that it changed."""

    run: MatchRunRow
    changes: Sequence[DemandChanges]


async def rerank(engine: Engine, *, resume: bool = False, scope: str = RunScope.OPEN) -> Night:
    run = await nightly.begin(engine, resume=resume, scope=RunScope(scope))
    report = await nightly.rerank(engine, run, lambda _n: None, patience_s=0 if resume else math.inf)
    return Night(report.run, await nightly.all_changes(engine, run.id))


async def ids_of(engine: Engine, table: type[DemandRow | ProfileRow]) -> dict[str, str]:
    """Our ids by external id."""
    async with engine.database.reading() as session:
        rows: Iterable[Any] = await session.scalars(select(table))
        return {row.external_id or "": row.id for row in rows}


async def shown(engine: Engine) -> dict[str, list[MatchItem]]:
    """The list that people see, for each demand that has one."""
    lists: dict[str, list[MatchItem]] = {}
    async with engine.database.reading() as session:
        for external_id, demand_id in (await ids_of(engine, DemandRow)).items():
            try:
                lists[external_id] = (await latest_matches(session, demand_id)).items
            except NotFound:
                continue
    return lists


@asynccontextmanager
async def copied(database: Database, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Database]:
    """The same database once more."""
    if database.is_sqlite:
        async with database.engine.connect() as connection:
            await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        path = folder / f"{uuid.uuid4().hex}.sqlite3"
        shutil.copy(str(database.url.database), path)
        url = f"sqlite+aiosqlite:///{path}"
    else:
        await database.close()  # a template may have no sessions
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create(f"t{uuid.uuid4().hex}", template=str(database.url.database))
    copy = Database(url)
    try:
        yield copy
    finally:
        await copy.close()
