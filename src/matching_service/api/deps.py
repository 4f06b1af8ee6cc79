"""Dependencies of routes: sessions, the principal, a page request, the version that a client has read, the language.

All are coroutines, even those that await nothing, because FastAPI would run a plain function in a thread.
"""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Action, Principal, authorize
from matching_service.api.authentication import WrongKeys
from matching_service.api.fields import Blank, Text200
from matching_service.api.problems import language_of
from matching_service.api.services import provided, services_of
from matching_service.foundation.errors import Bilingual, Language, PreconditionFailed
from matching_service.foundation.logs import client_address
from matching_service.foundation.paging import DEFAULT_LIMIT, MAX_LIMIT, PageRequest, decode_cursor
from matching_service.store.database import LAST_SEQ, Database

_bearer = HTTPBearer(auto_error=False, description="An API key, created by `matching-service keys create`.")


DatabaseDep = Annotated[Database, Depends(provided(Database))]


async def _write_session(request: Request, database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    async with database.transaction() as session:
        yield session
    request.state.as_of = session.info.get(LAST_SEQ)  # the middleware sends it as the header X-As-Of


async def _read_session(database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    async with database.reading() as session:
        yield session


# scope="function": the commit happens before the response is sent, so the client sees an error if it fails.
WriteSession = Annotated[AsyncSession, Depends(_write_session, scope="function")]
ReadSession = Annotated[AsyncSession, Depends(_read_session, scope="function")]


async def authenticated(
    request: Request,
    database: DatabaseDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Return the caller, whom the middleware has authenticated already if the request has a body."""
    if (principal := getattr(request.state, "principal", None)) is not None:
        return cast("Principal", principal)
    wrong_keys, address = services_of(request).get(WrongKeys), client_address.get() or ""
    key = credentials.credentials if credentials else None
    request.state.principal = await wrong_keys.authenticate(database, address, key)
    return cast("Principal", request.state.principal)


PrincipalDep = Annotated[Principal, Depends(authenticated)]


class Permit:
    """``Depends(Permit(Action.X))`` returns the principal, or raises Unauthenticated or Forbidden."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, principal: PrincipalDep) -> Principal:
        authorize(principal, self.action)
        return principal


Purpose = Annotated[
    Text200, Query(description="Why the personal data is read 查阅事由; it is written into the audit log.")
]
_Cursor = Annotated[str, StringConstraints(max_length=200)]


async def _page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items per page.")] = DEFAULT_LIMIT,
    cursor: Annotated[_Cursor | None, Blank, Query(description="`next_cursor` of the previous page.")] = None,
) -> PageRequest:
    return PageRequest(limit, decode_cursor(cursor) if cursor else None)


PageDep = Annotated[PageRequest, Depends(_page_request)]
IfMatch = Annotated[str | None, Header(description="The `ETag` of the version read; prevents lost updates (412).")]


def set_etag(response: Response, row_version: int) -> None:
    response.headers["ETag"] = f'"{row_version}"'


def names_tag(header: str, etag: str) -> bool:
    """Whether a list of entity tags, as in If-Match and If-None-Match, has this one, weak or strong; ``*`` has all."""
    return header.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in header.split(","))


def check_if_match(if_match: str | None, row_version: int) -> None:
    """Raise PreconditionFailed unless the header is absent, ``*``, or names this version."""
    if if_match is None:
        return
    if names_tag(if_match, f'"{row_version}"'):
        return
    raise PreconditionFailed(
        "etag_mismatch",
        Bilingual(
            f"记录现为版本 {row_version}，与 If-Match 不符；请重新读取后再改。",
            f"The record has version {row_version}, not the version in If-Match; read it again, then change it.",
        ),
    )


async def _language(
    accept_language: Annotated[str | None, Header(description="`zh` (default) or `en`.")] = None,
) -> Language:
    return language_of(accept_language)


LanguageDep = Annotated[Language, Depends(_language)]
