"""Do time per query and memory grow faster than the number of profiles?

The processes of ``memory`` at four sizes. The exponent is the slope of a line through the points on logarithmic scales;
1 is linear. Of memory only what the snapshot adds is looked at. ``growth.png`` lies beside the results.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.measure import RESULTS, Row
from benchmarks.memory import footprint

SIZES = (20_000, 100_000, 500_000, 1_000_000)
QUICK = (20_000, 100_000)
AT_MOST = 1.05
"""Linear, and one part in twenty for the noise of four points."""


def run(*, quick: bool = False) -> list[Row]:
    """Three rows, and the plot."""
    sizes = QUICK if quick else SIZES
    found = [footprint(size) for size in sizes]
    curves = {
        "time of a lexical top-50, ms": [each.first.search_ms for each in found],
        "time of a ranked top-20, ms": [each.first.rank_ms for each in found],
        "memory of the snapshot, GB": [(each.first.after.rss - each.first.before.rss) / 1e9 for each in found],
    }
    folder = RESULTS / ("quick" if quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    _plot(sizes, curves, folder / "growth.png")
    return [_row(name, sizes, values, is_judged=not quick) for name, values in curves.items()]


def _row(name: str, sizes: Sequence[int], values: Sequence[float], *, is_judged: bool) -> Row:
    exponent = float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
    return Row(
        question=f"growth: {name.partition(',')[0]}",
        size=f"{sizes[0]:,} to {sizes[-1]:,} profiles; character n-grams, vectors",
        unit="",
        ours_p50=exponent,
        target=f"exponent at most 1 (noise: {AT_MOST})" if is_judged else "",
        reached=exponent <= AT_MOST if is_judged else None,
        notes=f"{name}: " + "; ".join(f"{size:,}: {value:.3g}" for size, value in zip(sizes, values, strict=True)),
    )


def _plot(sizes: Sequence[int], curves: dict[str, list[float]], file: Path) -> None:
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        linear = [values[0] * size / sizes[0] for size in sizes]
        axes.loglog(sizes, linear, linestyle="--", color="lightgray", label="linear")
        axes.loglog(sizes, values, marker="o", label="measured")
        axes.set(title=name, xlabel="profiles")
        axes.legend()
    figure.savefig(file, dpi=120)
