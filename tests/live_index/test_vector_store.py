"""Vectors are found by a hash of their text, made once, and the same after they were stored."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.worlds import CALIBRATION, N_DIMENSIONS, HashEncoder
from sqlalchemy import select
from strategies import ANY_TEXT

from matching_service.index.contract import FloatArray
from matching_service.index.rounding import round_vector
from matching_service.live_index import vectors
from matching_service.live_index.vectors import RecallingEncoder, VectorStore, encode_texts
from matching_service.ranking.encoder import EncodableText, Encoder, NoEncoder, load_encoder
from matching_service.store.database import Database
from matching_service.store.embeddings import EmbeddingRow

TEXTS = [
    EncodableText("柔轮", "zh"),
    EncodableText("柔轮", "zh", is_query=True),
    EncodableText("柔轮", "ja"),
    EncodableText("刚轮", "zh"),
    EncodableText("！！", "zh"),
]


class CountingEncoder:
    """As ``HashEncoder``, but a question means something else, and some texts nothing."""

    version = "counting-1"
    is_available = True
    n_dimensions = N_DIMENSIONS
    calibration = CALIBRATION

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(
        self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
    ) -> list[FloatArray | None]:
        self.asked += texts
        written = [
            f"{text}{language}{'?' if is_query else ''}" for text, language in zip(texts, languages, strict=True)
        ]
        vectors: list[FloatArray | None] = HashEncoder().encode(written, languages)
        return [None if "无" in text else vector for text, vector in zip(texts, vectors, strict=True)]


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def store(database: Database, encoder: CountingEncoder) -> VectorStore:
    return VectorStore(database, encoder)


def key(text: EncodableText, encoder: Encoder) -> int:
    return text.key(encoder)


def same(one: FloatArray | None, other: FloatArray | None) -> bool:
    """Whether they are indexed with the same bits."""
    if one is None or other is None:
        return one is other
    return np.array_equal(round_vector(one), round_vector(other))


class TestKeys:
    def test_what_changes_a_vector_changes_its_key(self, encoder: CountingEncoder) -> None:
        other = CountingEncoder()
        other.version = "counting-2"
        keys = [key(text, each) for text in TEXTS[:4] for each in (encoder, other)]
        assert len(set(keys)) == 8
        assert keys == [key(text, each) for text in TEXTS[:4] for each in (encoder, other)]

    @settings(deadline=None)
    @given(st.lists(ANY_TEXT, max_size=5))
    def test_any_text_has_one_that_a_database_can_hold(self, texts: list[str]) -> None:
        for text in texts:
            found = key(EncodableText(text, "zh"), HashEncoder())
            assert 0 <= found < 2**63
            assert (found == 0) == (not EncodableText(text, "zh").has_words)

    def test_without_words_or_an_encoder_there_is_none(self, encoder: CountingEncoder) -> None:
        assert key(EncodableText("！😀", "zh"), encoder) == 0
        assert key(TEXTS[0], NoEncoder()) == 0
        assert encode_texts(TEXTS, NoEncoder()) == {}


class TestStore:
    async def test_what_was_made_is_known_with_the_same_bits(
        self, database: Database, store: VectorStore, encoder: CountingEncoder
    ) -> None:
        made = await store.make(TEXTS)
        assert sorted(made) == sorted(key(text, encoder) for text in TEXTS[:4])
        async with database.reading() as session:
            known = await store.known(session, [*made, 0, 12345])
        assert sorted(known) == sorted(made)
        assert all(same(known[each], made[each]) for each in made)
        alone = encode_texts([TEXTS[1]], CountingEncoder())
        assert same(alone[key(TEXTS[1], encoder)], made[key(TEXTS[1], encoder)])

    async def test_real_vectors_come_back_with_every_bit(self, database: Database) -> None:
        """So that a question ranks alike whether its vector was stored or made anew."""
        encoder = load_encoder("universal")
        made = await VectorStore(database, encoder).make(TEXTS)
        async with database.reading() as session:
            known = await VectorStore(database, encoder).known(session, made)
        for each, vector in made.items():
            np.testing.assert_array_equal(known[each], vector)

    async def test_a_text_of_which_nothing_is_made_is_known_too(self, database: Database, store: VectorStore) -> None:
        (made,) = (await store.make([EncodableText("无", "zh")])).items()
        assert made[1] is None
        async with database.reading() as session:
            assert await store.known(session, [made[0]]) == {made[0]: None}

    async def test_nothing_asks_for_nothing(self, database: Database, store: VectorStore) -> None:
        assert await store.make([]) == await store.make(TEXTS[4:]) == {}
        async with database.reading() as session:
            assert await store.known(session, [0]) == {}

    async def test_one_text_is_encoded_once_though_it_stands_in_many_places(
        self, store: VectorStore, encoder: CountingEncoder
    ) -> None:
        await store.make([TEXTS[0]] * 5)
        assert encoder.asked == ["柔轮"]

    async def test_processes_that_make_the_same_do_no_harm(self, database_url: str, tmp_path: Path) -> None:
        databases = [Database(database_url) for _ in range(3)]
        encoder = CountingEncoder()
        stores = [VectorStore(database, encoder) for database in databases]
        made = await asyncio.gather(
            *(store.make(list(reversed(TEXTS)) if n else TEXTS) for n, store in enumerate(stores))
        )
        assert all(sorted(each) == sorted(made[0]) for each in made)
        async with databases[0].reading() as session:
            assert len(list(await session.scalars(select(EmbeddingRow.key)))) == 4
        for database in databases:
            await database.close()

    async def test_more_than_a_query_may_ask_for_are_known(
        self, database: Database, store: VectorStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vectors, "_KEYS_PER_QUERY", 3)
        made = await store.make([EncodableText(f"柔轮{n}", "zh") for n in range(10)])
        async with database.reading() as session:
            assert (await store.known(session, made)).keys() == made.keys()

    async def test_questions_are_remembered(
        self, database: Database, store: VectorStore, encoder: CountingEncoder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.make(TEXTS[:2])
        expected = {key(text, encoder) for text in TEXTS[:2]}
        async with database.reading() as session:
            assert (await store.remembered(session, TEXTS)).keys() == expected
            monkeypatch.setattr(VectorStore, "known", None)  # the database is not asked again
            assert (await store.remembered(session, TEXTS[:2])).keys() == expected

    async def test_vectors_that_nobody_uses_can_be_forgotten(
        self, database: Database, store: VectorStore, encoder: CountingEncoder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vectors, "_KEYS_PER_QUERY", 2)
        await store.make(TEXTS)
        async with database.transaction() as session:
            assert await store.forget_others(session, {key(TEXTS[0], encoder), 99}) == 3
        async with database.reading() as session:
            assert list(await session.scalars(select(EmbeddingRow.key))) == [key(TEXTS[0], encoder)]


class TestRecalling:
    def test_what_is_known_is_not_made_again(self, encoder: CountingEncoder) -> None:
        known = encode_texts(TEXTS[:2], encoder)
        del encoder.asked[:]
        recalling = RecallingEncoder(encoder, known)
        expected = CountingEncoder().encode(["柔轮", "刚轮"], ["zh", "zh"], is_query=True)
        found = recalling.encode(["柔轮", "刚轮"], ["zh", "zh"], is_query=True)
        assert encoder.asked == ["刚轮"]
        assert all(same(*pair) for pair in zip(found, expected, strict=True))

    def test_a_text_of_which_nothing_is_made_is_none(self, encoder: CountingEncoder) -> None:
        found = RecallingEncoder(encoder, {}).encode(["！", "柔轮", "无", "柔轮"], ["zh"] * 4)
        assert [vector is None for vector in found] == [True, False, True, False]
        assert sorted(encoder.asked) == ["无", "柔轮"]
        assert RecallingEncoder(encoder, {}).encode([], []) == []

    def test_it_stands_for_the_encoder(self, encoder: CountingEncoder) -> None:
        recalling = RecallingEncoder(encoder, {})
        assert recalling.version == encoder.version
        assert recalling.n_dimensions == encoder.n_dimensions
        assert recalling.calibration is encoder.calibration
