"""Pruning the outbox on both databases: whoever reads events reads the same before and after."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nights import WORDS, ids_of, rerank, small_city, store_profiles
from sqlalchemy import func, select, update

from matching_service.access.policies import COMMAND_LINE
from matching_service.feeds.feed import decode_position, read_feed
from matching_service.foundation.clock import now
from matching_service.index.snapshot import Snapshot
from matching_service.jobs.pruning import KEPT, prune_answers, prune_outbox
from matching_service.live_index.indexing import PROFILES, LiveIndex
from matching_service.live_index.vectors import VectorStore
from matching_service.matching.engine import Engine
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileCreate, ProfilePatch
from matching_service.profiles.service import create_profile, delete_profile, update_profile
from matching_service.ranking.encoder import NoEncoder
from matching_service.store.access import AnsweredProfileRow, IdempotentAnswerRow
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow, last_seq
from matching_service.store.profiles import ProfileRow
from matching_service.store.webhooks import DeliveryRow, WebhookRow
from matching_service.webhooks import service as webhooks
from matching_service.webhooks.deliveries import queue_events
from matching_service.webhooks.schemas import WebhookCreate

_HOUR = timedelta(hours=1)


async def profiles_with_changes(database: Database, *n_changes: int) -> list[str]:
    """Profiles, each of which was changed so many times."""
    async with database.transaction() as session:
        body = ProfileCreate(kind="expert", name="卓砺川", summary="谐波减速器")
        ids = [(await create_profile(session, body, COMMAND_LINE)).id for _ in n_changes]
    for profile_id, n in zip(ids, n_changes, strict=True):
        for place in range(n):
            await change(database, profile_id, title=f"职称{place}")
    return ids


async def change(database: Database, profile_id: str, **fields: Any) -> None:
    async with database.transaction() as session:
        row = await get_profile(session, profile_id)
        await update_profile(session, row, ProfilePatch(**fields), COMMAND_LINE)


async def prune(database: Database) -> int:
    return await prune_outbox(database, before=now() + timedelta(minutes=1))


async def seqs(database: Database) -> Sequence[int]:
    async with database.reading() as session:
        return (await session.scalars(select(OutboxRow.seq).order_by(OutboxRow.seq))).all()


async def subscribe(database: Database, **fields: Any) -> WebhookRow:
    async with database.transaction() as session:
        body = WebhookCreate(url="http://127.0.0.1/hook", audience="office", **fields)
        return await webhooks.create_webhook(session, body, COMMAND_LINE, mappings={}, allow_private=True)


async def feed(database: Database, cursor: str | None) -> tuple[list[Any], str]:
    async with database.reading() as session:
        after = decode_position(cursor) if cursor is not None else None
        page = await read_feed(session, ("demand", "profile"), after=after, limit=200, audience="office")
    return [item.model_dump() for item in page.items], page.next_cursor


async def test_what_a_newer_event_supersedes_goes_once_and_the_feed_is_the_same(database: Database) -> None:
    (first, second, third) = await profiles_with_changes(database, 3, 0, 1)
    _, cursor = await feed(database, None)
    await change(database, first, title="院士")
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, third), COMMAND_LINE)
    before = [await feed(database, None), await feed(database, cursor)]
    assert {item["entity_id"] for item in before[0][0]} == {first, second, third}
    n_before = len(await seqs(database))
    assert await prune(database) == n_before - 3
    assert await prune(database) == 0
    assert [await feed(database, None), await feed(database, cursor)] == before


async def test_what_happened_lately_stays(database: Database) -> None:
    await profiles_with_changes(database, 3)
    assert await prune_outbox(database, before=now() - KEPT) == 0
    async with database.transaction() as session:
        await session.execute(update(OutboxRow).values(at=now() - KEPT - timedelta(minutes=1)))
    assert await prune_outbox(database, before=now() - KEPT) == 3


async def test_many_are_deleted_in_several_transactions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matching_service.jobs.pruning._EVENTS_PER_TRANSACTION", 2)
    await profiles_with_changes(database, 3, 0, 4)
    assert await prune(database) == 7
    assert len(await seqs(database)) == 3


async def test_no_webhook_loses_what_it_has_not_sent(database: Database) -> None:
    row, idle = await subscribe(database), await subscribe(database, is_active=False)
    await profiles_with_changes(database, 3)
    assert await prune(database) == 0  # neither has looked at them
    async with database.transaction() as session:
        assert await queue_events(session, await session.get_one(WebhookRow, row.id), now())
    assert await prune(database) == 0  # the one that is not active has not
    async with database.transaction() as session:
        await webhooks.delete_webhook(session, await webhooks.get_webhook(session, idle.id), COMMAND_LINE)
    assert await prune(database) == 0  # the other has not sent them
    async with database.transaction() as session:
        deliveries = (await session.scalars(select(DeliveryRow).order_by(DeliveryRow.seq))).all()
        await session.delete(deliveries[1])  # as is forgotten what was sent long ago
    assert await prune(database) == 1
    assert await seqs(database) == [deliveries[place].seq for place in (0, 2, 3)]


async def test_an_index_that_was_away_catches_up(database: Database, tmp_path: Path) -> None:
    def index() -> LiveIndex[Snapshot]:
        encoder = NoEncoder()
        return LiveIndex(
            PROFILES, database, encoder, VectorStore(database, encoder), form=Snapshot, folder=tmp_path / "index"
        )

    changed, gone = await profiles_with_changes(database, 0, 0)
    old = index()
    await old.open()
    await old.save()
    await change(database, changed, summary="陶瓷窑炉")
    await change(database, changed, visibility="hidden")
    await change(database, changed, visibility="public")
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, gone), COMMAND_LINE)
    assert await prune(database) > 0
    async with database.reading() as session:
        newest = await last_seq(session, entity="profile")
    new = index()
    await new.open()
    for snapshot in (new.snapshot, await old.catch_up()):
        alive = snapshot.profile_rows[snapshot.alive_rows]
        assert ({snapshot.profile_id(int(place)) for place in alive}, snapshot.as_of) == ({changed}, newest)


async def test_expired_answers_go_with_what_says_of_whom_they_tell(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matching_service.jobs.pruning._ANSWERS_PER_TRANSACTION", 2)
    moment = now()
    async with database.transaction() as session:
        for age in range(6):
            made = {"request_hash": "", "status": 200, "headers": {}, "body": b"", "created_at": moment - age * _HOUR}
            answer = IdempotentAnswerRow(principal_id=COMMAND_LINE.id, idempotency_key=f"{age}", **made)
            session.add(answer)
            await session.flush()
            session.add(AnsweredProfileRow(answer_id=answer.id, profile_id="p"))
    assert await prune_answers(database, before=moment - 2 * _HOUR) == 3
    assert await prune_answers(database, before=moment - 2 * _HOUR) == 0
    async with database.reading() as session:
        kept = (await session.scalars(select(IdempotentAnswerRow.idempotency_key))).all()
        assert sorted(kept) == ["0", "1", "2"]
        assert await session.scalar(select(func.count()).select_from(AnsweredProfileRow)) == 3


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> Engine:
    return await small_city(database, tmp_path)


async def test_the_causes_of_changes_stay_known(engine: Engine) -> None:
    await rerank(engine)
    (profile_id,) = [id_ for name, id_ in (await ids_of(engine, ProfileRow)).items() if name == "E0"]
    await change(engine.database, profile_id, summary=f"{WORDS[3]}难题")
    await change(engine.database, profile_id, honours=["中国工程院院士"])
    async with engine.database.reading() as session:
        n_events = await session.scalar(select(func.count()).where(OutboxRow.entity_id == profile_id))
    await prune(engine.database)
    async with engine.database.reading() as session:
        n_kept = await session.scalar(select(func.count()).where(OutboxRow.entity_id == profile_id))
    assert (n_events, n_kept) == (3, 2)  # it was there when the lists were made
    causes = {
        (cause.code, *sorted(cause.fields))
        for changes in (await rerank(engine)).changes
        for place in list[Any]((*changes.entered, *changes.moved))
        if place.profile_id == profile_id
        for cause in place.causes
    }
    assert ("profile_changed", "honours", "summary") in causes
    await prune(engine.database)  # now every open demand has a list that knows all this
    async with engine.database.reading() as session:
        assert await session.scalar(select(func.count()).where(OutboxRow.entity_id == profile_id)) == 1


async def test_a_night_run_forgets_what_is_old(engine: Engine) -> None:
    (profile_id,) = await store_profiles(engine.database, {"external_id": "E0", "name": "改名"})
    async with engine.database.transaction() as session:
        await session.execute(update(OutboxRow).values(at=now() - 2 * KEPT))
    await rerank(engine)
    async with engine.database.reading() as session:
        events = (await session.scalars(select(OutboxRow.event).where(OutboxRow.entity_id == profile_id))).all()
    assert events == ["profile.updated"]
