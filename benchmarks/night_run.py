"""How long does the night run take, beside as many single matches over HTTP?

The night run is the whole command ``matching-service rerank``: start, index loaded, all open demands ranked with all
signals, 20 profiles each explained and stored. Single matches are measured on a sample of the same demands, half before
the night and half after it, on the same city, and multiplied; they store nothing, which favours them.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.city import N_DEMANDS, N_PROFILES, QUICK_DEMANDS, QUICK_PROFILES, city
from benchmarks.http_match import open_demand_ids_of
from benchmarks.measure import Row, apart, milliseconds
from benchmarks.server import Client, match_body, serving

N_SAMPLE, QUICK_SAMPLE = 100, 20
N_WARM_UP = 10
AT_MOST = 1 / 4


def run(*, quick: bool = False) -> list[Row]:
    """One row."""
    n_profiles, n_demands = (QUICK_PROFILES, QUICK_DEMANDS) if quick else (N_PROFILES, N_DEMANDS)
    with city(n_profiles, n_demands) as copy:
        key = copy.cli("keys", "create", "--role", "staff", "--name", "benchmark")
        ids = apart(open_demand_ids_of, copy)
        n_sample = QUICK_SAMPLE if quick else N_SAMPLE
        sample = np.random.default_rng(0).permutation(ids)[: n_sample + N_WARM_UP].tolist()
        warm_up, sample = sample[:N_WARM_UP], sample[N_WARM_UP:]
        first, second = sample[: n_sample // 2], sample[n_sample // 2 :]
        with serving(copy) as port:
            _singles(port, key, warm_up)
            singles = _singles(port, key, first)
            night_s = milliseconds(copy.cli, "rerank") / 1e3
            singles += _singles(port, key, second)
            stored = _singles(port, key, second, store=True)
    single_s, stored_s = (float(np.mean(each)) * len(ids) / 1e3 for each in (singles, stored))
    is_judged = n_profiles == N_PROFILES
    return [
        Row(
            question="night run, explanations stored",
            size=f"{len(ids):,} open demands x {n_profiles:,} profiles in SQLite",
            unit="s",
            ours_p50=night_s,
            peer="single matches over HTTP",
            peer_p50=single_s,
            ratio=night_s / single_s,
            target=f"at most {AT_MOST:g} x" if is_judged else "",
            reached=night_s <= AT_MOST * single_s if is_judged else None,
            notes=f"the sum is {n_sample} singles scaled to {len(ids):,}, not stored; stored they would take "
            f"{stored_s:.0f} s; the night includes start and loading",
        )
    ]


def _singles(port: int, key: str, ids: Sequence[str], *, store: bool = False) -> list[float]:
    """Milliseconds of each match, on one kept connection."""
    client = Client(port, key)
    took = [milliseconds(client.match, match_body(demand_id, store=store)) for demand_id in ids]
    client.close()
    return took
