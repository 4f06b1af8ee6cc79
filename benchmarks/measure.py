"""What all benchmarks share: a row of the table, taking turns on the clock, processes of their own, memory."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from inspect import isawaitable
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
FloatArray = NDArray[np.float64]

RESULTS = Path(__file__).parent / "results"
FEWEST_FOR_P99 = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table. ``ratio`` is ours / peer, the median over pairs that were measured side by side.

    ``target`` is empty where the row only shows a figure; ``reached`` is None then.
    """

    question: str
    size: str
    unit: str = "ms"
    ours_p50: float
    ours_p99: float | None = None
    peer: str = ""
    peer_p50: float | None = None
    ratio: float | None = None
    target: str = ""
    reached: bool | None = None
    notes: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """A row from a mapping; what is no column is told in the notes."""
        known: dict[str, Any] = {name: value for name, value in values.items() if name in cls.__slots__}
        others = [f"{name} {value}" for name, value in values.items() if name not in cls.__slots__]
        notes = "; ".join(filter(None, [known.pop("notes", ""), *others]))
        least: dict[str, Any] = {"size": "", "unit": "", "ours_p50": float("nan")}
        return cls(**least | known, notes=notes)


def take_turns(
    rivals: Sequence[Callable[[Item], object]], items: Iterable[Item], *, warm_up: Iterable[Item] = ()
) -> FloatArray:
    """Each rival works on each item, one after the other, each second time in reverse order.

    Returns float64, shape (n_items, n_rivals): milliseconds. Nothing is measured during ``warm_up``.
    """
    return asyncio.run(taking_turns(rivals, items, warm_up=warm_up))


async def taking_turns(
    rivals: Sequence[Callable[[Item], object]], items: Iterable[Item], *, warm_up: Iterable[Item] = ()
) -> FloatArray:
    """``take_turns`` where some of the rivals are coroutines: they keep their loop and its threads, as in a server."""
    for item in warm_up:
        for rival in rivals:
            await _milliseconds(rival, item)
    took = []
    for turn, item in enumerate(items):
        row = [0.0] * len(rivals)
        for place in range(len(rivals)) if turn % 2 == 0 else reversed(range(len(rivals))):
            row[place] = await _milliseconds(rivals[place], item)
        took.append(row)
    return np.array(took)


async def _milliseconds(rival: Callable[[Item], object], item: Item) -> float:
    started = perf_counter()
    done = rival(item)
    if isawaitable(done):
        await done
    return (perf_counter() - started) * 1e3


def milliseconds(work: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs) -> float:
    """How long one call takes."""
    started = perf_counter()
    work(*args, **kwargs)
    return (perf_counter() - started) * 1e3


def p99(values: FloatArray) -> float | None:
    """None for fewer than a hundred values, whose 99th percentile would be their maximum."""
    return float(np.percentile(values, 99)) if len(values) >= FEWEST_FOR_P99 else None


def apart(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """The work's result from a process of its own, which leaves no memory behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process: resident; its share of what it has in common with others; what it has alone."""

    rss: int
    pss: int
    uss: int

    @classmethod
    def of(cls, pid: int | None = None) -> Self:
        """As the kernel counts it (Linux)."""
        text = Path(f"/proc/{pid or os.getpid()}/smaps_rollup").read_text(encoding="utf-8")
        size_of = {name: int(value.split()[0]) * 1024 for name, _, value in map(_split, text.splitlines()[1:])}
        return cls(size_of["Rss"], size_of["Pss"], size_of["Private_Clean"] + size_of["Private_Dirty"])


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")
