"""What does a whole match cost beyond its lexical search?

The whole is what the route calls: the stored demand read, lexical and semantic candidates, all signals, 20 profiles
explained. The search alone is the same engine's top-50 for the same demand, whose terms were counted beforehand. Both
in one process, in turns, each demand once.
"""

import asyncio

import numpy as np

from benchmarks import ours
from benchmarks.city import N_DEMANDS, N_PROFILES, QUICK_DEMANDS, QUICK_PROFILES, City, city
from benchmarks.measure import FloatArray, Row, apart, p99, taking_turns
from matching_service.demands.queries import open_demand_ids
from matching_service.engines import create_engine
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import demand_query
from matching_service.matching.engine import Engine
from matching_service.matching.schemas import MatchBody
from matching_service.matching.service import match
from matching_service.ranking.prepare import prepare
from matching_service.shortlists.schemas import MatchAnswer
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids

TOP_K, SEARCHED = 20, 50
N_MEASURED, N_WARM_UP = 300, 20
AT_MOST_MORE_MS = 12.0


def run(*, quick: bool = False) -> list[Row]:
    """One row."""
    n_profiles, n_demands = (QUICK_PROFILES, QUICK_DEMANDS) if quick else (N_PROFILES, N_DEMANDS)
    with city(n_profiles, n_demands) as copy:
        return [apart(compare, copy, n_profiles)]


def compare(copy: City, n_profiles: int) -> Row:
    """Whole matches and their searches over one city."""
    took = asyncio.run(_turns(copy))
    more = float(np.median(took[:, 0] - took[:, 1]))
    is_judged = n_profiles == N_PROFILES
    return Row(
        question="whole match, in process",
        size=f"{n_profiles:,} profiles in SQLite; {len(took)} stored demands",
        ours_p50=float(np.median(took[:, 0])),
        ours_p99=p99(took[:, 0]),
        peer=f"the same engine's lexical top-{SEARCHED} alone",
        peer_p50=float(np.median(took[:, 1])),
        ratio=float(np.median(took[:, 0] / took[:, 1])),
        target=f"at most {AT_MOST_MORE_MS:g} ms more" if is_judged else "",
        reached=more <= AT_MOST_MORE_MS if is_judged else None,
        notes=f"{more:.1f} ms more; {TOP_K} explained; every tenth demand has a must-have",
    )


async def _turns(copy: City) -> FloatArray:
    """Columns: the whole match, the search."""
    database = Database(copy.settings.effective_database_url)
    engine = create_engine(copy.settings, database)
    await engine.open()
    view = await engine.view()
    snapshot = view.snapshot
    assert isinstance(snapshot, Snapshot)
    demands = await _open_demands(database, N_WARM_UP + N_MEASURED)
    prepared = {
        d.id: prepare(demand_query(d), engine.encoder, demand_frequencies=view.demand_frequencies) for d in demands
    }
    took = await taking_turns(
        (
            lambda demand: match_stored(engine, demand.id),
            lambda demand: ours.search_snapshot(snapshot, prepared[demand.id], SEARCHED),
        ),
        demands[N_WARM_UP:],
        warm_up=demands[:N_WARM_UP],
    )
    await database.close()
    return took


async def match_stored(engine: Engine, demand_id: str) -> MatchAnswer:
    """What the route does for a stored demand."""
    async with engine.database.transaction() as write:
        return await match(engine, write, MatchBody(demand_id=demand_id, top_k=TOP_K))


async def _open_demands(database: Database, most: int) -> list[DemandRow]:
    async with database.reading() as session:
        ids = await open_demand_ids(session)
        return list((await get_by_ids(session, DemandRow, ids[:most])).values())
