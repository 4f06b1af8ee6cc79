"""The index follows the database: every committed change, in every process, the same as built anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandImport
from matching_service.demands.service import upsert_demands
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.foundation.errors import Unavailable
from matching_service.index.snapshot import Snapshot
from matching_service.matching.indexing import LiveIndex, demand_index, profile_index
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileImport, ProfilePatch, Work
from matching_service.profiles.service import delete_profile, update_profile, upsert_profiles
from matching_service.ranking.encoder import NoEncoder
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow

ENCODER = NoEncoder()


def profile(n: int, **values: Any) -> ProfileImport:
    body = {"external_id": f"E{n}", "kind": "expert", "name": f"专家{n}", "summary": f"谐波减速器柔轮疲劳{'寿命' * n}"}
    return ProfileImport(**body | values)


async def store(database: Database, *profiles: ProfileImport) -> list[str]:
    async with database.transaction() as session:
        stored = await upsert_profiles(session, profiles, COMMAND_LINE)
    return [result.id or "" for result in stored]


async def hide(database: Database, profile_id: str, visibility: str = "hidden") -> None:
    async with database.transaction() as session:
        row = await get_profile(session, profile_id)
        await update_profile(session, row, ProfilePatch(visibility=visibility), COMMAND_LINE)


async def remove(database: Database, profile_id: str) -> None:
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, profile_id), COMMAND_LINE)


def found(snapshot: Snapshot, title: str = "谐波减速器柔轮疲劳") -> list[tuple[str, float]]:
    return [(entry.profile_id, entry.score) for entry in rank(prepare(Query(title=title), ENCODER), snapshot, top_k=50)]


def same(first: Snapshot, second: Snapshot) -> None:
    assert list(first.profile_ids) == list(second.profile_ids)
    assert list(first.facts) == list(second.facts)
    assert list(first.work_ids) == list(second.work_ids)
    assert first.as_of == second.as_of
    np.testing.assert_array_equal(first.profile_rows, second.profile_rows)
    assert found(first) == found(second)


@pytest.fixture
async def index(database: Database, tmp_path: Path) -> LiveIndex:
    made = profile_index(database, ENCODER, tmp_path / "index")
    await made.open()
    return made


async def test_an_index_that_is_not_open_says_so(database: Database, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        await profile_index(database, ENCODER, tmp_path).catch_up()
    assert refused.value.code == "index_loading"


async def test_an_empty_database_has_an_empty_index(index: LiveIndex) -> None:
    snapshot = await index.catch_up()
    assert (list(snapshot.profile_ids), snapshot.as_of, found(snapshot)) == ([], 0, [])


async def test_a_committed_change_is_in_the_next_snapshot(database: Database, index: LiveIndex) -> None:
    (first,) = await store(database, profile(1))
    assert await index.behind() > 0
    assert [entry[0] for entry in found(await index.catch_up())] == [first]
    assert await index.behind() == 0
    await store(database, profile(1, summary="陶瓷窑炉"))
    snapshot = await index.catch_up()
    assert found(snapshot, "陶瓷窑炉")[0][1] > 0.3
    assert not [score for _, score in found(snapshot) if score > 0.2]


async def test_a_change_that_is_not_committed_is_not_seen(database: Database, index: LiveIndex) -> None:
    async with database.transaction() as session:
        await upsert_profiles(session, [profile(1)], COMMAND_LINE)
        assert list((await index.catch_up()).profile_ids) == []
    assert len((await index.catch_up()).profile_ids) == 1


async def test_a_snapshot_stays_as_it_is(database: Database, index: LiveIndex) -> None:
    await store(database, profile(1))
    before = await index.catch_up()
    ranking = found(before)
    await store(database, profile(1, summary="窑炉"), profile(2))
    after = await index.catch_up()
    assert after is not before
    assert after.version != before.version
    assert found(before) == ranking


async def test_without_a_change_the_snapshot_is_the_same_object(database: Database, index: LiveIndex) -> None:
    await store(database, profile(1))
    assert await index.catch_up() is await index.catch_up()


async def test_works_are_passages_of_their_profile(database: Database, index: LiveIndex) -> None:
    (first,) = await store(database, profile(1, works=[Work(title="陶瓷窑炉余热"), Work(title="齿根裂纹")]))
    snapshot = await index.catch_up()
    assert len(snapshot.work_ids) == 3
    assert found(snapshot, "陶瓷窑炉余热")[0][0] == first
    await store(database, profile(1, works=[Work(title="齿根裂纹")]))
    assert len((await index.catch_up()).work_ids) == 2


async def test_a_deleted_profile_is_not_found(database: Database, index: LiveIndex) -> None:
    first, second = await store(database, profile(1), profile(2))
    await index.catch_up()
    await remove(database, first)
    assert list((await index.catch_up()).profile_ids) == [second]


async def test_a_hidden_profile_is_not_found_until_it_is_shown_again(database: Database, index: LiveIndex) -> None:
    first, second = await store(database, profile(1), profile(2, visibility="hidden"))
    assert list((await index.catch_up()).profile_ids) == [first]
    await hide(database, first)
    assert list((await index.catch_up()).profile_ids) == []
    await hide(database, second, "restricted")
    assert list((await index.catch_up()).profile_ids) == [second]
    assert list((await index.rebuild()).profile_ids) == [second]


async def test_built_by_changes_equals_built_at_once(database: Database, index: LiveIndex, tmp_path: Path) -> None:
    ids = []
    for n in range(8):
        ids += await store(database, profile(n, works=[Work(title=f"论文{n}")] * (n % 3)))
        await index.catch_up()
    await store(database, *(profile(n, summary=f"柔轮疲劳{n}") for n in range(0, 8, 2)))
    await hide(database, ids[1])
    await remove(database, ids[2])
    by_changes = await index.catch_up()
    at_once = profile_index(database, ENCODER, tmp_path / "other")
    await at_once.open()
    same(by_changes, at_once.snapshot)
    same(by_changes, await index.rebuild())
    same(by_changes, await index.catch_up())


async def test_two_processes_on_one_database_agree(database_url: str, tmp_path: Path) -> None:
    databases = [Database(database_url) for _ in range(2)]
    first, second = (profile_index(database, ENCODER, tmp_path / "index") for database in databases)
    await first.open()
    await store(databases[1], profile(1), profile(2))
    await second.open()
    ids = await store(databases[0], profile(3), profile(4))
    same(await first.catch_up(), await second.catch_up())
    await remove(databases[1], ids[0])
    same(await first.catch_up(), await second.catch_up())
    assert len(first.snapshot.profile_ids) == 3
    for database in databases:
        await database.close()


async def test_a_saved_snapshot_is_loaded_and_moved_on(database: Database, index: LiveIndex, tmp_path: Path) -> None:
    await store(database, profile(1), profile(2))
    saved = await index.rebuild()
    await index.save()
    again = profile_index(database, ENCODER, tmp_path / "index")
    await again.open()
    assert again.snapshot.version == saved.version
    same(again.snapshot, saved)
    await store(database, profile(3))
    later = profile_index(database, ENCODER, tmp_path / "index")
    await later.open()
    same(later.snapshot, await index.catch_up())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"\x00garbage" * 50)


@pytest.mark.parametrize("damage", [cut, empty, garble, Path.unlink])
@pytest.mark.parametrize(
    "name", ["CURRENT", "manifest.json", "profile_rows.npy", "terms.json", "impacts.npz", "vectors.npy"]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_damaged_snapshot_is_refused_and_rebuilt(
    database: Database, index: LiveIndex, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    """Whatever a full disk or a crash left behind: the program starts, and finds what it should."""
    await store(database, profile(1), profile(2))
    saved = await index.rebuild()
    (path,) = (tmp_path / "index").rglob(name)
    damage(path)
    again = profile_index(database, ENCODER, tmp_path / "index")
    await again.open()
    same(again.snapshot, saved)
    third = profile_index(database, ENCODER, tmp_path / "index")
    await third.open()
    assert third.snapshot.version == again.snapshot.version


async def test_a_snapshot_that_is_ahead_of_the_database_is_refused_and_rebuilt(
    database: Database, index: LiveIndex, migrated_sqlite: Path, tmp_path: Path
) -> None:
    """After a backup was restored, or MATCHING_DATABASE_URL changed, the data folder holds another database's index."""
    await store(database, *(profile(n) for n in range(5)))
    await index.rebuild()
    (tmp_path / "restored.sqlite3").write_bytes(migrated_sqlite.read_bytes())  # noqa: ASYNC240
    restored = Database(f"sqlite+aiosqlite:///{tmp_path / 'restored.sqlite3'}")
    ids = await store(restored, profile(1))
    after = profile_index(restored, ENCODER, tmp_path / "index")
    await after.open()
    assert list((await after.catch_up()).profile_ids) == ids
    await restored.close()


