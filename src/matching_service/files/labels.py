"""Export decisions of staff and outcomes of suggestions as judged pairs for ``evaluate`` and ``fit``."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.files.formats import replacing
from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import SuggestionRow

_DELIMITERS = {".tsv": "\t", ".csv": ","}
_BY_DECISION: Mapping[str, int] = MappingProxyType({"pinned": 2, "shortlisted": 2, "rejected": 0})
_BY_STATUS: Mapping[str, int] = MappingProxyType({"agreed": 3, "met": 3, "accepted": 2, "not_suitable": 0})
_WRONG_FIELD = "not_my_field"


def grade_of(decision: str | None, status: str | None, reason: str | None) -> int | None:
    """Return the grade of a pair, 0 to 3, or None if nothing shows whether the two fit.

    The outcome of a suggestion outweighs the decision of staff before it. A person without time, or one who does not
    answer, is no evidence against the fit. "Not my field" is.
    """
    if reason == _WRONG_FIELD:
        return 0
    if status is not None and status in _BY_STATUS:
        return _BY_STATUS[status]
    return _BY_DECISION[decision] if decision is not None else None


async def export_labels(database: Database, path: Path) -> int:
    """Write demand, profile and grade of every graded pair, ordered by demand and profile. Returns their number.

    A record is named by its external id if that is unique among all sources, else by our id.
    """
    delimiter = _DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        message = Bilingual(
            f"标注文件须为 .tsv 或 .csv：{path.name}。", f"Labels must be a .tsv or .csv file: {path.name}."
        )
        raise InvalidInput("unknown_format", message)
    async with database.snapshot() as session:
        decisions = {
            (row.demand_id, row.profile_id): row.decision
            for row in await session.execute(
                select(DecisionRow.demand_id, DecisionRow.profile_id, DecisionRow.decision)
            )
        }
        suggestions = {
            (row.demand_id, row.profile_id): (row.status, row.reason)
            for row in await session.execute(
                select(SuggestionRow.demand_id, SuggestionRow.profile_id, SuggestionRow.status, SuggestionRow.reason)
            )
        }
        demands, profiles = await _keys(session, DemandRow), await _keys(session, ProfileRow)
    labels: list[tuple[str, str, int]] = []
    for pair in decisions.keys() | suggestions.keys():
        grade = grade_of(decisions.get(pair), *suggestions.get(pair, (None, None)))
        if grade is not None:
            labels.append((demands[pair[0]], profiles[pair[1]], grade))
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(("demand", "profile", "grade"))
        writer.writerows(sorted(labels))
    return len(labels)


async def _keys(session: AsyncSession, table: type[DemandRow | ProfileRow]) -> dict[str, str]:
    """Return, by our id, the key that names a record in labels."""
    count = func.count()
    ambiguous = set(
        await session.scalars(
            select(table.external_id)
            .where(table.external_id.is_not(None))
            .group_by(table.external_id)
            .having(count > 1)
        )
    )
    return {
        row.id: row.id if row.external_id is None or row.external_id in ambiguous else row.external_id
        for row in await session.execute(select(table.id, table.external_id))
    }
