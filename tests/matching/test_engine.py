"""The engine keeps both indexes in step beside the requests, and an answer may wait for a change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ranking.worlds import HashEncoder

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandImport
from matching_service.demands.service import upsert_demands
from matching_service.foundation.errors import Unavailable
from matching_service.index.contract import Versions
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.indexing import LiveIndex
from matching_service.matching import engine as engines
from matching_service.matching.engine import Engine
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import upsert_profiles
from matching_service.ranking.ranker import RankedProfile
from matching_service.store.database import LAST_SEQ, Database
from matching_service.text.lexicon import default_lexicon


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Engine:
    return Engine.create(
        database,
        HashEncoder(),
        form=Snapshot,
        snapshots=tmp_path / "index",
        weights=tmp_path / "weights",
        stability=0.0,
    )


@pytest.fixture
async def followed(engine: Engine) -> AsyncIterator[Engine]:
    """The engine as in a server: kept in step by a task."""
    await engine.open()
    task = asyncio.create_task(engine.follow())
    yield engine
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def store_profile(database: Database, n: int = 1) -> int:
    """The number of the event that the change wrote."""
    async with database.transaction() as session:
        body = ProfileImport(external_id=str(n), kind="expert", name="甲", summary=f"谐波减速器{n}")
        await upsert_profiles(session, [body], COMMAND_LINE)
    return int(session.info[LAST_SEQ])


async def store_demand(database: Database) -> int:
    async with database.transaction() as session:
        await upsert_demands(session, [DemandImport(external_id="1", title="柔轮开裂")], COMMAND_LINE)
    return int(session.info[LAST_SEQ])


async def test_a_view_has_every_committed_change_at_once(followed: Engine) -> None:
    await store_profile(followed.database)
    await store_demand(followed.database)
    view = await followed.view()
    assert (view.snapshot.n_profiles, view.demands.n_profiles) == (1, 1)


async def test_a_view_waits_for_a_change_and_its_vectors(followed: Engine) -> None:
    seqs = [await store_profile(followed.database, n) for n in range(5)] + [await store_demand(followed.database)]
    view = await followed.view(min_as_of=max(seqs))
    assert (view.snapshot.n_pending, view.demands.n_pending) == (0, 0)
    assert (view.snapshot.as_of, view.demands.as_of) == (max(seqs[:5]), seqs[5])


async def test_a_change_that_is_still_to_be_committed_is_waited_for(followed: Engine) -> None:
    seq = await store_profile(followed.database)
    waiting = asyncio.create_task(followed.view(min_as_of=seq + 1))
    await asyncio.sleep(0)
    assert await store_profile(followed.database, 2) == seq + 1
    assert (await waiting).snapshot.n_profiles == 2


async def test_a_change_that_does_not_come_is_not_waited_for_for_ever(
    followed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_MIN_AS_OF_S", 0.05)
    seq = await store_profile(followed.database)
    with pytest.raises(Unavailable) as refused:
        await followed.view(min_as_of=seq + 1)
    assert refused.value.code == "index_behind"
    assert str(seq + 1) in refused.value.detail.zh
    assert str(seq + 1) in refused.value.detail.en
    assert (await followed.view(min_as_of=seq)).snapshot.as_of == seq
    assert (await followed.view(min_as_of=0)).snapshot.as_of == seq


async def test_vectors_that_do_not_come_are_not_waited_for_for_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says how many are still to come."""
    monkeypatch.setattr(engines, "_MIN_AS_OF_S", 0.05)
    await engine.open()
    seq = await store_profile(engine.database)
    view = await engine.view(min_as_of=seq)
    assert (view.snapshot.n_profiles, view.snapshot.n_pending) == (1, 1)
    await engine.complete()
    assert (await engine.view()).snapshot.n_pending == 0


async def test_while_the_indexes_load_no_list_is_given(engine: Engine) -> None:
    for min_as_of in (None, 0):
        with pytest.raises(Unavailable) as refused:
            await engine.view(min_as_of=min_as_of)
        assert refused.value.code == "index_loading"


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError("the database does not answer")])
async def test_what_fails_is_logged_and_tried_again(
    engine: Engine, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both while the indexes open and while they are followed; a time-out is no reason to be silent."""
    monkeypatch.setattr(engines, "_RETRY_S", 0.0)
    failures, is_followed = {"open": 1, "follow": 1}, asyncio.Event()

    def failing_once(name: str) -> Any:
        original = getattr(LiveIndex, name)

        async def call(index: LiveIndex[Any]) -> Any:
            if failures[name]:
                failures[name] -= 1
                raise error
            if name == "follow":
                is_followed.set()
            return await original(index)

        return call

    for name in failures:
        monkeypatch.setattr(LiveIndex, name, failing_once(name))
    task = asyncio.create_task(engine.follow())
    await is_followed.wait()
    seq = await store_profile(engine.database)
    assert (await engine.view(min_as_of=seq)).snapshot.n_pending == 0
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert [record.message for record in caplog.records if record.exc_info] == [
        "index_not_opened",
        "index_not_followed",
    ]


async def test_vectors_of_texts_that_are_gone_are_forgotten(engine: Engine) -> None:
    await engine.open()
    await store_profile(engine.database, 1)
    await store_demand(engine.database)
    await engine.complete()
    used = await engine.profiles.vector_keys() | await engine.demands.vector_keys()
    assert await engine.forget_unused_vectors() == 0
    async with engine.database.transaction() as session:
        body = ProfileImport(external_id="1", kind="expert", name="甲", summary="陶瓷窑炉")
        await upsert_profiles(session, [body], COMMAND_LINE)
    assert await engine.forget_unused_vectors() == 1
    async with engine.database.reading() as session:
        assert len(await engine.vectors.known(session, used)) == len(used) - 1


async def test_a_server_ranks_once_before_it_is_asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read and compiled for the first list of all is not waited for by whoever asks first."""
    ranked, loop = asyncio.Event(), asyncio.get_running_loop()
    real = engines.rank  # type: ignore[attr-defined]  # the name by which it is called there

    def rank(*arguments: Any, **options: Any) -> list[RankedProfile]:
        loop.call_soon_threadsafe(ranked.set)
        return real(*arguments, **options)

    monkeypatch.setattr(engines, "rank", rank)
    await engine.open()
    task = asyncio.create_task(engine.follow())
    await ranked.wait()
    await engine.view()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_refresh_leaves_the_frequencies_of_a_full_build(engine: Engine) -> None:
    await engine.open()
    for n in range(4):
        await store_profile(engine.database, n)
        await engine.view()
    await engine.refresh()
    view = await engine.view()
    assert view.snapshot.version == (await engine.profiles.rebuild()).version
    assert (
        view.snapshot.version
        != Snapshot.empty(
            Versions(default_lexicon().version, engine.encoder.version, engine.encoder.n_dimensions)
        ).version
    )
