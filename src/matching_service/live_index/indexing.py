"""Keep a snapshot up to date: build it from all rows once, then apply the events of the outbox.

A changed text can be found by its words as soon as its event is applied, and by its meaning as soon as its vector
exists. Vectors come from the vector store; one process at a time encodes missing ones in the background.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Generic

from anyio import to_thread
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from matching_service.foundation.errors import Bilingual, Unavailable
from matching_service.foundation.locks import FileLock
from matching_service.foundation.metrics import INDEX_AS_OF, INDEX_PENDING, INDEX_PROFILES
from matching_service.index.contract import Document, IndexForm, KeptIndexT, Removal, SavedIndexRefused, Versions
from matching_service.live_index.documents import demand_documents, demand_texts, profile_documents, profile_texts
from matching_service.live_index.vectors import Vectors, VectorStore
from matching_service.ranking.encoder import EncodableText, Encoder, EncoderAway
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import events_after, last_seq
from matching_service.store.profiles import NEVER_MATCHED, ProfileRow
from matching_service.text.lexicon import default_lexicon

logger = logging.getLogger(__name__)
_ROWS_PER_STEP = 500
_VECTORS_PER_ROUND = 64
_ENCODER_PAUSE_S = 5.0
_UNSAVED_SHARE = 0.1
_UNSAVED = 1000
"""A snapshot is saved again after changes to more than this number of passages and this share of them."""
_LOADING = Bilingual("索引正在加载，请稍后重试。", "The index is loading; try again in a moment.")

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of entity to index.

    load : reads the rows of some ids; rows that must not be indexed are left out.
    texts : all texts of a row that may be encoded, for documents and for queries.
    documents : turns rows into documents.
    """

    entity: str
    table: type[ProfileRow | DemandRow]
    load: Callable[[AsyncSession, Sequence[str]], Awaitable[Sequence[Any]]]
    texts: Callable[[Any], list[EncodableText]]
    documents: Callable[[Sequence[Any], Vectors, Encoder], list[Document]]


