"""The demo: load the sample city into a new database of its own and rank its demands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matching_service import sample
from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.files.imports import import_file
from matching_service.jobs import nightly
from matching_service.matching.engine import Engine
from matching_service.profiles.service import upsert_profiles
from matching_service.profiles.societies import builtin_societies
from matching_service.shortlists.schemas import MatchAnswer
from matching_service.shortlists.service import latest_matches
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import rows_by_external_id

SHOWN_DEMANDS = ("D-ZN-01", "D-JJ-02", "D-YY-04")
"""External ids of the demands to print: three clusters, three kinds of problem."""


@dataclass(frozen=True, slots=True)
class ShownList:
    """A demand and its stored list."""

    demand: DemandRow
    matches: MatchAnswer


async def load_sample_city(engine: Engine, on_step: Callable[[str, int], None]) -> None:
    """Load organizations, profiles, published demands and societies. ``on_step`` gets each kind and its number."""
    for what, path in (
        ("organizations", sample.ORGANIZATIONS),
        ("profiles", sample.PROFILES),
        ("demands", sample.DEMANDS),
    ):
        report = await import_file(engine.database, what, path, COMMAND_LINE, defaults={}, strict=True)
        on_step(what, report.created)
    async with engine.database.transaction() as session:
        stored = await upsert_profiles(session, list(builtin_societies()), COMMAND_LINE)
    on_step("societies", len(stored))
    for index in (engine.profiles, engine.demands):
        await index.complete()
        await index.save()


async def rank_sample_city(engine: Engine, on_progress: Callable[[int], None]) -> Sequence[ShownList]:
    """Rank every open demand in a stored run, and return the lists of ``SHOWN_DEMANDS``."""
    run = await nightly.begin(engine, resume=False)
    await nightly.rerank(engine, run, on_progress)
    async with engine.database.reading() as session:
        rows = await rows_by_external_id(session, DemandRow, [("sample", key) for key in SHOWN_DEMANDS])
        return [
            ShownList(
                await get_demand(session, rows["sample", key].id), await latest_matches(session, rows["sample", key].id)
            )
            for key in SHOWN_DEMANDS
        ]


def remove_demo(folder: Path) -> None:
    """Delete the files of an earlier demo from its folder, and nothing else.

    This includes weights fitted to the demo data, because the demo shows the default ranking.
    """
    for path in (*folder.glob("matching.sqlite3*"), *folder.glob("index/**/*"), *folder.glob("weights/**/*")):
        if path.is_file():
            path.unlink()
