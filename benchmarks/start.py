"""How long after its start is a server ready, with its index loaded from a snapshot?

The whole command ``matching-service serve``, asked every hundredth of a second until it says that it is ready.
"""

import numpy as np

from benchmarks.city import N_DEMANDS, N_PROFILES, QUICK_DEMANDS, QUICK_PROFILES, city
from benchmarks.measure import Row
from benchmarks.server import seconds_to_ready

N_STARTS = 7
AT_MOST_S = 3.0


def run(*, quick: bool = False) -> list[Row]:
    """One row; the first start, which reads the files from the disk, is not measured."""
    n_profiles, n_demands = (QUICK_PROFILES, QUICK_DEMANDS) if quick else (N_PROFILES, N_DEMANDS)
    with city(n_profiles, n_demands) as copy:
        took = [seconds_to_ready(copy) for _ in range(1 + N_STARTS)][1:]
    middle = float(np.median(took))
    return [
        Row(
            question="start to ready, from a snapshot",
            size=f"{n_profiles:,} profiles in SQLite; {N_STARTS} starts",
            unit="s",
            ours_p50=middle,
            target=f"under {AT_MOST_S:g} s" if n_profiles == N_PROFILES else "",
            reached=middle < AT_MOST_S if n_profiles == N_PROFILES else None,
            notes=f"{min(took):.2f} to {max(took):.2f} s",
        )
    ]
