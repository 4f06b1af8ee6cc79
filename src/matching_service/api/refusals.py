"""Refused requests leave a row in the audit log, but not so many that somebody could fill the disk with them."""

from time import monotonic

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.store.database import Database

_PER_MINUTE = 30
_MINUTE_S = 60.0
_MAX_PRINCIPALS = 10_000


class Refusals:
    """Notes at most ``_PER_MINUTE`` refusals a minute of each principal in this process."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[float, int]] = {}

    async def note(self, database: Database, principal: Principal, method: str, route: str) -> None:
        """Write an audit row ``refused`` unless this principal has reached its number for this minute."""
        began, n = self._noted.get(principal.id, (0.0, 0))
        if not n or monotonic() - began >= _MINUTE_S:
            began, n = monotonic(), 0
        if n >= _PER_MINUTE:
            return
        if len(self._noted) >= _MAX_PRINCIPALS:
            self._noted.clear()
        self._noted[principal.id] = began, n + 1
        detail = {"method": method, "route": route, "role": principal.role}
        async with database.transaction() as session:
            record_audit(session, principal, "refused", entity="route", entity_id=principal.id, detail=detail)
