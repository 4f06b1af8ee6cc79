"""The index follows the database: every committed change, in every process, the same as built anew; vectors follow."""

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranking.worlds import CALIBRATION, N_DIMENSIONS, HashEncoder
from sqlalchemy import delete, select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandImport
from matching_service.demands.service import upsert_demands
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.foundation.errors import Unavailable
from matching_service.index.contract import FloatArray
from matching_service.index.snapshot import Snapshot
from matching_service.live_index import indexing
from matching_service.live_index.indexing import DEMANDS, PROFILES, LiveIndex, Source
from matching_service.live_index.vectors import VectorStore
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileImport, ProfilePatch, Work
from matching_service.profiles.service import delete_profile, update_profile, upsert_profiles
from matching_service.ranking.encoder import Encoder, NoEncoder
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow

NO_ENCODER = NoEncoder()


class CountingEncoder:
    """Means what ``HashEncoder`` means, and remembers which texts it was asked for."""

    version = "counting-1"
    is_available = True
    n_dimensions = N_DIMENSIONS
    calibration = CALIBRATION

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._model = HashEncoder()
        self._lock = threading.Lock()

    def encode(
        self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
    ) -> list[FloatArray | None]:
        with self._lock:
            self.asked += texts
        vectors: list[FloatArray | None] = self._model.encode(texts, languages, is_query=is_query)
        return vectors


def profile(n: int, **values: Any) -> ProfileImport:
    body = {"external_id": f"E{n}", "kind": "expert", "name": f"专家{n}", "summary": f"谐波减速器柔轮疲劳{'寿命' * n}"}
    return ProfileImport(**body | values)


async def store(database: Database, *profiles: ProfileImport) -> list[str]:
    async with database.transaction() as session:
        stored = await upsert_profiles(session, profiles, COMMAND_LINE)
    return [result.id or "" for result in stored]


async def change(database: Database, profile_id: str, **values: Any) -> None:
    async with database.transaction() as session:
        row = await get_profile(session, profile_id)
        await update_profile(session, row, ProfilePatch(**values), COMMAND_LINE)


async def remove(database: Database, profile_id: str) -> None:
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, profile_id), COMMAND_LINE)


def live_index(
    database: Database, folder: Path, encoder: Encoder = NO_ENCODER, *, source: Source = PROFILES
) -> LiveIndex[Snapshot]:
    return LiveIndex(source, database, encoder, VectorStore(database, encoder), form=Snapshot, folder=folder)


async def opened(database: Database, folder: Path, encoder: Encoder = NO_ENCODER) -> LiveIndex[Snapshot]:
    made = live_index(database, folder, encoder)
    await made.open()
    return made


def segments(index: LiveIndex[Snapshot]) -> list[str]:
    return [part.segment.name for part in index.snapshot.parts]


async def follow(index: LiveIndex[Snapshot]) -> None:
    """As the server does beside the requests, until there is nothing to do at once."""
    while await index.follow():
        pass


def ids_of(snapshot: Snapshot) -> list[str]:
    return sorted({snapshot.profile_id(int(p)) for p in snapshot.profile_rows[snapshot.alive_rows]})


def found(
    snapshot: Snapshot, title: str = "谐波减速器柔轮疲劳", encoder: Encoder = NO_ENCODER
) -> list[tuple[str, float]]:
    return [(entry.profile_id, entry.score) for entry in rank(prepare(Query(title=title), encoder), snapshot, top_k=50)]


