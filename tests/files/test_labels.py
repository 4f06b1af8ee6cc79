"""Labels: what people decided and what came of it, readable by ``evaluate`` and ``fit``."""

from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.util import await_only

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandImport
from matching_service.demands.service import upsert_demands
from matching_service.evaluation.judgements import read_judgements
from matching_service.files.exports import export_file
from matching_service.files.labels import grade_of
from matching_service.foundation.clock import now
from matching_service.foundation.errors import InvalidInput
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import delete_profile, upsert_profiles
from matching_service.store.database import Database
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import SuggestionRow
from matching_service.suggestions.states import RefusalReason, SuggestionStatus

S = SuggestionStatus


@pytest.mark.parametrize(
    ("decision", "status", "reason", "grade"),
    [
        (None, S.AGREED, None, 3),
        ("rejected", S.MET, None, 3),  # what happened counts more than what was thought before
        (None, S.ACCEPTED, None, 2),
        ("pinned", None, None, 2),
        ("shortlisted", S.CONTACTED, None, 2),
        ("shortlisted", S.NO_ANSWER, None, 2),
        ("shortlisted", S.DECLINED, RefusalReason.NO_TIME, 2),
        ("shortlisted", S.DECLINED, RefusalReason.NOT_MY_FIELD, 0),
        ("pinned", S.NOT_SUITABLE, None, 0),
        ("rejected", None, None, 0),
        (None, S.DECLINED, RefusalReason.NO_TIME, None),
        (None, S.SUGGESTED, None, None),
        (None, None, None, None),
    ],
)
def test_a_pair_has_the_grade_of_what_came_of_it(
    decision: str | None, status: str | None, reason: str | None, grade: int | None
) -> None:
    assert grade_of(decision, status, reason) == grade


def test_every_pair_has_a_grade_that_evaluate_knows() -> None:
    for case in product((None, "pinned", "shortlisted", "rejected"), (None, *S), (None, *RefusalReason)):
        assert grade_of(*case) in {None, 0, 1, 2, 3}


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
async def test_what_is_written_is_read_back_by_evaluate(database: Database, tmp_path: Path, suffix: str) -> None:
    async with database.transaction() as session:
        demands = [DemandImport(external_id="D,1", title="柔轮"), DemandImport(title="陶瓷窑炉")]
        d = [one.id or "" for one in await upsert_demands(session, demands, COMMAND_LINE)]
        profiles = [
            ProfileImport(kind="expert", name="甲", external_id="E1"),
            ProfileImport(kind="expert", name="乙", external_id="E2"),
            ProfileImport(kind="expert", name="丙", external_id="E2", source="other"),
        ]
        p = [one.id or "" for one in await upsert_profiles(session, profiles, COMMAND_LINE)]
        session.add_all(
            DecisionRow(demand_id=demand, profile_id=profile, decision=decision, actor_id="cli", at=now())
            for demand, profile, decision in ((d[0], p[0], "pinned"), (d[0], p[1], "rejected"), (d[1], p[0], "pinned"))
        )
        session.add_all(
            SuggestionRow(demand_id=demand, profile_id=profile, status=status)
            for demand, profile, status in (
                (d[1], p[2], S.AGREED),
                (d[1], p[0], S.NOT_SUITABLE),
                (d[0], p[2], S.SUGGESTED),
            )
        )
    path = tmp_path / "new" / f"labels{suffix}"
    assert await export_file(database, "labels", path) == 4
    # E2 stands for two records, so our own ids name them
    assert read_judgements(path) == {"D,1": {"E1": 2, p[1]: 0}, d[1]: {p[2]: 3, "E1": 0}}


async def test_all_is_read_at_one_moment_though_somebody_is_deleted_meanwhile(
    database: Database, tmp_path: Path
) -> None:
    async with database.transaction() as session:
        (demand,) = await upsert_demands(session, [DemandImport(external_id="D", title="柔轮")], COMMAND_LINE)
        people = [ProfileImport(kind="expert", name="甲", external_id=f"E{n}") for n in range(2)]
        kept, gone = [one.id or "" for one in await upsert_profiles(session, people, COMMAND_LINE)]
        session.add_all(
            DecisionRow(demand_id=demand.id, profile_id=one, decision="pinned", actor_id="cli", at=now())
            for one in (kept, gone)
        )

    async def delete() -> None:
        async with database.transaction() as session:
            await delete_profile(session, await get_profile(session, gone), COMMAND_LINE)

    statements: list[str] = []

    def delete_after_the_decisions(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)
        if len(statements) == 2:
            await_only(delete())

    event.listen(database.engine.sync_engine, "before_cursor_execute", delete_after_the_decisions)
    path = tmp_path / "labels.tsv"
    assert await export_file(database, "labels", path) == 2
    assert read_judgements(path) == {"D": {"E0": 2, "E1": 2}}
    assert await export_file(database, "labels", path) == 1


async def test_another_format_is_refused_before_anything_is_written(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        await export_file(database, "labels", tmp_path / "labels.xlsx")
    assert refused.value.code == "unknown_format"
    assert list(tmp_path.glob("labels*")) == []  # noqa: ASYNC240
