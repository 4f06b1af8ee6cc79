"""What holds for every route of the application, and for everything that its routes depend on."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from matching_service.app import create_app
from matching_service.foundation.settings import Settings


def called(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    """The endpoint, and whatever FastAPI calls for it."""
    if dependant.call is not None:
        yield dependant.call
    for one in dependant.dependencies:
        yield from called(one)


def runs_in_the_event_loop(call: Callable[..., Any]) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    if inspect.isclass(call):  # FastAPI makes an instance in a thread
        return False
    return any(kind(one) for kind in kinds for one in (call, type(call).__call__))


def test_nothing_that_a_route_calls_runs_in_a_thread() -> None:
    routes = {
        f"{sorted(route.methods or ())} {route.path}": route.dependant
        for route in iter_route_contexts(create_app(Settings()).routes)
        if hasattr(route, "dependant")
    }
    assert len([name for name in routes if "/v1/" in name]) > 60
    in_threads = {
        f"{call.__module__}.{getattr(call, '__qualname__', call)} of {name}"
        for name, dependant in routes.items()
        for call in called(dependant)
        if not runs_in_the_event_loop(call)
    }
    assert in_threads == set()


def test_every_kind_of_callable_is_told_apart() -> None:
    class Settled:
        def __call__(self) -> None: ...

    class Awaited:
        async def __call__(self) -> None: ...

    def plain() -> None: ...
    def generator() -> Iterator[None]:
        yield

    async def awaited() -> None: ...
    async def streamed() -> Any:
        yield

    in_threads: tuple[Any, ...] = (Settled(), Settled, Awaited, plain, generator)
    in_the_loop: tuple[Any, ...] = (Awaited(), awaited, streamed)
    assert not any(runs_in_the_event_loop(one) for one in in_threads)
    assert all(runs_in_the_event_loop(one) for one in in_the_loop)
