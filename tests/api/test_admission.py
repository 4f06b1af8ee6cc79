"""The line in front of ranking: so many turns, so many who wait, nobody forgotten, and those who hang up leave it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from anyio import CancelScope

from matching_service.api.admission import Admission
from matching_service.foundation.errors import Unavailable


async def never() -> None:
    await asyncio.Event().wait()


class Visitor:
    """Somebody who comes, has a turn, and stays in it until told to go on."""

    def __init__(self, line: Admission) -> None:
        self.has_turn, self.may_end, self.hangs_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._line = line
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async def gone() -> None:
            await self.hangs_up.wait()

        async with self._line.turn(gone):
            self.has_turn.set()
            await self.may_end.wait()

    async def end(self) -> None:
        self.may_end.set()
        await self.task


async def settle() -> None:
    """Let everything run that can run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def visitors(line: Admission, n: int) -> list[Visitor]:
    """``n`` visitors in the order of their coming."""
    coming = [Visitor(line) for _ in range(n)]
    await settle()
    return coming


def turns(*present: Visitor) -> list[bool]:
    return [visitor.has_turn.is_set() for visitor in present]


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(Unavailable) as refusal:
        yield
    assert refusal.value.code == "overloaded"
    assert refusal.value.retry_after_s > 0


async def test_turns_are_had_at_once_while_there_are_any() -> None:
    first, second = await visitors(Admission(n_running=2, n_waiting=0), 2)
    assert turns(first, second) == [True, True]
    await first.end()
    await second.end()


async def test_who_finds_the_line_full_is_refused_at_once() -> None:
    line = Admission(n_running=1, n_waiting=1)
    running, waiting, late = await visitors(line, 3)
    assert turns(running, waiting, late) == [True, False, False]
    with refused():
        await late.task
    await running.end()
    await settle()
    assert turns(waiting) == [True]
    await waiting.end()


async def test_the_line_is_served_in_the_order_of_coming() -> None:
    line = Admission(n_running=1, n_waiting=3)
    first, second, third, fourth = await visitors(line, 4)
    for ending, following, waiting in (
        (first, second, [third, fourth]),
        (second, third, [fourth]),
        (third, fourth, []),
    ):
        await ending.end()
        await settle()
        assert turns(following, *waiting) == [True, *([False] * len(waiting))]
    await fourth.end()


async def test_a_place_in_the_line_is_free_again_when_somebody_has_a_turn() -> None:
    line = Admission(n_running=1, n_waiting=1)
    first, second = await visitors(line, 2)
    await first.end()
    (third,) = await visitors(line, 1)
    assert turns(second, third) == [True, False]
    await second.end()
    await settle()
    assert turns(third) == [True]
    await third.end()


async def test_who_hangs_up_leaves_the_line_to_others() -> None:
    line = Admission(n_running=1, n_waiting=1)
    running, gone = await visitors(line, 2)
    gone.hangs_up.set()
    with refused():
        await gone.task
    (waiting,) = await visitors(line, 1)
    await running.end()
    await settle()
    assert turns(gone, waiting) == [False, True]
    await waiting.end()


async def test_who_is_cancelled_while_waiting_leaves_the_line() -> None:
    line = Admission(n_running=1, n_waiting=1)
    running, cancelled = await visitors(line, 2)
    cancelled.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled.task
    (waiting,) = await visitors(line, 1)
    await running.end()
    await settle()
    assert turns(waiting) == [True]
    await waiting.end()


async def test_who_is_cancelled_by_a_scope_of_the_server_is_not_told_of_overload() -> None:
    line = Admission(n_running=1, n_waiting=1)
    (running,) = await visitors(line, 1)
    with CancelScope() as scope:
        scope.cancel()
        async with line.turn(never):
            pytest.fail("there is no turn to have")
    assert scope.cancelled_caught
    await running.end()


async def test_a_turn_that_fails_is_given_back() -> None:
    line = Admission(n_running=1, n_waiting=0)
    with pytest.raises(RuntimeError, match="half-way"):
        async with line.turn(never):
            raise RuntimeError("half-way")
    async with line.turn(never):
        pass


async def test_of_a_turn_and_a_hang_up_at_once_no_turn_is_lost() -> None:
    line = Admission(n_running=1, n_waiting=1)
    running, waiting = await visitors(line, 2)
    waiting.hangs_up.set()
    await running.end()
    waiting.may_end.set()
    await asyncio.gather(waiting.task, return_exceptions=True)
    async with line.turn(never):
        pass
