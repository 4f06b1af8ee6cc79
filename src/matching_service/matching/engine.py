"""The engine: the indexes, the encoder, the weights and the standings that ranking needs in a process."""

import asyncio
import gc
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from anyio import CapacityLimiter, to_thread

from matching_service.eligibility.standings import Standings
from matching_service.foundation.errors import Bilingual, Unavailable
from matching_service.index.contract import Document, Facts, Index, IndexForm, KeptIndex, Passage, Versions
from matching_service.index.frequencies import Frequencies
from matching_service.live_index.indexing import DEMANDS, PROFILES, LiveIndex
from matching_service.live_index.vectors import RecallingEncoder, VectorStore
from matching_service.matching.weights import WeightsStore
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.fusion import Weights
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.shortlists.lists import MadeWith
from matching_service.store.database import Database
from matching_service.store.outbox import last_seqs
from matching_service.text.lexicon import default_lexicon
from matching_service.text.terms import default_analyzer

logger = logging.getLogger(__name__)
_POLL_S = 0.25
_RETRY_S = 5.0
_MIN_AS_OF_S = 5.0
"""How long a request waits for the change that ``min_as_of`` names."""
_WAIT_STEP_S = 0.02


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything that ranking needs in this process. The app or the command line creates one."""

    database: Database
    encoder: Encoder
    vectors: VectorStore
    profiles: LiveIndex[KeptIndex]
    demands: LiveIndex[KeptIndex]
    weights: WeightsStore
    standings: Standings
    stability: float
    form: IndexForm[KeptIndex]
    cpu: CapacityLimiter
    _wake_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the pause between two rounds of ``follow`` at once."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once ``follow`` has opened both indexes."""

    @classmethod
    def create(
        cls,
        database: Database,
        encoder: Encoder,
        *,
        form: IndexForm[KeptIndex],
        snapshots: Path,
        weights: Path,
        stability: float,
    ) -> "Engine":
        """Create an engine with unopened indexes of one form. ``snapshots`` and ``weights`` are folders."""
        vectors = VectorStore(database, encoder)
        return cls(
            database,
            encoder,
            vectors,
            LiveIndex(PROFILES, database, encoder, vectors, form=form, folder=snapshots / "profiles"),
            LiveIndex(DEMANDS, database, encoder, vectors, form=form, folder=snapshots / "demands"),
            WeightsStore(weights, encoder),
            Standings(),
            stability,
            form,
            CapacityLimiter(os.cpu_count() or 1),
        )

    async def open(self) -> None:
        """Load or build both indexes."""
        await self.profiles.open()
        await self.demands.open()

    async def complete(self) -> None:
        """Apply all changes to both indexes and encode all missing vectors in this process."""
        await self.profiles.complete()
        await self.demands.complete()

    async def save(self) -> None:
        """Write both snapshots to disk."""
        await self.profiles.save()
        await self.demands.save()

    async def refresh(self) -> None:
        """Do the same as ``complete``, and recompute the document frequencies of all terms."""
        await self.profiles.refresh()
        await self.demands.refresh()

    async def forget_unused_vectors(self) -> int:
        """Delete stored vectors of other encoders and of texts that no longer exist. Return the number deleted."""
        used = await self.profiles.vector_keys() | await self.demands.vector_keys()
        async with self.database.transaction() as session:
            return await self.vectors.forget_others(session, used)

    async def follow(self) -> None:
        """Open both indexes, then keep them up to date until the task is cancelled."""
        for index in (self.profiles, self.demands):
            while not index.is_open:
                try:
                    await index.open()
                except Exception:
                    logger.exception("index_not_opened")
                    await asyncio.sleep(_RETRY_S)
        self.opened.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._warm_up_and_freeze())
                while True:
                    await self._follow_once()
        finally:
            self.profiles.stop_encoding()
            self.demands.stop_encoding()

    async def _warm_up_and_freeze(self) -> None:
        """Rank once, then move all objects that exist now out of the reach of the garbage collector.

        They live as long as the process, and a full collection, which stops the process, would scan them every time.
        """
        try:
            await to_thread.run_sync(_warm_up, self.form, self.encoder)
        except Exception:
            logger.exception("warm_up_failed")
        gc.collect()
        gc.freeze()

    async def _follow_once(self) -> None:
        try:
            has_more = [await index.follow() for index in (self.demands, self.profiles)]
        except Exception:
            logger.exception("index_not_followed")
            await asyncio.sleep(_RETRY_S)
            return
        self._wake_up.clear()
        if not any(has_more):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake_up.wait(), _POLL_S)

    async def view(self, *, newest: Mapping[str, int] | None = None, min_as_of: int | None = None) -> "View":
        """Return a view that includes every change committed so far. Raises Unavailable while the indexes load.

        newest : the result of ``last_seqs``, if the caller has just read it.
        min_as_of : wait up to ``_MIN_AS_OF_S`` for the event with this sequence number, and for the vectors of the
            changed texts. Raises Unavailable if the event does not arrive in time.
        """
        if newest is None:
            async with self.database.reading() as session:
                newest = await last_seqs(session)
        if min_as_of is not None:
            newest = await self._wait_for(min_as_of, newest)
        profiles, demands = await self._caught_up(newest)
        return View(profiles, demands, self.weights.active())

    async def _wait_for(self, seq: int, newest: Mapping[str, int]) -> Mapping[str, int]:
        deadline = monotonic() + _MIN_AS_OF_S
        while True:
            has_arrived = max(newest.values(), default=0) >= seq
            if has_arrived:
                profiles, demands = await self._caught_up(newest)
                if not profiles.n_pending and not demands.n_pending:
                    return newest
            if monotonic() > deadline:
                if has_arrived:
                    return newest  # the answer gives the number of missing vectors
                message = Bilingual(f"索引尚未包含第 {seq} 号变更。", f"The index does not include change {seq} yet.")
                raise Unavailable("index_behind", message)
            self._wake_up.set()
            await asyncio.sleep(_WAIT_STEP_S)
            async with self.database.reading() as session:
                newest = await last_seqs(session)

    async def _caught_up(self, newest: Mapping[str, int]) -> tuple[Index, Index]:
        return (
            await self.profiles.catch_up_to(newest.get("profile", 0)),
            await self.demands.catch_up_to(newest.get("demand", 0)),
        )


