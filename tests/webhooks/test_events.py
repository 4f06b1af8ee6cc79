"""A subscription can name every event that the service records, and no other one."""

import re
from pathlib import Path

import matching_service
from matching_service.claims.states import ClaimStatus
from matching_service.demands.states import DemandStatus
from matching_service.suggestions.states import SuggestionStatus
from matching_service.webhooks.events import EVENTS, known_event

_RECORDED = re.compile(r'record_event\(\s*session,\s*"([a-z_]+\.[a-z_]+)"')


def test_every_recorded_event_is_known() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(matching_service.__file__).parent.rglob("*.py")]
    recorded = {name for text in texts for name in _RECORDED.findall(text)}
    assert len(recorded) > 10
    for name in recorded:
        assert known_event(name) == name


def test_every_state_is_an_event() -> None:
    assert EVENTS["demand"] >= set(DemandStatus)
    assert EVENTS["suggestion"] >= set(SuggestionStatus)
    assert EVENTS["claim"] == {*ClaimStatus, "judged"}
    assert EVENTS["match"] >= {"undecided"}
