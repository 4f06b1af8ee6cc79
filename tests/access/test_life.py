"""A life is its table: what is in it may happen, what is not may not, and the error says what may."""

from itertools import product

import pytest

from matching_service.access.policies import POLICIES
from matching_service.demands.states import EDITABLE, LIFE, OPEN, STATUS_NAMES, DemandStatus
from matching_service.foundation.errors import IllegalTransition, InvalidInput

S = DemandStatus

# The drawing of the domain, arrow by arrow, written a second time and by hand.
DRAWING = {
    S.DRAFT: {S.SUBMITTED, S.WITHDRAWN},
    S.SUBMITTED: {S.REVIEWED, S.RETURNED, S.WITHDRAWN},
    S.RETURNED: {S.SUBMITTED, S.WITHDRAWN},
    S.REVIEWED: {S.PUBLISHED, S.REJECTED},
    S.PUBLISHED: {S.MATCHING, S.EXPIRED, S.WITHDRAWN},
    S.MATCHING: {S.CONTRACTED, S.ABANDONED},
    S.CONTRACTED: {S.IN_PROGRESS, S.TERMINATED},
    S.IN_PROGRESS: {S.ACCEPTED, S.FAILED},
    S.ACCEPTED: {S.CLOSED},
}


@pytest.mark.parametrize(("current", "to"), list(product(S, S)))
def test_a_step_is_legal_when_it_is_drawn_and_otherwise_the_legal_ones_are_listed(current: S, to: S) -> None:
    if to in DRAWING.get(current, set()):
        step = LIFE.step(current, to)
        assert (step.source, step.target) == (current, to)
        assert step.action is LIFE.action(to)
        return
    with pytest.raises(IllegalTransition) as refused:
        LIFE.step(current, to)
    assert refused.value.code == "illegal_transition"
    assert set(refused.value.legal) == DRAWING.get(current, set())
    assert all(state in refused.value.detail.en for state in (current, to, *refused.value.legal))


def test_every_state_has_a_name_and_can_be_reached() -> None:
    assert set(STATUS_NAMES) == set(S)
    assert len(set(STATUS_NAMES.values())) == len(S)
    assert all(LIFE.path(S.DRAFT, state) is not None for state in S)


def test_a_state_asks_for_one_permission_whatever_the_way_to_it() -> None:
    """The door checks it before it reads the record."""
    for state in S:
        assert len({step.action for step in LIFE.steps if step.target is state}) <= 1
    assert all(POLICIES[step.action] for step in LIFE.steps)


def test_what_a_step_needs_is_missed_all_at_once() -> None:
    step = LIFE.step(S.MATCHING, S.CONTRACTED)
    LIFE.check_needs(step, {"contract_number": "1"})
    with pytest.raises(InvalidInput) as refused:
        LIFE.check_needs(step, {"contract_number": None, "opinion": "x"})
    assert [error.pointer for error in refused.value.errors] == ["/contract_number"]


def test_an_opinion_is_needed_to_return_and_to_reject_and_a_reason_to_end_without_success() -> None:
    needs = {step.target: step.needs for step in LIFE.steps}
    assert needs[S.RETURNED] == needs[S.REJECTED] == ("opinion",)
    assert needs[S.ABANDONED] == needs[S.TERMINATED] == needs[S.FAILED] == ("reason",)


def test_a_way_is_the_shortest_and_never_goes_back() -> None:
    assert LIFE.path(S.DRAFT, S.PUBLISHED) == [S.SUBMITTED, S.REVIEWED, S.PUBLISHED]
    assert LIFE.path(S.PUBLISHED, S.PUBLISHED) == []
    assert LIFE.path(S.CLOSED, S.DRAFT) is None
    assert LIFE.path(S.PUBLISHED, S.SUBMITTED) is None


def test_open_is_from_publication_until_a_contract() -> None:
    path = LIFE.path(S.DRAFT, S.CLOSED)
    assert path is not None
    assert set(path[path.index(S.PUBLISHED) : path.index(S.CONTRACTED)]) == OPEN
    assert all(LIFE.following(state) == [S.SUBMITTED, S.WITHDRAWN] for state in EDITABLE)
