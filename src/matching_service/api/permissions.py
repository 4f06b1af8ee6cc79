"""The table of permissions: for each route the actions that it needs, read from the routes themselves."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from matching_service.access.policies import POLICIES, Action, Role
from matching_service.api.deps import Permit, authenticated


@dataclass(frozen=True, slots=True)
class RoutePermission:
    """actions : all of them are needed. needs_key : False for what the public may read.

    Steps of demands, suggestions and claims need the action of the step besides, and some parameters an action of
    their own; ``roles`` are those that may call the route at all.
    """

    method: str
    path: str
    actions: tuple[Action, ...]
    needs_key: bool

    @property
    def roles(self) -> frozenset[Role]:
        roles = frozenset(Role) if self.needs_key else frozenset()
        for action in self.actions:
            roles &= POLICIES[action]
        return roles


def route_permissions(app: FastAPI) -> list[RoutePermission]:
    """Return the permissions of all published routes, by path and method."""
    found = [
        RoutePermission(
            method, str(route.path), tuple(sorted(set(_actions(route.dependant)))), _needs_key(route.dependant)
        )
        for route in iter_route_contexts(app.routes)
        if getattr(route, "include_in_schema", False) and hasattr(route, "dependant")
        for method in sorted(route.methods or ())
    ]
    return sorted(found, key=lambda row: (row.path, row.method))


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for one in dependant.dependencies:
        yield from _calls(one)


def _actions(dependant: Dependant) -> Iterator[Action]:
    return (call.action for call in _calls(dependant) if isinstance(call, Permit))


def _needs_key(dependant: Dependant) -> bool:
    return authenticated in _calls(dependant)


def as_page(rows: list[RoutePermission]) -> str:
    """The table as a page in Markdown: docs/permissions.md."""
    roles = list(Role)
    lines = [
        _INTRODUCTION,
        f"| route | {' | '.join(roles)} | action |",
        f"| --- {'| :-: ' * len(roles)}| --- |",
    ]
    for row in rows:
        marks = [_mark(row, role) for role in roles]
        actions = ", ".join(row.actions) or ("of the step" if row.path.endswith("/transitions") else "")
        lines.append(f"| `{row.method} {row.path}` | {' | '.join(marks)} | {actions} |")
    return "\n".join(lines) + "\n"


def _mark(row: RoutePermission, role: Role) -> str:
    if not row.needs_key:
        return "public"
    return "✓" if role in row.roles else ""


_INTRODUCTION = """# Permissions 权限表

Made by `make permissions` from the routes and the policies of the running code. A test compares it, and tries every
route with every role. **public** needs no key. A caller without a mark gets 403; without a key, 401.

- `portal`: a key bound to a source reads and writes the records of that source only, and what is public; those of
  others are 404.
- `batch`: reads what is public only; it ranks, runs and lets demands expire.
- Steps of demands and claims (`…/transitions`) need the action of the step: a portal submits and withdraws, staff do
  the rest.
- `POST /v1/matches` with `store` needs `match:store`; `GET /v1/feed` of other entities than the public ones
  `feed:read_office`.
- Contact data is for staff and administrators; each reading is in the audit log.
"""
