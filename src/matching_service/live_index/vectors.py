"""Vectors of texts. The first process that needs a vector encodes the text and stores the vector in the database."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from anyio import CapacityLimiter, to_thread
from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.index.contract import FloatArray
from matching_service.index.rounding import round_vector
from matching_service.ranking.encoder import EncodableText, Encoder, EncoderAway, unit_vector
from matching_service.store.database import Database
from matching_service.store.embeddings import EmbeddingRow

_KEYS_PER_QUERY = 500
_BY_KEY = select(EmbeddingRow.key, EmbeddingRow.direction).where(
    EmbeddingRow.key.in_(bindparam("keys", expanding=True))
)
_MAX_REMEMBERED = 10_000
"""Number of query vectors kept in memory, about 20 MB."""

Vectors = Mapping[int, FloatArray | None]
"""Vectors by ``EncodableText.key``, each float32 of shape (n_dimensions,); None for a text that has no vector."""


def encode_texts(texts: Iterable[EncodableText], encoder: Encoder) -> dict[int, FloatArray | None]:
    """Encode texts; equal texts are encoded once."""
    texts_by_key = {key: text for text in texts if (key := text.key(encoder))}
    vectors: dict[int, FloatArray | None] = {}
    for is_query in (False, True):
        batch = {key: text for key, text in texts_by_key.items() if text.is_query == is_query}
        encoded = encoder.encode(
            [text.text for text in batch.values()], [text.language for text in batch.values()], is_query=is_query
        )
        vectors |= zip(batch, encoded, strict=True)
    return vectors


class VectorStore:
    """The vectors of one encoder in the database.

    Tasks may share one instance. Two processes may encode the same text; the first stored vector is kept.
    """

    def __init__(self, database: Database, encoder: Encoder) -> None:
        self._database = database
        self._encoder = encoder
        self._one_at_a_time = CapacityLimiter(1)  # a second thread would only wait for the model
        self._remembered: dict[int, FloatArray | None] = {}

    async def known(self, session: AsyncSession, keys: Iterable[int]) -> dict[int, FloatArray | None]:
        """Return the stored vectors among these keys, in batches of ``_KEYS_PER_QUERY``."""
        distinct = sorted(set(keys) - {0})
        vectors: dict[int, FloatArray | None] = {}
        for start in range(0, len(distinct), _KEYS_PER_QUERY):
            batch = distinct[start : start + _KEYS_PER_QUERY]
            for key, direction in await session.execute(_BY_KEY, {"keys": batch}):
                vectors[key] = unit_vector(np.frombuffer(direction, dtype=np.int8)) if direction else None
        return vectors

    async def remembered(self, session: AsyncSession, texts: Sequence[EncodableText]) -> Vectors:
        """Return the stored vectors of query texts, cached in memory because queries repeat."""
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.clear()
        keys = {key for text in texts if (key := text.key(self._encoder))}
        if unknown := keys - self._remembered.keys():
            self._remembered |= await self.known(session, unknown)
        return {key: self._remembered[key] for key in keys & self._remembered.keys()}

    async def make(self, texts: Sequence[EncodableText]) -> Vectors:
        """Encode texts in a worker thread and store their vectors. Raises EncoderAway."""
        vectors = await to_thread.run_sync(encode_texts, texts, self._encoder, limiter=self._one_at_a_time)
        rows = [
            {
                "key": key,
                "encoder": self._encoder.version,
                "direction": round_vector(vector).tobytes() if vector is not None else b"",
            }
            for key, vector in sorted(vectors.items())  # sorted, so that two writers cannot deadlock
        ]
        if rows:
            insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
            async with self._database.transaction() as session:
                await session.execute(insert(EmbeddingRow).on_conflict_do_nothing(), rows)
        return vectors

    async def forget_others(self, session: AsyncSession, used: set[int]) -> int:
        """Delete all vectors but those with the keys ``used``. Returns the number deleted."""
        kept = used | {0}
        stored = await session.scalars(select(EmbeddingRow.key))
        unused = sorted(set(stored) - kept)
        for start in range(0, len(unused), _KEYS_PER_QUERY):
            await session.execute(
                delete(EmbeddingRow).where(EmbeddingRow.key.in_(unused[start : start + _KEYS_PER_QUERY]))
            )
        return len(unused)


class RecallingEncoder:
    """An encoder that uses known vectors and encodes only the other texts.

    While the model does not answer, the other texts have no vector, so that ranking goes on by words.
    """

    def __init__(self, encoder: Encoder, known: Vectors) -> None:
        self._encoder = encoder
        self._known = known
        self.version = encoder.version
        self.n_dimensions = encoder.n_dimensions
        self.calibration = encoder.calibration

    @property
    def is_available(self) -> bool:
        return self._encoder.is_available

    def encode(
        self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
    ) -> list[FloatArray | None]:
        encodable = [EncodableText(text, language, is_query) for text, language in zip(texts, languages, strict=True)]
        keys = [text.key(self._encoder) for text in encodable]
        unknown = [text for text, key in zip(encodable, keys, strict=True) if key not in self._known]
        try:
            encoded = encode_texts(unknown, self._encoder)
        except EncoderAway:  # the model has logged it
            encoded = {}
        return [self._known[key] if key in self._known else encoded.get(key) for key in keys]
