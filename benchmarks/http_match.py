"""What does HTTP cost: ``POST /v1/matches`` for a stored demand, beside the same match in process and a bare route?

One client: it asks the real server, a bare FastAPI route that returns as many bytes, and an engine in its own process,
in turns, each demand once. Eight clients: closed loops on kept connections against one worker and against two, in
turns of some seconds, from the same process; both servers run all the time, one of them idle.
"""

import asyncio

import numpy as np

from benchmarks.city import N_DEMANDS, N_PROFILES, QUICK_DEMANDS, QUICK_PROFILES, City, city
from benchmarks.measure import FloatArray, Row, apart, p99, taking_turns
from benchmarks.server import Client, bare_route, load, match_body, serving
from benchmarks.whole_match import TOP_K, match_stored
from matching_service.demands.queries import open_demand_ids
from matching_service.engines import create_engine
from matching_service.store.database import Database

N_MEASURED, N_WARM_UP = 300, 20
N_CLIENTS = 8
N_ROUNDS, ROUND_S = 4, 10.0
QUICK_ROUNDS, QUICK_ROUND_S = 2, 4.0
AT_MOST_BARE = 3.0
AT_MOST_TAIL = 3.0
AT_LEAST_GAIN = 1.7


def run(*, quick: bool = False) -> list[Row]:
    """Three rows: one client, eight clients, two workers."""
    n_profiles, n_demands = (QUICK_PROFILES, QUICK_DEMANDS) if quick else (N_PROFILES, N_DEMANDS)
    n_rounds, seconds = (QUICK_ROUNDS, QUICK_ROUND_S) if quick else (N_ROUNDS, ROUND_S)
    with city(n_profiles, n_demands) as copy:
        key = copy.cli("keys", "create", "--role", "staff", "--name", "benchmark")
        ids = apart(open_demand_ids_of, copy)
        with serving(copy) as one:
            row = _of_one_client(copy, one, key, ids, n_profiles)
            with serving(copy, n_workers=2) as two:
                loaded = apart(
                    _under_load, (one, two), key, ids, n_profiles=n_profiles, n_rounds=n_rounds, seconds=seconds
                )
                return [row, *loaded]


def _of_one_client(copy: City, port: int, key: str, ids: list[str], n_profiles: int) -> Row:
    client = Client(port, key)
    answers = sorted((client.match(match_body(demand_id)) for demand_id in ids[:N_WARM_UP]), key=len)
    client.close()
    answer = answers[len(answers) // 2]
    with bare_route(answer, copy.folder) as bare:
        took = apart(_take_turns, copy, port, bare, key, ids[: N_WARM_UP + N_MEASURED])
    http, in_process, floor = np.median(took, axis=0).tolist()
    limit = in_process + AT_MOST_BARE * floor
    is_judged = n_profiles == N_PROFILES
    return Row(
        question="match over HTTP, one worker, one client",
        size=f"{n_profiles:,} profiles in SQLite; {len(took)} stored demands",
        ours_p50=http,
        ours_p99=p99(took[:, 0]),
        peer="the same match in process",
        peer_p50=in_process,
        ratio=float(np.median(took[:, 0] / took[:, 1])),
        target=f"at most in process + {AT_MOST_BARE:g} x a bare route" if is_judged else "",
        reached=http <= limit if is_judged else None,
        notes=f"limit {limit:.1f} ms: a bare route takes {floor:.2f} ms for {len(answer):,} bytes",
    )


def _take_turns(copy: City, port: int, bare: int, key: str, ids: list[str]) -> FloatArray:
    return asyncio.run(_turns(copy, port, bare, key, ids))


async def _turns(copy: City, port: int, bare: int, key: str, ids: list[str]) -> FloatArray:
    """Columns: over HTTP, in process, the bare route."""
    real, empty = Client(port, key), Client(bare, key)
    database = Database(copy.settings.effective_database_url)
    engine = create_engine(copy.settings, database)
    await engine.open()
    took = await taking_turns(
        (
            lambda demand_id: real.match(match_body(demand_id, top_k=TOP_K)),
            lambda demand_id: match_stored(engine, demand_id),
            lambda demand_id: empty.match(match_body(demand_id, top_k=TOP_K)),
        ),
        ids[N_WARM_UP:],
        warm_up=ids[:N_WARM_UP],
    )
    await database.close()
    return took


def _under_load(
    ports: tuple[int, int], key: str, ids: list[str], *, n_profiles: int, n_rounds: int, seconds: float
) -> list[Row]:
    bodies = [match_body(demand_id, top_k=TOP_K) for demand_id in ids]
    for port in ports:
        load(port, key, bodies, n_clients=N_CLIENTS, seconds=seconds / 4)
    rounds = [
        [load(port, key, bodies, n_clients=N_CLIENTS, seconds=seconds) for port in ports] for _ in range(n_rounds)
    ]
    one, two = (np.concatenate([each[place].latencies for each in rounds]) for place in range(len(ports)))
    gain = float(np.median([second.per_second / first.per_second for first, second in rounds]))
    rate_one, rate_two = (float(np.median([each[place].per_second for each in rounds])) for place in range(len(ports)))
    tail, middle = float(np.percentile(one, 99)), float(np.median(one))
    size = f"{n_profiles:,} profiles in SQLite; {n_rounds} rounds of {seconds:g} s"
    is_judged = n_profiles == N_PROFILES
    return [
        Row(
            question=f"match over HTTP, one worker, {N_CLIENTS} clients",
            size=size,
            ours_p50=middle,
            ours_p99=p99(one),
            target=f"p99 at most {AT_MOST_TAIL:g} x p50" if is_judged else "",
            reached=tail <= AT_MOST_TAIL * middle if is_judged else None,
            notes=f"p99 is {tail / middle:.2f} x p50; {len(one):,} requests; {rate_one:.1f} a second",
        ),
        Row(
            question=f"match over HTTP, two workers, {N_CLIENTS} clients",
            size=size,
            unit="matches/s",
            ours_p50=rate_two,
            peer="one worker",
            peer_p50=rate_one,
            ratio=gain,
            target=f"at least {AT_LEAST_GAIN} x" if is_judged else "",
            reached=gain >= AT_LEAST_GAIN if is_judged else None,
            notes=f"p50 {np.median(two):.1f} ms, p99 {np.percentile(two, 99):.1f} ms; the clients share the two cores",
        ),
    ]


def open_demand_ids_of(copy: City) -> list[str]:
    async def read() -> list[str]:
        database = Database(copy.settings.effective_database_url)
        async with database.reading() as session:
            ids = list(await open_demand_ids(session))
        await database.close()
        return ids

    return asyncio.run(read())