def contents(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return sorted(
        (
            snapshot.profile_id(int(snapshot.profile_rows[row])),
            *snapshot.work_ids(np.array([row])).tolist(),
            repr(snapshot.facts_of(snapshot.profile_rows[[row]])),
            *snapshot.languages(np.array([row])).tolist(),
            *snapshot.years(np.array([row])).tolist(),
        )
        for row in np.flatnonzero(snapshot.alive_rows)
    )


def same(first: Snapshot, second: Snapshot, encoder: Encoder = NO_ENCODER) -> None:
    """The two hold the same and rank alike with the same frequencies, which are counted now and then."""
    assert contents(first) == contents(second)
    assert (first.as_of, first.n_pending) == (second.as_of, second.n_pending)
    assert found(replace(first, frequencies=second.frequencies), encoder=encoder) == found(second, encoder=encoder)


@pytest.fixture
async def index(database: Database, tmp_path: Path) -> LiveIndex[Snapshot]:
    return await opened(database, tmp_path / "index")


class TestChanges:
    async def test_an_index_that_is_not_open_says_so(self, database: Database, tmp_path: Path) -> None:
        index = live_index(database, tmp_path)
        for asked in (index.catch_up, lambda: index.catch_up_to(0)):
            with pytest.raises(Unavailable) as refused:
                await asked()
            assert refused.value.code == "index_loading"

    async def test_an_empty_database_has_an_empty_index(self, index: LiveIndex[Snapshot]) -> None:
        snapshot = await index.catch_up()
        assert (ids_of(snapshot), snapshot.as_of, found(snapshot)) == ([], 0, [])

    async def test_a_committed_change_is_in_the_next_snapshot(
        self, database: Database, index: LiveIndex[Snapshot]
    ) -> None:
        (first,) = await store(database, profile(1))
        assert await index.behind() > 0
        assert [entry[0] for entry in found(await index.catch_up())] == [first]
        assert await index.behind() == 0
        await store(database, profile(1, summary="陶瓷窑炉"))
        snapshot = await index.catch_up()
        assert found(snapshot, "陶瓷窑炉")[0][1] > 0.3
        assert not [score for _, score in found(snapshot) if score > 0.2]

    async def test_a_change_that_is_not_committed_is_not_seen(
        self, database: Database, index: LiveIndex[Snapshot]
    ) -> None:
        async with database.transaction() as session:
            await upsert_profiles(session, [profile(1)], COMMAND_LINE)
            assert (await index.catch_up()).n_profiles == 0
        assert (await index.catch_up()).n_profiles == 1

    async def test_a_snapshot_stays_as_it_is(self, database: Database, index: LiveIndex[Snapshot]) -> None:
        await store(database, profile(1))
        before = await index.catch_up()
        ranking, as_of = found(before), before.as_of
        await store(database, profile(1, summary="窑炉"), profile(2))
        after = await index.catch_up()
        assert after is not before
        assert after.as_of > as_of == before.as_of
        assert found(before) == ranking

    async def test_without_a_change_the_snapshot_is_the_same_object(
        self, database: Database, index: LiveIndex[Snapshot]
    ) -> None:
        await store(database, profile(1))
        snapshot = await index.catch_up()
        assert await index.catch_up() is snapshot
        assert await index.catch_up_to(snapshot.as_of) is snapshot
        assert await index.catch_up_to(0) is snapshot

    async def test_works_are_passages_of_their_profile(self, database: Database, index: LiveIndex[Snapshot]) -> None:
        (first,) = await store(
            database, profile(1, works=[Work(title="陶瓷窑炉余热", year=2021), Work(title="齿根裂纹")])
        )
        snapshot = await index.catch_up()
        assert snapshot.n_passages == 3
        assert sorted(snapshot.years(np.arange(3)).tolist()) == [0, 0, 2021]
        assert found(snapshot, "陶瓷窑炉余热")[0][0] == first
        await store(database, profile(1, works=[Work(title="齿根裂纹")]))
        assert (await index.catch_up()).n_passages == 2

    async def test_a_deleted_profile_is_not_found(self, database: Database, index: LiveIndex[Snapshot]) -> None:
        first, second = await store(database, profile(1), profile(2))
        await index.catch_up()
        await remove(database, first)
        assert ids_of(await index.catch_up()) == [second]

    async def test_a_hidden_profile_is_not_found_until_it_is_shown_again(
        self, database: Database, index: LiveIndex[Snapshot]
    ) -> None:
        first, second = await store(database, profile(1), profile(2, visibility="hidden"))
        assert ids_of(await index.catch_up()) == [first]
        await change(database, first, visibility="hidden")
        assert ids_of(await index.catch_up()) == []
        await change(database, second, visibility="restricted")
        assert ids_of(await index.catch_up()) == [second]
        assert ids_of(await index.rebuild()) == [second]

    async def test_built_by_changes_equals_built_at_once(
        self, database: Database, index: LiveIndex[Snapshot], tmp_path: Path
    ) -> None:
        ids = []
        for n in range(8):
            ids += await store(database, profile(n, works=[Work(title=f"论文{n}")] * (n % 3)))
            await index.catch_up()
        await store(database, *(profile(n, summary=f"柔轮疲劳{n}") for n in range(0, 8, 2)))
        await change(database, ids[1], visibility="hidden")
        await remove(database, ids[2])
        by_changes = await index.catch_up()
        at_once = await opened(database, tmp_path / "other")
        same(by_changes, at_once.snapshot)
        assert by_changes.recounted().version == at_once.snapshot.version
        same(by_changes, await index.rebuild())
        same(by_changes, await index.catch_up())

    async def test_more_changes_than_one_step_takes_are_all_taken(
        self, database: Database, index: LiveIndex[Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(indexing, "_ROWS_PER_STEP", 3)
        ids = await store(database, *(profile(n) for n in range(10)))
        assert ids_of(await index.catch_up()) == sorted(ids)
        same(index.snapshot, (await opened(database, tmp_path / "other")).snapshot)

    async def test_rebuilding_tells_how_many_rows_are_done(
        self, database: Database, index: LiveIndex[Snapshot]
    ) -> None:
        await store(database, *(profile(n) for n in range(7)))
        told: list[int] = []
        await index.rebuild(told.append)
        assert sum(told) == 7

    async def test_a_row_that_vanished_without_an_event_does_no_harm(
        self, database: Database, index: LiveIndex[Snapshot]
    ) -> None:
        ids = await store(database, profile(1), profile(2))
        async with database.transaction() as session:
            await session.execute(delete(ProfileRow).where(ProfileRow.id == ids[0]))
        assert ids_of(await index.catch_up()) == [ids[1]]
        async with database.reading() as session:
            assert list(await session.scalars(select(ProfileRow.id))) == [ids[1]]

    async def test_the_index_of_demands_knows_their_state(self, database: Database, tmp_path: Path) -> None:
        index = live_index(database, tmp_path / "index", source=DEMANDS)
        await index.open()
        async with database.transaction() as session:
            demands = [DemandImport(external_id=str(n), title=f"柔轮开裂{n}", cluster="装备制造") for n in range(2)]
            stored = await upsert_demands(session, demands, COMMAND_LINE)
        assert kinds_of(await index.catch_up()) == ["draft", "draft"]
        async with database.transaction() as session:
            row = await session.get(DemandRow, stored[0].id)
            assert row is not None
            await adopt_status(session, row, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
        by_changes = await index.catch_up()
        assert kinds_of(by_changes) == ["draft", "published"]
        same(by_changes, await index.rebuild())


def kinds_of(snapshot: Snapshot) -> list[str]:
    return sorted(profile.facts.kind for profile in snapshot.facts_of(snapshot.find(ids_of(snapshot))))


class TestVectors:
    async def test_a_new_text_is_found_by_its_words_at_once_and_by_its_meaning_when_its_vector_is_there(
        self, database: Database, tmp_path: Path
    ) -> None:
        encoder = CountingEncoder()
        index = await opened(database, tmp_path / "index", encoder)
        (chinese, english) = await store(
            database, profile(1), profile(2, summary="reducer with an elastic wheel", language="en")
        )
        snapshot = await index.catch_up()
        assert snapshot.n_pending == 2
        assert encoder.asked == []
        assert [entry[0] for entry in found(snapshot, "谐波减速器", encoder)] == [chinese]
        await follow(index)
        assert index.snapshot.n_pending == 0
        assert {entry[0] for entry in found(index.snapshot, "谐波减速器", encoder)} == {chinese, english}
        assert found(snapshot, "谐波减速器", encoder)[0][0] == chinese, "the one before stays as it was"

    async def test_a_text_is_encoded_once_whatever_happens(self, database: Database, tmp_path: Path) -> None:
        """Through changes of other fields, a rebuild, a restart, the loss of all snapshots, and a return to it."""
        encoder = CountingEncoder()
        index = await opened(database, tmp_path / "index", encoder)
        twins = await store(
            database, profile(1, summary="柔轮"), profile(2, summary="柔轮", works=[Work(title="刚轮")])
        )
        await index.complete()
        assert sorted(encoder.asked) == ["刚轮", "柔轮"]
        await change(database, twins[0], name="别人", region="440600")
        assert (await index.catch_up()).n_pending == 0
        assert (await index.rebuild()).n_pending == 0
        await index.save()
        assert (await opened(database, tmp_path / "index", encoder)).snapshot.n_pending == 0
        anew = await opened(database, tmp_path / "other", encoder)
        assert anew.snapshot.n_pending == 0
        same(anew.snapshot, index.snapshot, encoder)
        assert sorted(encoder.asked) == ["刚轮", "柔轮", *["谐波减速器柔轮疲劳"] * 4], "the rest are questions"
        del encoder.asked[:]
        await change(database, twins[0], summary="波发生器")
        assert (await index.catch_up()).n_pending == 1
        await follow(index)
        assert encoder.asked == ["波发生器"]
        await change(database, twins[0], summary="柔轮")
        assert (await index.catch_up()).n_pending == 0
        assert encoder.asked == ["波发生器"]

    async def test_a_text_that_the_encoder_makes_nothing_of_is_asked_for_once(
        self, database: Database, tmp_path: Path
    ) -> None:
        class Mute(CountingEncoder):
            def encode(
                self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
            ) -> list[FloatArray | None]:
                self.asked += texts
                return [None] * len(texts)

        encoder = Mute()
        await store(database, profile(1, summary="柔轮"), profile(2, summary="！"))
        for folder in ("one", "other"):
            index = await opened(database, tmp_path / folder, encoder)
            assert (await index.complete()).n_pending == 0
        assert encoder.asked == ["柔轮"]

    async def test_another_encoder_s_vectors_are_not_taken(self, database: Database, tmp_path: Path) -> None:
        await store(database, profile(1))
        encoders = CountingEncoder(), CountingEncoder()
        encoders[1].version = "counting-2"
        for encoder in encoders:
            index = await opened(database, tmp_path / encoder.version, encoder)
            await index.complete()
            assert len(encoder.asked) == 1

    async def test_texts_are_encoded_in_batches(
        self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(indexing, "_VECTORS_PER_ROUND", 4)
        batches: list[int] = []
        encoder = CountingEncoder()
        index = await opened(database, tmp_path / "index", encoder)
        original = encoder.encode

        def encode(texts: Sequence[str], *more: Any, **options: Any) -> Any:
            batches.append(len(texts))
            return original(texts, *more, **options)

        monkeypatch.setattr(encoder, "encode", encode)
        await store(database, *(profile(n) for n in range(10)))
        told: list[int] = []
        await index.complete(told.append)
        assert [size for size in batches if size] == [4, 4, 2]
        assert sum(told) == 10

    async def test_of_two_processes_one_encodes_and_the_other_takes_what_is_stored(
        self, database: Database, tmp_path: Path
    ) -> None:
        encoders = CountingEncoder(), CountingEncoder()
        first, second = [await opened(database, tmp_path / "index", encoder) for encoder in encoders]
        await store(database, profile(1), profile(2))
        assert await first.follow()
        assert not await second.follow(), "nothing to do at once: the other process is at it"
        assert (first.snapshot.n_pending, second.snapshot.n_pending) == (0, 0)
        await store(database, profile(3))
        await second.follow()
        assert second.snapshot.n_pending == 1
        await first.follow()
        await second.follow()
        assert (len(encoders[0].asked), encoders[1].asked) == (3, [])
        first.stop_encoding()
        same(first.snapshot, second.snapshot, encoders[0])

    async def test_when_that_process_has_nothing_to_encode_another_may(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Nor is there a leader: whoever first sees what is awaited sees to it."""
        encoders = CountingEncoder(), CountingEncoder()
        first, second = [await opened(database, tmp_path / "index", encoder) for encoder in encoders]
        await store(database, profile(1))
        await follow(first)
        await store(database, profile(2))
        await follow(second)
        assert [len(encoder.asked) for encoder in encoders] == [1, 1]

    async def test_a_text_that_changed_since_is_not_waited_for(self, database: Database, tmp_path: Path) -> None:
        """Its profile awaits the vector of the new text as soon as the index knows of the change."""
        encoder = CountingEncoder()
        index = await opened(database, tmp_path / "index", encoder)
        (changed, gone) = await store(database, profile(1, summary="柔轮"), profile(2, summary="刚轮"))
        await index.catch_up()
        await change(database, changed, summary="波发生器")
        await remove(database, gone)
        await index._fill(index.snapshot.awaited(10))
        assert index.snapshot.n_pending == 0
        await index.complete()
        assert index.snapshot.n_pending == 0
        assert encoder.asked == ["波发生器"]
        assert [entry[0] for entry in found(index.snapshot, "波发生器", encoder)] == [changed]

    async def test_demands_are_encoded_once_for_what_they_are_asked_too(
        self, database: Database, tmp_path: Path
    ) -> None:
        """A stored demand's questions are ready when it is ranked."""
        encoder = CountingEncoder()
        index = live_index(database, tmp_path / "index", encoder, source=DEMANDS)
        await index.open()
        async with database.transaction() as session:
            await upsert_demands(session, [DemandImport(external_id="1", title="柔轮", problem="开裂")], COMMAND_LINE)
        await index.complete()
        assert sorted(set(encoder.asked)) == sorted({"柔轮", "柔轮。开裂", *encoder.asked})
        n_asked = len(encoder.asked)
        await index.rebuild()
        await index.complete()
        assert len(encoder.asked) == n_asked


class TestSeveralProcesses:
    async def test_two_on_one_database_agree(self, database_url: str, tmp_path: Path) -> None:
        databases = [Database(database_url) for _ in range(2)]
        first, second = (live_index(database, tmp_path / "index") for database in databases)
        await first.open()
        await store(databases[1], profile(1), profile(2))
        await second.open()
        ids = await store(databases[0], profile(3), profile(4))
        same(await first.catch_up(), await second.catch_up())
        await remove(databases[1], ids[0])
        same(await first.catch_up(), await second.catch_up())
        assert first.snapshot.n_profiles == 3
        for database in databases:
            await database.close()

    async def test_what_one_saves_the_other_takes_over(self, database: Database, tmp_path: Path) -> None:
        """So that both count with the same frequencies; what it knew itself it still knows."""
        first, second = [await opened(database, tmp_path / "index") for _ in range(2)]
        await store(database, *(profile(n) for n in range(4)))
        await first.catch_up()
        await first.save()
        await second.catch_up()
        assert segments(second) != segments(first)
        await second.follow()
        assert segments(second) == segments(first), "their pages are shared"
        ids = await store(database, profile(5), profile(6), profile(7), profile(8), profile(9))
        assert (await second.catch_up()).version != first.snapshot.version
        await first.save()
        await second.follow()
        same(second.snapshot, await first.catch_up())
        assert set(ids) < set(ids_of(second.snapshot))
        assert second.snapshot.version == first.snapshot.version

    async def test_a_refresh_is_followed_by_all(self, database: Database, tmp_path: Path) -> None:
        """Frequencies are counted anew before a night run, and are then those of a full build."""
        first, second = [await opened(database, tmp_path / "index") for _ in range(2)]
        await store(database, *(profile(n) for n in range(4)))
        await first.follow()
        await store(database, profile(5))
        stale = (await first.catch_up()).version
        refreshed = await first.refresh()
        anew = await opened(database, tmp_path / "other")
        assert refreshed.version == first.snapshot.version == anew.snapshot.version != stale
        await second.follow()
        assert second.snapshot.version == refreshed.version
        same(second.snapshot, refreshed)

    async def test_what_is_saved_by_another_program_is_left_alone(
        self, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As while servers are replaced one by one."""
        index = await opened(database, tmp_path / "index")
        await store(database, profile(1))
        await index.follow()
        other = await opened(database, tmp_path / "index", CountingEncoder())
        await other.complete()
        await other.save()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            await index.follow()
            await index.follow()
        assert [record.message for record in caplog.records] == ["snapshot_refused"]
        assert index.snapshot.n_profiles == 1


class TestFiles:
    async def test_a_saved_snapshot_is_loaded_and_moved_on(
        self, database: Database, index: LiveIndex[Snapshot], tmp_path: Path
    ) -> None:
        await store(database, profile(1), profile(2))
        saved = await index.rebuild()
        await index.save()
        again = await opened(database, tmp_path / "index")
        assert segments(again) == segments(index)
        same(again.snapshot, saved)
        await store(database, profile(3))
        later = await opened(database, tmp_path / "index")
        same(later.snapshot, await index.catch_up())

    async def test_it_is_saved_when_much_has_changed(
        self, database: Database, index: LiveIndex[Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store(database, *(profile(n) for n in range(10)))
        await index.follow()
        before = Snapshot.stamp(tmp_path / "index")
        await store(database, profile(10))
        await index.follow()
        assert Snapshot.stamp(tmp_path / "index") == before, "a few changes are read from the outbox at the next start"
        monkeypatch.setattr(indexing, "_UNSAVED", 0)
        await store(database, profile(11), profile(12))
        await index.follow()
        assert Snapshot.stamp(tmp_path / "index") != before
        same((await opened(database, tmp_path / "index")).snapshot, index.snapshot)

    async def test_a_full_disk_stops_nobody(
        self,
        database: Database,
        index: LiveIndex[Snapshot],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def no_space(*_arguments: Any) -> None:
            raise OSError("No space left on device")

        monkeypatch.setattr(Snapshot, "save", no_space)
        ids = await store(database, profile(1))
        await index.follow()
        assert ids_of(index.snapshot) == ids
        assert "snapshot_not_saved" in [record.message for record in caplog.records]

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    @pytest.mark.parametrize("of", ["CURRENT", "*.segment", "*.frequencies"])
    @pytest.mark.parametrize("damage", ["cut", "emptied", "garbled", "deleted"])
    async def test_a_damaged_snapshot_is_refused_and_rebuilt(
        self, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, of: str, damage: str
    ) -> None:
        """Whatever a full disk or a crash left behind: the program starts, finds what it should, and is well again."""
        await store(database, profile(1), profile(2))
        saved = (await opened(database, tmp_path / "index")).snapshot
        (path,) = (tmp_path / "index").glob(of)
        DAMAGES[damage](path)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            again = await opened(database, tmp_path / "index")
        (refused,) = (record for record in caplog.records if record.message == "snapshot_refused")
        assert refused.__dict__["reason"]
        assert refused.levelno == (logging.INFO if damage == "deleted" else logging.WARNING)
        same(again.snapshot, saved)
        caplog.clear()
        third = await opened(database, tmp_path / "index")
        assert "snapshot_refused" not in [record.message for record in caplog.records]
        same(third.snapshot, saved)

    async def test_a_snapshot_that_is_ahead_of_the_database_is_refused_and_rebuilt(
        self,
        database: Database,
        index: LiveIndex[Snapshot],
        migrated_sqlite: Path,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """After a backup was restored, or MATCHING_DATABASE_URL changed, the data folder holds another's index."""
        await store(database, *(profile(n) for n in range(5)))
        await index.rebuild()
        await index.save()
        shutil.copy(migrated_sqlite, tmp_path / "restored.sqlite3")
        restored = Database(f"sqlite+aiosqlite:///{tmp_path / 'restored.sqlite3'}")
        ids = await store(restored, profile(1))
        after = await opened(restored, tmp_path / "index")
        assert ids_of(await after.catch_up()) == ids
        await restored.close()
        refused = [record.__dict__["reason"] for record in caplog.records if record.message == "snapshot_refused"]
        assert ["ahead of the database" in reason for reason in refused] == [True]

    async def test_without_a_snapshot_there_is_nothing_to_warn_of(
        self, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            await opened(database, tmp_path / "new")
        assert {record.levelno for record in caplog.records if record.message == "snapshot_refused"} == {logging.INFO}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"\x00garbage" * 50)


DAMAGES: dict[str, Callable[[Path], None]] = {"cut": cut, "emptied": empty, "garbled": garble, "deleted": Path.unlink}
