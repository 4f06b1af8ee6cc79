"""The policy table: the roles that may perform each action. A role that an action does not list is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from matching_service.foundation.errors import Bilingual, Forbidden
from matching_service.store.scope import Scope


class Role(StrEnum):
    PORTAL = "portal"
    STAFF = "staff"
    BATCH = "batch"
    ADMIN = "admin"
    AUDITOR = "auditor"


class PrincipalKind(StrEnum):
    KEY = "key"
    COMMAND_LINE = "command_line"
    FEED = "feed"


class Action(StrEnum):
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_WRITE = "organization:write"
    ORGANIZATION_MERGE = "organization:merge"
    DEMAND_READ = "demand:read"
    DEMAND_WRITE = "demand:write"
    DEMAND_SUBMIT = "demand:submit"
    DEMAND_WITHDRAW = "demand:withdraw"
    DEMAND_TRANSITION = "demand:transition"
    DEMAND_EXPIRE = "demand:expire"
    DEMAND_CONTACT_READ = "demand_contact:read"
    DEMAND_CONTACT_WRITE = "demand_contact:write"
    PROFILE_READ = "profile:read"
    PROFILE_WRITE = "profile:write"
    PROFILE_DELETE = "profile:delete"
    CONTACT_READ = "contact:read"
    CONTACT_WRITE = "contact:write"
    SUGGESTION_READ = "suggestion:read"
    SUGGESTION_WRITE = "suggestion:write"
    CLAIM_READ = "claim:read"
    CLAIM_READ_OFFICE = "claim:read_office"
    CLAIM_WRITE = "claim:write"
    CLAIM_JUDGE = "claim:judge"
    PROJECT_READ = "project:read"
    PROJECT_WRITE = "project:write"
    ENGAGEMENT_READ = "engagement:read"
    ENGAGEMENT_WRITE = "engagement:write"
    PROGRAMME_READ = "programme:read"
    PROGRAMME_WRITE = "programme:write"
    REPORT_READ = "report:read"
    IMPORT = "import:write"
    MATCH = "match:rank"
    MATCH_STORE = "match:store"
    MATCH_READ = "match:read"
    MATCH_DECIDE = "match:decide"
    RUN_START = "match_run:start"
    RUN_READ = "match_run:read"
    WEBHOOK_MANAGE = "webhook:manage"
    AUDIT_READ = "audit:read"
    FEED_READ = "feed:read"
    FEED_READ_OFFICE = "feed:read_office"


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller: id and name from its row in ``principals``, role and scope of the key it used."""

    id: str
    name: str
    role: Role
    scope: Scope | None = None


COMMAND_LINE = Principal("cli", "command line", Role.ADMIN)
"""The operator on the host. It is an administrator because it can read the database file anyway."""

_EVERYONE = frozenset(Role) - {Role.AUDITOR}  # who reads the audit log, and nothing else
_OFFICE = frozenset({Role.STAFF, Role.ADMIN})
_OFFICE_AND_PORTAL = _OFFICE | {Role.PORTAL}
_OFFICE_AND_BATCH = _OFFICE | {Role.BATCH}

POLICIES: Mapping[Action, frozenset[Role]] = MappingProxyType(
    {
        Action.ORGANIZATION_READ: _OFFICE_AND_PORTAL,
        Action.ORGANIZATION_WRITE: _OFFICE_AND_PORTAL,
        Action.ORGANIZATION_MERGE: _OFFICE,
        Action.DEMAND_READ: _EVERYONE,
        Action.DEMAND_WRITE: _OFFICE_AND_PORTAL,
        Action.DEMAND_SUBMIT: _OFFICE_AND_PORTAL,
        Action.DEMAND_WITHDRAW: _OFFICE_AND_PORTAL,
        Action.DEMAND_TRANSITION: _OFFICE,
        Action.DEMAND_EXPIRE: _OFFICE_AND_BATCH,
        Action.DEMAND_CONTACT_READ: _OFFICE,
        Action.DEMAND_CONTACT_WRITE: _OFFICE_AND_PORTAL,
        Action.PROFILE_READ: _EVERYONE,
        Action.PROFILE_WRITE: _OFFICE_AND_PORTAL,
        Action.PROFILE_DELETE: _OFFICE,
        Action.CONTACT_READ: _OFFICE,
        Action.CONTACT_WRITE: _OFFICE,
        Action.SUGGESTION_READ: _OFFICE_AND_BATCH,
        Action.SUGGESTION_WRITE: _OFFICE,
        Action.CLAIM_READ: _OFFICE_AND_PORTAL,
        Action.CLAIM_READ_OFFICE: _OFFICE,
        Action.CLAIM_WRITE: _OFFICE_AND_PORTAL,
        Action.CLAIM_JUDGE: _OFFICE,
        Action.PROJECT_READ: _OFFICE,
        Action.PROJECT_WRITE: _OFFICE,
        Action.ENGAGEMENT_READ: _OFFICE,
        Action.ENGAGEMENT_WRITE: _OFFICE,
        Action.PROGRAMME_READ: _OFFICE,
        Action.PROGRAMME_WRITE: _OFFICE,
        Action.REPORT_READ: _OFFICE_AND_BATCH,
        Action.IMPORT: _OFFICE,
        Action.MATCH: _OFFICE_AND_BATCH,
        Action.MATCH_STORE: _OFFICE_AND_BATCH,
        Action.MATCH_READ: _OFFICE_AND_BATCH,
        Action.MATCH_DECIDE: _OFFICE,
        Action.RUN_START: _OFFICE_AND_BATCH,
        Action.RUN_READ: _OFFICE_AND_BATCH,
        Action.WEBHOOK_MANAGE: frozenset({Role.ADMIN}),
        Action.AUDIT_READ: frozenset({Role.ADMIN, Role.AUDITOR}),
        Action.FEED_READ: _OFFICE_AND_PORTAL,
        Action.FEED_READ_OFFICE: _OFFICE,
    }
)


def authorize(principal: Principal, action: Action) -> None:
    """Raise Forbidden unless the role of the principal permits the action. The message lists the permitted roles."""
    if principal.role in POLICIES[action]:
        return
    allowed = ", ".join(sorted(POLICIES[action]))
    raise Forbidden(
        "forbidden",
        Bilingual(
            f"角色 {principal.role} 不能执行 {action}；可执行的角色：{allowed}。",
            f"Role {principal.role} may not do {action}; roles that may: {allowed}.",
        ),
    )