class LiveIndex(Generic[KeptIndexT]):
    """The current snapshot of one kind of entity in this process.

    A reader takes ``snapshot`` once and keeps it for the whole answer, because a change replaces the attribute.
    """

    def __init__(
        self,
        source: Source,
        database: Database,
        encoder: Encoder,
        vectors: VectorStore,
        *,
        form: IndexForm[KeptIndexT],
        folder: Path,
    ) -> None:
        self._source = source
        self._database = database
        self._encoder = encoder
        self._vectors = vectors
        self._form = form
        self._folder = folder
        self._changing = asyncio.Lock()
        self._encoding = FileLock(folder / "ENCODING")
        self._saving = FileLock(folder / "SAVING")
        self._no_vectors_until = 0.0
        self._saved: KeptIndexT | None = None
        self._stamp: int | None = None
        self._versions = Versions(default_lexicon().version, encoder.version, encoder.n_dimensions)
        self.snapshot = form.empty(self._versions)
        self.is_open = False

    # Opening

    async def open(self) -> None:
        """Load the saved snapshot, or build one from the database if there is no usable one. Then apply new events."""
        try:
            await self._adopt()
        except SavedIndexRefused as mismatch:
            level = logging.WARNING if mismatch.is_damage else logging.INFO
            logger.log(level, "snapshot_refused", extra={"entity": self._source.entity, "reason": str(mismatch)})
            await self.rebuild()
        await self._apply_events()
        self.is_open = True
        await self._save_if_worth_it()

    async def rebuild(self, on_progress: Progress = lambda _n: None) -> KeptIndexT:
        """Build a snapshot from all rows and swap it in. ``on_progress`` gets the number of rows of each step."""
        started = perf_counter()
        builder = self._form.builder(self._versions)
        async with self._changing, self._database.reading() as session:
            as_of = await last_seq(session, entity=self._source.entity)  # read first; later events are applied again
            async for ids in self._every_id(session):
                await to_thread.run_sync(builder.add, await self._documents(session, ids))
                on_progress(len(ids))
                session.expunge_all()
            snapshot = await to_thread.run_sync(partial(builder.finish, as_of=as_of))
            self._swap(snapshot)
        self.is_open = True
        logger.info(
            "index_rebuilt",
            extra={
                "entity": self._source.entity,
                "n_documents": snapshot.n_profiles,
                "elapsed_ms": round((perf_counter() - started) * 1e3),
            },
        )
        return snapshot

    async def vector_keys(self) -> set[int]:
        """Return the keys of all vectors that the present rows need."""
        keys: set[int] = set()
        async with self._database.reading() as session:
            async for ids in self._every_id(session):
                keys.update(await self._keys(await self._source.load(session, ids)))
                session.expunge_all()
        return keys

    async def _every_id(self, session: AsyncSession) -> AsyncIterator[Sequence[str]]:
        """Yield the ids of all rows in batches, in ascending order."""
        table, last_id = self._source.table, ""
        while True:
            statement = select(table.id).where(table.id > last_id).order_by(table.id)
            ids = (await session.scalars(statement.limit(_ROWS_PER_STEP))).all()
            if not ids:
                return
            yield ids
            last_id = ids[-1]

    # Following the outbox

    async def catch_up(self) -> KeptIndexT:
        """Return a snapshot with every change committed before this call. Raises Unavailable before ``open``."""
        if not self.is_open:
            raise Unavailable("index_loading", _LOADING)
        async with self._database.reading() as session:
            newest = await last_seq(session, entity=self._source.entity)
        return await self.catch_up_to(newest)

    async def catch_up_to(self, seq: int) -> KeptIndexT:
        """Return a snapshot with every event up to this sequence number. Raises Unavailable before ``open``."""
        if not self.is_open:
            raise Unavailable("index_loading", _LOADING)
        return self.snapshot if seq <= self.snapshot.as_of else await self._apply_events()

    async def follow(self) -> bool:
        """Do one round of background work. Returns True if there is more to do at once.

        Load the snapshot if another process has saved one, apply new events, fill in some vectors, and save the
        snapshot if enough has changed.
        """
        if self._form.stamp(self._folder) != self._stamp:
            try:
                await self._adopt()
            except SavedIndexRefused as mismatch:
                self._stamp = self._form.stamp(self._folder)
                logger.warning("snapshot_refused", extra={"entity": self._source.entity, "reason": str(mismatch)})
        await self.catch_up()
        has_more = await self._advance_vectors()
        await self._save_if_worth_it()
        return has_more

    async def complete(self, on_progress: Progress = lambda _n: None) -> KeptIndexT:
        """Catch up and encode all missing vectors here. ``on_progress`` gets the number of passages of each step.

        While the model does not answer, the rest stays without vectors.
        """
        await self.catch_up()
        while n_before := self.snapshot.n_pending:
            try:
                await self._fill(self.snapshot.awaited(_VECTORS_PER_ROUND))
            except EncoderAway:
                logger.warning("vectors_missing", extra={"entity": self._source.entity, "n_passages": n_before})
                break
            on_progress(n_before - self.snapshot.n_pending)
        return self.snapshot

    async def refresh(self) -> KeptIndexT:
        """Do the same as ``complete``, recompute the document frequencies, and save for all processes.

        The night run calls this, because new frequencies change every score a little.
        """
        await self.complete()
        async with self._changing:
            self._swap(await to_thread.run_sync(self.snapshot.recounted))
        await self._save_if_worth_it()
        return self.snapshot

    async def behind(self) -> int:
        """Return by how many sequence numbers the snapshot lags behind the database."""
        async with self._database.reading() as session:
            return max(0, await last_seq(session, entity=self._source.entity) - self.snapshot.as_of)

    async def save(self) -> None:
        """Write the current snapshot to disk, for the next start and for other processes."""
        snapshot = self.snapshot
        await to_thread.run_sync(snapshot.save, self._folder)
        self._saved, self._stamp = snapshot, self._form.stamp(self._folder)

    def load_saved(self) -> KeptIndexT:
        """Return the snapshot on disk without applying events or swapping it in. Raises SavedIndexRefused."""
        return self._form.load(self._folder, self._versions)

    async def _apply_events(self) -> KeptIndexT:
        """Apply new events in steps. Concurrent callers wait for the first one."""
        async with self._changing, self._database.reading() as session:
            self._swap(await self._applied(session, self.snapshot))
        return self.snapshot

    async def _applied(self, session: AsyncSession, snapshot: KeptIndexT) -> KeptIndexT:
        entity = self._source.entity
        while events := await events_after(session, snapshot.as_of, entity=entity, limit=_ROWS_PER_STEP):
            ids = list(dict.fromkeys(event.entity_id for event in events))
            documents = await self._documents(session, ids)
            present = {document.profile_id for document in documents}
            removals = (Removal(entity_id) for entity_id in ids if entity_id not in present)
            snapshot = await to_thread.run_sync(partial(snapshot.apply, [*documents, *removals], as_of=events[-1].seq))
            session.expunge_all()
        return snapshot

    async def _documents(self, session: AsyncSession, ids: Sequence[str]) -> list[Document]:
        """Return the documents of the ids that may be indexed, with their stored vectors."""
        source = self._source
        rows = await source.load(session, ids)
        vectors = await self._vectors.known(session, await self._keys(rows))
        return await to_thread.run_sync(source.documents, rows, vectors, self._encoder)

    async def _keys(self, rows: Sequence[Any]) -> list[int]:
        texts = self._source.texts
        return await to_thread.run_sync(lambda: [text.key(self._encoder) for row in rows for text in texts(row)])

    # Vectors

    async def _advance_vectors(self) -> bool:
        """Fill in some awaited vectors, encoding them here unless another process holds the lock for that.

        Returns True if this process should go on at once.
        """
        keys = self.snapshot.awaited(_VECTORS_PER_ROUND) if monotonic() >= self._no_vectors_until else []
        if not keys:
            self._encoding.release()
        elif self._encoding.acquire():
            try:
                await self._fill(keys)
            except EncoderAway:  # the model has logged it
                self._no_vectors_until = monotonic() + _ENCODER_PAUSE_S
                return False
        else:
            async with self._database.reading() as session:
                await self._take_in(await self._vectors.known(session, keys))
        return bool(keys) and self._encoding.is_held

    def stop_encoding(self) -> None:
        """Release the encoding lock, so that another process takes over."""
        self._encoding.release()

    async def _fill(self, keys: Sequence[int]) -> None:
        owners = self.snapshot.owners_of_awaited(keys)
        async with self._database.reading() as session:
            rows = await self._source.load(session, owners)
            texts = [text for row in rows for text in self._source.texts(row)]
            texts_by_key = {key: text for text in texts if (key := text.key(self._encoder))}
            known = await self._vectors.known(session, texts_by_key)
        missing = [text for key, text in texts_by_key.items() if key not in known]
        batches = [
            await self._vectors.make(missing[start : start + _VECTORS_PER_ROUND])
            for start in range(0, len(missing), _VECTORS_PER_ROUND)
        ]
        # Texts of these keys have changed since and have new keys: the old vectors are no longer needed.
        outdated = dict.fromkeys(set(keys) - texts_by_key.keys())
        encoded = {key: vector for batch in batches for key, vector in batch.items()}
        await self._take_in({**outdated, **known, **encoded})

    async def _take_in(self, vectors: Vectors) -> None:
        if vectors:
            async with self._changing:
                self._swap(await to_thread.run_sync(self.snapshot.with_vectors, vectors))

    # Files

    async def _adopt(self) -> None:
        """Load the saved snapshot, apply new events and swap it in. Raises SavedIndexRefused."""
        before = self._form.stamp(self._folder)
        loaded = await to_thread.run_sync(self.load_saved)
        async with self._changing, self._database.reading() as session:
            newest = await last_seq(session, entity=self._source.entity)
            if loaded.as_of > newest:
                raise SavedIndexRefused("ahead of the database, which was restored or is another one")
            self._swap(await self._applied(session, loaded))
        self._saved, self._stamp = loaded, before

    async def _save_if_worth_it(self) -> None:
        snapshot, saved = self.snapshot, self._saved
        if saved is not None and snapshot.version == saved.version:
            n_new = snapshot.n_unsaved(saved)
            if n_new <= max(_UNSAVED, _UNSAVED_SHARE * snapshot.n_passages) or snapshot.n_pending:
                return
        if not self._saving.acquire():
            return  # another process is saving; ``follow`` will load its snapshot
        try:
            await self.save()
        except OSError:
            logger.exception("snapshot_not_saved", extra={"entity": self._source.entity})
        finally:
            self._saving.release()

    def _swap(self, snapshot: KeptIndexT) -> None:
        self.snapshot = snapshot
        if self._source.entity == "profile":
            INDEX_PROFILES.set(snapshot.n_profiles)
            INDEX_AS_OF.set(snapshot.as_of)
            INDEX_PENDING.set(snapshot.n_pending)


async def _load_profiles(session: AsyncSession, ids: Sequence[str]) -> Sequence[ProfileRow]:
    statement = (
        select(ProfileRow)
        .where(ProfileRow.id.in_(ids), ProfileRow.visibility.not_in(NEVER_MATCHED))
        .options(selectinload(ProfileRow.works))
    )
    return (await session.scalars(statement)).all()


async def _load_demands(session: AsyncSession, ids: Sequence[str]) -> Sequence[DemandRow]:
    return (await session.scalars(select(DemandRow).where(DemandRow.id.in_(ids)))).all()


PROFILES = Source("profile", ProfileRow, _load_profiles, profile_texts, profile_documents)
DEMANDS = Source("demand", DemandRow, _load_demands, demand_texts, demand_documents)