@dataclass(frozen=True, slots=True)
class View:
    """The snapshots and weights that one answer uses. They do not change while it is made."""

    snapshot: Index
    demands: Index
    weights: Weights

    @property
    def frequencies_version(self) -> str:
        """The version of the document frequencies in profiles and in demands, from which rarity is computed."""
        return f"{self.snapshot.version}-{self.demands.version}"

    def made_with(self, encoder: Encoder) -> MadeWith:
        """Return the versions, other than the weights', that lists ranked with this view depend on."""
        return MadeWith(
            index_version=self.snapshot.version,
            index_as_of=self.snapshot.as_of,
            index_profiles=self.snapshot.n_profiles,
            lexicon_version=default_lexicon().version,
            encoder_version=encoder.version,
        )

    @property
    def demand_frequencies(self) -> Frequencies:
        """The document frequencies of terms in demands."""
        return self.demands.frequencies


def _warm_up(form: IndexForm[KeptIndex], encoder: Encoder) -> None:
    """Rank once, so that dictionaries and model are loaded and the kernels compiled before the first request."""
    text = "预热 warm-up"
    recalling = RecallingEncoder(encoder, {})
    (vector,) = recalling.encode([text], ["zh"])
    document = Document("", Facts(""), (Passage(None, passage_terms([text], default_analyzer()), vector),))
    builder = form.builder(Versions("", encoder.version, encoder.n_dimensions))
    builder.add([document])
    rank(prepare(Query(text, must_have=(text,)), recalling), builder.finish(as_of=0), top_k=1)
