"""Keeping a snapshot in step with the database: built from all rows once, then moved on by the outbox."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from anyio import to_thread
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from matching_service.foundation.errors import Text, Unavailable
from matching_service.foundation.metrics import INDEX_AS_OF, INDEX_PROFILES
from matching_service.index.snapshot import Document, Removal, Snapshot, SnapshotMismatch, Versions
from matching_service.matching.documents import demand_documents, profile_documents
from matching_service.ranking.encoder import Encoder
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import events_after, last_seq
from matching_service.store.profiles import NEVER_MATCHED, ProfileRow
from matching_service.text.lexicon import default_lexicon

logger = logging.getLogger(__name__)
_ROWS_PER_STEP = 500
_LOADING = Text("索引正在加载，请稍后重试。", "The index is loading; try again in a moment.")

LoadDocuments = Callable[[AsyncSession, Sequence[str], Encoder], Awaitable[list[Document]]]


class LiveIndex:
    """The snapshot of one kind of entity in this process. Readers take ``snapshot`` once and keep it."""

    def __init__(
        self,
        database: Database,
        encoder: Encoder,
        *,
        entity: str,
        table: type[ProfileRow | DemandRow],
        load_documents: LoadDocuments,
        folder: Path,
    ) -> None:
        self._database = database
        self._encoder = encoder
        self._entity = entity
        self._table = table
        self._load_documents = load_documents
        self._folder = folder
        self._lock = asyncio.Lock()
        self._versions = Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)
        self.snapshot = Snapshot.empty(self._versions)
        self.is_open = False

    async def open(self) -> None:
        """Load the saved snapshot, or build one from the database when there is none to use; then catch up."""
        loaded: Snapshot | None = None
        try:
            loaded = await self._load_saved()
            self._swap(loaded)
        except SnapshotMismatch as mismatch:
            level = logging.WARNING if mismatch.is_damage else logging.INFO
            logger.log(level, "snapshot_refused", extra={"entity": self._entity, "reason": str(mismatch)})
            await self.rebuild()
        await self._apply_events()
        self.is_open = True
        if self.snapshot is not loaded:
            try:
                await self.save()  # so that the next start has less to catch up with
            except OSError:
                logger.exception("snapshot_not_saved", extra={"entity": self._entity})

    async def save(self) -> None:
        """Write the present snapshot for the next start."""
        await to_thread.run_sync(self.snapshot.save, self._folder)

    async def _load_saved(self) -> Snapshot:
        """Raises SnapshotMismatch, also for a snapshot that knows more than the database."""
        loaded = await to_thread.run_sync(Snapshot.load, self._folder, self._versions)
        async with self._database.reading() as session:
            if loaded.as_of > await last_seq(session, entity=self._entity):
                raise SnapshotMismatch("ahead of the database, which was restored or is another one")
        return loaded

    async def rebuild(self, on_progress: Callable[[int], None] = lambda _n: None) -> Snapshot:
        """Build a snapshot from all rows and swap it in. ``on_progress`` is told of rows done."""
        started = perf_counter()
        async with self._lock, self._database.reading() as session:
            as_of = await last_seq(session, entity=self._entity)  # before the rows: what comes later is applied again
            documents: list[Document] = []
            last_id = ""
            while True:
                statement = select(self._table.id).where(self._table.id > last_id).order_by(self._table.id)
                ids = (await session.scalars(statement.limit(_ROWS_PER_STEP))).all()
                if not ids:
                    break
                documents += await self._load_documents(session, ids, self._encoder)
                on_progress(len(ids))
                last_id = ids[-1]
                session.expunge_all()
            empty = Snapshot.empty(self._versions)
            snapshot = await to_thread.run_sync(partial(empty.apply, documents, as_of=as_of))
            self._swap(snapshot)
        logger.info(
            "index_rebuilt",
            extra={
                "entity": self._entity,
                "n_documents": len(snapshot.profile_ids),
                "elapsed_ms": round((perf_counter() - started) * 1e3),
            },
        )
        return snapshot

    async def catch_up(self) -> Snapshot:
        """The snapshot with every change that was committed before this call; raises Unavailable while it loads."""
        if not self.is_open:
            raise Unavailable("index_loading", _LOADING)
        async with self._database.reading() as session:
            if await last_seq(session, entity=self._entity) <= self.snapshot.as_of:
                return self.snapshot
        return await self._apply_events()

    async def _apply_events(self) -> Snapshot:
        """Move the snapshot on by the outbox, in steps; one caller works, the others wait for it."""
        async with self._lock, self._database.reading() as session:
            while events := await events_after(session, self.snapshot.as_of, entity=self._entity, limit=_ROWS_PER_STEP):
                ids = list(dict.fromkeys(event.entity_id for event in events))
                documents = await self._load_documents(session, ids, self._encoder)
                found = {document.profile_id for document in documents}
                changes: list[Document | Removal] = [
                    *documents,
                    *(Removal(entity_id) for entity_id in ids if entity_id not in found),
                ]
                before, as_of = self.snapshot, events[-1].seq
                self._swap(await to_thread.run_sync(partial(before.apply, changes, as_of=as_of)))
                session.expunge_all()
        return self.snapshot

    async def behind(self) -> int:
        """How many sequence numbers the snapshot is behind the database."""
        async with self._database.reading() as session:
            return max(0, await last_seq(session, entity=self._entity) - self.snapshot.as_of)

    def _swap(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        if self._entity == "profile":
            INDEX_PROFILES.set(len(snapshot.profile_ids))
            INDEX_AS_OF.set(snapshot.as_of)


def profile_index(database: Database, encoder: Encoder, folder: Path) -> LiveIndex:
    """The index of all profiles that may be found."""
    return LiveIndex(
        database, encoder, entity="profile", table=ProfileRow, load_documents=_profiles, folder=folder / "profiles"
    )


def demand_index(database: Database, encoder: Encoder, folder: Path) -> LiveIndex:
    """The index of all demands, for similar ones and for the demands that fit a profile."""
    return LiveIndex(
        database, encoder, entity="demand", table=DemandRow, load_documents=_demands, folder=folder / "demands"
    )


async def _profiles(session: AsyncSession, ids: Sequence[str], encoder: Encoder) -> list[Document]:
    statement = (
        select(ProfileRow)
        .where(ProfileRow.id.in_(ids), ProfileRow.visibility.not_in(NEVER_MATCHED))
        .options(selectinload(ProfileRow.works))
    )
    rows = (await session.scalars(statement)).all()
    return await to_thread.run_sync(profile_documents, rows, encoder)


async def _demands(session: AsyncSession, ids: Sequence[str], encoder: Encoder) -> list[Document]:
    rows = (await session.scalars(select(DemandRow).where(DemandRow.id.in_(ids)))).all()
    return await to_thread.run_sync(demand_documents, rows, encoder)
