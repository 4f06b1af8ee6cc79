"""Who may do what: the whole table, and a refusal that says who may."""

import pytest

from matching_service.access.policies import COMMAND_LINE, POLICIES, Action, Principal, Role, authorize
from matching_service.foundation.errors import Forbidden

MAY = {
    Role.PORTAL: {
        Action.ORGANIZATION_READ, Action.ORGANIZATION_WRITE, Action.DEMAND_READ, Action.DEMAND_WRITE,
        Action.DEMAND_SUBMIT, Action.DEMAND_WITHDRAW, Action.DEMAND_CONTACT_WRITE, Action.CLAIM_READ, Action.CLAIM_WRITE, Action.PROFILE_READ, Action.PROFILE_WRITE, Action.FEED_READ,
    },
    Role.BATCH: {
        Action.DEMAND_READ, Action.DEMAND_EXPIRE, Action.SUGGESTION_READ, Action.PROFILE_READ, Action.MATCH, Action.MATCH_STORE,
        Action.MATCH_READ, Action.RUN_START, Action.RUN_READ, Action.REPORT_READ,
    },
    Role.STAFF: set(Action) - {Action.WEBHOOK_MANAGE, Action.AUDIT_READ},
    Role.AUDITOR: {Action.AUDIT_READ},
    Role.ADMIN: set(Action),
}  # fmt: skip


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_each_role_may_do_what_the_table_says_and_nothing_else(role: Role, action: Action) -> None:
    principal = Principal("id", "name", role)
    if action in MAY[role]:
        authorize(principal, action)
    else:
        with pytest.raises(Forbidden) as refused:
            authorize(principal, action)
        assert refused.value.code == "forbidden"
        assert action.value in refused.value.detail.zh
        assert all(allowed.value in refused.value.detail.en for allowed in POLICIES[action])


def test_every_action_has_a_policy() -> None:
    assert set(POLICIES) == set(Action)


def test_contact_data_is_for_the_office_only() -> None:
    assert POLICIES[Action.CONTACT_READ] == {Role.STAFF, Role.ADMIN}
    assert POLICIES[Action.DEMAND_CONTACT_READ] == {Role.STAFF, Role.ADMIN}


def test_the_command_line_may_do_everything() -> None:
    for action in Action:
        authorize(COMMAND_LINE, action)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        POLICIES[Action.MATCH] = frozenset(Role)  # type: ignore[index]
