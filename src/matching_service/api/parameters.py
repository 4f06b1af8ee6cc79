"""Query parameters that a route does not have are refused, as unknown fields of a body are.

A filter with a typing error would otherwise list everything.
"""

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from matching_service.api.problems import count_of_errors
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput


async def _known_parameters(request: Request) -> None:
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = _names(route)
    if unknown := [name for name in request.query_params if name not in known]:
        errors = [FieldError("unknown_parameter", _unknown(name, known), name) for name in unknown]
        detail = errors[0].message if len(errors) == 1 else count_of_errors(len(errors))
        raise InvalidInput("invalid_parameter", detail, errors=errors)


KnownParameters = Depends(_known_parameters)
"""For the whole application, so that no route can forget it."""


def _names(route: APIRoute) -> tuple[str, ...]:
    """The parameters of a route and of everything that it depends on."""
    fields = get_flat_params(route.dependant)
    return tuple(dict.fromkeys(field.alias for field in fields if isinstance(field.field_info, Query)))


def _unknown(name: str, known: tuple[str, ...]) -> Bilingual:
    shown = name.encode("utf-8", "replace").decode()[:100]
    listed = ", ".join(known)
    return Bilingual(
        f"没有查询参数 {shown}，请检查拼写；可用：{listed or '无'}。",
        f"There is no query parameter {shown}; check the spelling. There are: {listed or 'none'}.",
    )