async def test_the_index_of_demands_knows_their_state(database: Database, tmp_path: Path) -> None:
    index = demand_index(database, ENCODER, tmp_path / "index")
    await index.open()
    async with database.transaction() as session:
        demands = [DemandImport(external_id=str(n), title=f"柔轮开裂{n}", cluster="装备制造") for n in range(2)]
        stored = await upsert_demands(session, demands, COMMAND_LINE)
    assert [facts.kind for facts in (await index.catch_up()).facts] == ["draft", "draft"]
    async with database.transaction() as session:
        row = await session.get(DemandRow, stored[0].id)
        assert row is not None
        await adopt_status(session, row, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
    by_changes = await index.catch_up()
    assert sorted(facts.kind for facts in by_changes.facts) == ["draft", "published"]
    same(by_changes, await index.rebuild())


async def test_rebuilding_tells_how_many_rows_are_done(database: Database, index: LiveIndex) -> None:
    await store(database, *(profile(n) for n in range(7)))
    told: list[int] = []
    await index.rebuild(told.append)
    assert sum(told) == 7


async def test_a_row_that_vanished_without_an_event_does_no_harm(database: Database, index: LiveIndex) -> None:
    ids = await store(database, profile(1), profile(2))
    async with database.transaction() as session:
        await session.execute(delete(ProfileRow).where(ProfileRow.id == ids[0]))
    assert list((await index.catch_up()).profile_ids) == [ids[1]]
    async with database.reading() as session:
        assert list(await session.scalars(select(ProfileRow.id))) == [ids[1]]
