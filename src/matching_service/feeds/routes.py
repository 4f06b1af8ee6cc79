"""HTTP route of the feed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import StringConstraints

from matching_service.access.policies import POLICIES, Action, Principal, authorize
from matching_service.api.deps import (
    Permit,
    ReadSession,
)
from matching_service.api.fields import Blank
from matching_service.api.idempotency import RememberingRoute
from matching_service.api.problems import problem_responses
from matching_service.api.services import provided
from matching_service.disclosure.mapping import Mappings, find_mapping
from matching_service.disclosure.representations import FEED_ENTITIES
from matching_service.disclosure.schemas import Audience, FeedEntity, MappingName
from matching_service.feeds import feed
from matching_service.feeds.schemas import MAX_FEED_ITEMS, FeedAnswer
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput

router = APIRouter(prefix="/v1", tags=["exchange"], route_class=RememberingRoute)

_Entities = Annotated[str, StringConstraints(max_length=100)]
_Cursor = Annotated[str, StringConstraints(max_length=500)]
CanRead = Annotated[Principal, Depends(Permit(Action.FEED_READ))]


@router.get("/feed", responses=problem_responses(409))
async def read_feed(
    session: ReadSession,
    principal: CanRead,
    mappings: Annotated[Mappings, Depends(provided(Mappings))],
    entity: Annotated[
        _Entities | None, Blank, Query(description="`demand`, `profile`, `match`, with commas between them.")
    ] = None,
    cursor: Annotated[_Cursor | None, Blank, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FEED_ITEMS)] = MAX_FEED_ITEMS,
    own: Annotated[
        bool | None, Blank, Query(description="true: your own demands in every state, and nothing else.")
    ] = None,
    mapping: Annotated[MappingName | None, Blank, Query(description="Name of a mapping in the mapping file.")] = None,
) -> FeedAnswer:
    """Read the records that changed after a cursor, each once, as it is now. Without a cursor, read all records.

    A portal's key sees public records. Keys of the office also see restricted records, drafts, matches and imports.
    """
    audience: Audience = "office" if principal.role in POLICIES[Action.FEED_READ_OFFICE] else "public"
    if own:
        if principal.scope is None:
            raise InvalidInput.at("own", "source_needed", _NO_SOURCE)
        audience = "own"
    position = feed.decode_position(cursor) if cursor is not None else None
    requested = _entities(entity)
    if position is not None and requested is not None and set(requested) != set(position.entities):
        message = Bilingual(
            f"游标属于 entity={','.join(position.entities)}；请用同样的 entity，或不带 cursor 从头读取。",
            f"The cursor belongs to entity={','.join(position.entities)}; use the same entity, or start without a "
            "cursor.",
        )
        raise InvalidInput("cursor_of_other_entities", message, errors=[_at("cursor_of_other_entities", message)])
    default = _DEFAULT[audience]
    entities = position.entities if position is not None else requested or default
    if "match" in entities:
        authorize(principal, Action.FEED_READ_OFFICE)
    chosen = find_mapping(mappings, mapping) if mapping is not None else None
    return await feed.read_feed(
        session, entities, after=position, limit=limit, audience=audience, scope=principal.scope, mapping=chosen
    )


_NO_SOURCE = Bilingual(
    "本密钥没有来源；own 用于以 keys create --source 生成的门户密钥。",
    "The key has no source; own is for keys of portals, made with keys create --source.",
)


_DEFAULT: Mapping[Audience, tuple[FeedEntity, ...]] = MappingProxyType(
    {"public": ("demand", "profile"), "office": tuple(FEED_ENTITIES), "own": ("demand",)}
)


def _entities(text: str | None) -> tuple[FeedEntity, ...] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in FEED_ENTITIES]:
        available = ", ".join(FEED_ENTITIES)
        message = Bilingual(
            f"没有实体 {unknown[0]}；可用：{available}。", f"Unknown entity {unknown[0]}; available: {available}."
        )
        raise InvalidInput("unknown_entity", message, errors=[FieldError("unknown_entity", message, "entity")])
    return tuple(entity for entity in FEED_ENTITIES if entity in names)


def _at(code: str, message: Bilingual) -> FieldError:
    return FieldError(code, message, "cursor")
