"""The services of a process, by type. ``app.py`` adds each once; a route asks for the type that it needs."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from fastapi import Request

Service = TypeVar("Service")


class Services:
    """One instance per type. Adding a type again replaces the first instance, as tests do."""

    def __init__(self, *services: object) -> None:
        self._by_type: dict[type[Any], object] = {}
        for service in services:
            self.add(service)

    def add(self, service: object) -> None:
        self._by_type[type(service)] = service

    def get(self, kind: type[Service]) -> Service:
        """Return the service of exactly this type. Raises LookupError if none was added."""
        try:
            return cast("Service", self._by_type[kind])
        except KeyError:
            raise LookupError(f"no service of the type {kind.__name__} was added") from None


def services_of(request: Request) -> Services:
    """Return the services of the application that handles a request."""
    services: Services = request.app.state.services
    return services


def provided(kind: type[Service]) -> Callable[[Request], Awaitable[Service]]:
    """Return a dependency for a service: ``Depends(provided(Engine))`` gives the engine."""

    async def provide(request: Request) -> Service:
        return services_of(request).get(kind)

    return provide
