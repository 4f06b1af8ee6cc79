"""The events that there are, by entity: a subscription to another one would never hear of anything."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic_core import PydanticCustomError

from matching_service.demands.states import DemandStatus
from matching_service.suggestions.states import SuggestionStatus

EVENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "claim": frozenset({"offered", "judged", "chosen", "not_chosen", "withdrawn"}),
        "demand": frozenset({"created", "updated", "deleted", "nudge", "last_chance"} | set(DemandStatus)),
        "engagement": frozenset({"created", "updated"}),
        "match": frozenset({"pinned", "shortlisted", "rejected", "undecided"}),
        "match_list": frozenset({"changed"}),
        "match_run": frozenset({"finished"}),
        "organization": frozenset({"updated", "deleted", "merged", "received", "exclusions_changed"}),
        "profile": frozenset({"created", "updated", "deleted"}),
        "programme_record": frozenset({"created", "updated", "deleted"}),
        "project": frozenset({"opened", "updated", "deleted"}),
        "suggestion": frozenset(SuggestionStatus),
    }
)


def known_event(pattern: str) -> str:
    """The pattern, when some event has it."""
    entity, _, name = pattern.partition(".")
    if pattern == "*" or (entity in EVENTS and (name == "*" or name in EVENTS[entity])):
        return pattern
    known = sorted(EVENTS[entity]) if entity in EVENTS else sorted(EVENTS)
    raise PydanticCustomError("unknown_event", "there is no such event; known: {known}", {"known": ", ".join(known)})
