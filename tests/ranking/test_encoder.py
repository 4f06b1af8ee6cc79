"""The only tests with the real model; all others use a hash that is as fast as it is meaningless."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.ranking.encoder import NoEncoder, UniversalEncoder, load_encoder
from matching_service.ranking.query import Query
from matching_service.ranking.semantic import query_vector

TEXTS = [
    "谐波减速器柔轮疲劳寿命",
    "harmonic drive flexspline fatigue life",
    "红烧肉的家常做法",
    "",
    "😀",
    "水泵",
    "。",
    "12",
]
ENCODABLE = ANY_TEXT.map(lambda text: text.encode("utf-8", "ignore").decode("utf-8"))


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("universal")


def test_a_text_becomes_a_unit_vector_and_a_text_without_words_none(encoder):
    vectors = encoder.encode(TEXTS)
    assert [vector is None for vector in vectors] == [False, False, False, True, True, False, True, False]
    for vector in vectors:
        if vector is not None:
            assert (vector.shape, vector.dtype) == ((encoder.n_dimensions,), np.float32)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_batch_gives_what_single_texts_give(encoder):
    for together, text in zip(encoder.encode(TEXTS), TEXTS, strict=True):
        (alone,) = encoder.encode([text])
        if together is None:
            assert alone is None
        else:
            np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_same_text_gives_the_same_bits(encoder):
    np.testing.assert_array_equal(encoder.encode(TEXTS[:3]), encoder.encode(TEXTS[:3]))


def test_nothing_gives_nothing(encoder):
    assert encoder.encode([]) == []
    assert encoder.encode(["", "！"]) == [None, None]


@settings(deadline=None, max_examples=60)
@given(st.lists(ENCODABLE, max_size=3))
def test_any_text_can_be_encoded(texts):
    vectors = load_encoder("universal").encode(texts)
    assert len(vectors) == len(texts)
    assert all(vector is None or np.isfinite(vector).all() for vector in vectors)


def test_the_same_meaning_is_near_across_languages(encoder):
    chinese, english, other, *_ = encoder.encode(TEXTS)
    assert chinese @ english > 0.5 > chinese @ other


def test_only_the_head_of_a_long_text_is_read(encoder):
    head = "机器视觉缺陷检测。" * 100
    np.testing.assert_array_equal(*encoder.encode([head + "红烧肉", head + "谐波减速器"]))


def test_threads_may_share_an_encoder(encoder):
    expected = encoder.encode(TEXTS[:3])
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: encoder.encode(TEXTS[:3]), range(8)):
            np.testing.assert_array_equal(vectors, expected)


def test_a_query_means_its_title_and_its_text(encoder):
    title_only = query_vector(Query("水泵"), encoder)
    (title,) = encoder.encode(["水泵"])
    np.testing.assert_allclose(title_only, title, atol=1e-6)
    both = query_vector(Query("水泵", problem="叶轮在高温下开裂"), encoder)
    assert np.linalg.norm(both) == pytest.approx(1, abs=1e-5)
    assert title @ both < 1 - 1e-3


@pytest.mark.parametrize("query", [Query(""), Query("！！"), Query("😀", problem="……")])
def test_a_query_without_words_has_no_vector(encoder, query):
    assert query_vector(query, encoder) is None
    assert query_vector(query, NoEncoder()) is None


def test_a_query_without_a_title_still_has_its_text(encoder):
    assert query_vector(Query("", problem="叶轮在高温下开裂"), encoder) is not None


def test_an_encoder_is_loaded_once_by_its_name(encoder):
    assert load_encoder("universal") is encoder
    assert isinstance(encoder, UniversalEncoder)
    assert isinstance(load_encoder("none"), NoEncoder)
    assert load_encoder("none").version != encoder.version


def test_without_an_encoder_every_text_is_unknown():
    encoder = load_encoder("none")
    assert (encoder.n_dimensions, encoder.encode(["水泵", ""])) == (0, [None, None])
