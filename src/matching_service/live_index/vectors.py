"""Vectors of texts: each text is encoded once, by whichever process comes first, and kept in the database."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from anyio import CapacityLimiter, to_thread
from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.index.contract import FloatArray
from matching_service.index.rounding import round_vector
from matching_service.ranking.encoder import EncodableText, Encoder, unit_vector
from matching_service.store.database import Database
from matching_service.store.embeddings import EmbeddingRow

_KEYS_PER_QUERY = 500
_BY_KEY = select(EmbeddingRow.key, EmbeddingRow.direction).where(
    EmbeddingRow.key.in_(bindparam("keys", expanding=True))
)
_MAX_REMEMBERED = 10_000
"""Vectors of questions that are kept in memory, some 20 MB."""

Vectors = Mapping[int, FloatArray | None]
"""By ``EncodableText.key``; None for a text that the encoder makes nothing of."""


def encode_texts(texts: Iterable[EncodableText], encoder: Encoder) -> dict[int, FloatArray | None]:
    """The vectors of texts, each different one encoded once."""
    wanted = {key: text for text in texts if (key := text.key(encoder))}
    vectors: dict[int, FloatArray | None] = {}
    for is_query in (False, True):
        some = {key: text for key, text in wanted.items() if text.is_query == is_query}
        encoded = encoder.encode(
            [text.text for text in some.values()], [text.language for text in some.values()], is_query=is_query
        )
        vectors |= zip(some, encoded, strict=True)
    return vectors


class VectorStore:
    """The vectors of one encoder in the database. Safe to share; processes that encode the same text do no harm."""

    def __init__(self, database: Database, encoder: Encoder) -> None:
        self._database = database
        self._encoder = encoder
        self._one_at_a_time = CapacityLimiter(1)  # a second thread would only wait for the model
        self._remembered: dict[int, FloatArray | None] = {}

    async def known(self, session: AsyncSession, keys: Iterable[int]) -> dict[int, FloatArray | None]:
        """Those of the vectors that were stored before, in as few queries as the databases allow."""
        wanted = sorted(set(keys) - {0})
        vectors: dict[int, FloatArray | None] = {}
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            some = wanted[start : start + _KEYS_PER_QUERY]
            for key, direction in await session.execute(_BY_KEY, {"keys": some}):
                vectors[key] = unit_vector(np.frombuffer(direction, dtype=np.int8)) if direction else None
        return vectors

    async def remembered(self, session: AsyncSession, texts: Sequence[EncodableText]) -> Vectors:
        """Stored vectors of questions, which are asked again and again: kept in memory as well."""
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.clear()
        keys = {key for text in texts if (key := text.key(self._encoder))}
        if unknown := keys - self._remembered.keys():
            self._remembered |= await self.known(session, unknown)
        return {key: self._remembered[key] for key in keys & self._remembered.keys()}

    async def make(self, texts: Sequence[EncodableText]) -> Vectors:
        """Encode texts in a worker thread and store their vectors."""
        vectors = await to_thread.run_sync(encode_texts, texts, self._encoder, limiter=self._one_at_a_time)
        rows = [
            {
                "key": key,
                "encoder": self._encoder.version,
                "direction": round_vector(vector).tobytes() if vector is not None else b"",
            }
            for key, vector in sorted(vectors.items())  # in one order, so that two writers cannot lock each other out
        ]
        if rows:
            insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
            async with self._database.transaction() as session:
                await session.execute(insert(EmbeddingRow).on_conflict_do_nothing(), rows)
        return vectors

    async def forget_others(self, session: AsyncSession, used: set[int]) -> int:
        """Delete the vectors of texts that nobody has any more, and those of other encoders; returns how many."""
        kept = used | {0}
        stored = await session.scalars(select(EmbeddingRow.key))
        gone = sorted(set(stored) - kept)
        for start in range(0, len(gone), _KEYS_PER_QUERY):
            await session.execute(
                delete(EmbeddingRow).where(EmbeddingRow.key.in_(gone[start : start + _KEYS_PER_QUERY]))
            )
        return len(gone)


class RecallingEncoder:
    """An encoder that answers from known vectors where it can."""

    def __init__(self, encoder: Encoder, known: Vectors) -> None:
        self._encoder = encoder
        self._known = known
        self.version = encoder.version
        self.n_dimensions = encoder.n_dimensions
        self.calibration = encoder.calibration

    def encode(
        self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
    ) -> list[FloatArray | None]:
        asked = [EncodableText(text, language, is_query) for text, language in zip(texts, languages, strict=True)]
        keys = [text.key(self._encoder) for text in asked]
        made = encode_texts(
            (text for text, key in zip(asked, keys, strict=True) if key not in self._known), self._encoder
        )
        return [self._known[key] if key in self._known else made.get(key) for key in keys]
