import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.worlds import ENCODER, SilentEncoder

from matching_service.ranking.encoder import Calibration
from matching_service.ranking.query import Query
from matching_service.ranking.semantic import query_vector, semantic_value

LINES = {"zh": (1.0, 0.0), "en": (1.2, -0.1), "ko": (0.8, 0.1)}
CALIBRATION = Calibration("drawn", {}, LINES, middle=0.3, steepness=6.0, weight=0.2)
COSINES = st.one_of(st.just(math.nan), st.sampled_from([0.0, 1.0]), st.floats(0, 1, width=32))
LANGUAGES = st.sampled_from(["zh", "en", "ko", "xx"])


def value(cosine, query="zh", passage="zh", calibration=CALIBRATION):
    return float(semantic_value(np.array([cosine], np.float32), query, np.array([passage]), calibration)[0])


@settings(deadline=None)
@given(st.lists(st.tuples(COSINES, LANGUAGES), max_size=12), LANGUAGES)
def test_it_is_between_0_and_1_and_the_unknown_stays_unknown(rows, query):
    cosines = np.array([cosine for cosine, _ in rows], np.float32)
    values = semantic_value(cosines, query, np.array([code for _, code in rows], "<U8"), CALIBRATION)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(values), np.isnan(cosines))
    known = values[~np.isnan(values)]
    assert ((known >= 0) & (known <= 1)).all()
    assert values.tolist() == pytest.approx([value(cosine, query, code) for cosine, code in rows], nan_ok=True)


@settings(deadline=None)
@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), LANGUAGES, LANGUAGES)
def test_nearer_is_never_less(one, other, query, passage):
    low, high = sorted((one, other))
    assert value(low, query, passage) <= value(high, query, passage) + 1e-6


@settings(deadline=None)
@given(LANGUAGES, LANGUAGES, st.floats(1, 20), st.floats(0.1, 0.9))
def test_nothing_in_common_is_exactly_0(query, passage, steepness, middle):
    calibration = Calibration("drawn", {}, LINES, middle, steepness, weight=0.2)
    assert value(0.0, query, passage, calibration) == 0.0


def test_it_grows_over_the_whole_range():
    values = [value(step / 20) for step in range(21)]
    assert all(before < after for before, after in pairwise(values))


@pytest.mark.parametrize(
    ("query", "passage", "line"),
    [
        ("zh", "zh", (1.0, 0.0)),
        ("zh", "en", LINES["en"]),
        ("en", "zh", LINES["en"]),
        ("en", "en", (1.0, 0.0)),
        ("ko", "zh", LINES["ko"]),
        ("ko", "en", LINES["en"]),
        ("zh", "xx", (1.0, 0.0)),  # the mean of en and ko
        ("xx", "zh", (1.0, 0.0)),
        ("xx", "xx", (1.0, 0.0)),
    ],
)
def test_the_line_of_the_foreign_side_is_used_whichever_side_that_is(query, passage, line):
    slope, offset = line
    for cosine in (0.3, 0.6, 0.9):
        assert value(cosine, query, passage) == pytest.approx(value(slope * cosine + offset), abs=1e-6)


def test_a_line_never_makes_less_than_nothing():
    assert value(0.01, "zh", "en") == 0.0


def test_without_lines_every_language_is_read_alike():
    bare = Calibration("bare", {}, {}, middle=0.3, steepness=6.0, weight=0.2)
    assert bare.line_of("en") == (1.0, 0.0)
    assert value(0.5, "zh", "en", bare) == value(0.5, "zh", "zh", bare)


def test_an_unknown_language_has_the_mean_of_the_foreign_lines_and_of_all_centres():
    centres = {"zh": np.array([1, 0], np.float32), "en": np.array([0, 1], np.float32)}
    calibration = Calibration("drawn", centres, LINES, 0.3, 6.0, 0.2)
    assert calibration.line_of("xx") == pytest.approx((1.0, 0.0))
    assert calibration.centre_of("xx").tolist() == [0.5, 0.5]
    assert calibration.centre_of("en").tolist() == [0, 1]


class TestQueryVector:
    def test_a_title_alone_is_the_vector_of_the_title(self):
        (title,) = ENCODER.encode(["水泵"], ["zh"])
        vector = query_vector(Query("水泵"), "zh", ENCODER)
        assert title is not None
        assert vector is not None
        np.testing.assert_allclose(vector, title, atol=1e-6)

    def test_title_and_whole_text_are_both_meant(self):
        both = query_vector(Query("水泵", problem="叶轮开裂", key_technology="焊接"), "zh", ENCODER)
        title, whole = ENCODER.encode(["水泵", "水泵。叶轮开裂。焊接"], ["zh", "zh"])
        assert both is not None
        assert title is not None
        assert whole is not None
        expected = title + whole
        np.testing.assert_allclose(both, expected / np.linalg.norm(expected), atol=1e-6)
        assert np.linalg.norm(both) == pytest.approx(1, abs=1e-6)

    def test_a_text_without_a_title_is_meant(self):
        assert query_vector(Query("", problem="叶轮"), "zh", ENCODER) is not None

    @pytest.mark.parametrize(
        "query", [Query(""), Query("！！"), Query("😀", problem="……"), Query("", keywords=("水泵",))]
    )
    def test_without_words_there_is_none(self, query):
        assert query_vector(query, "zh", ENCODER) is None

    def test_an_encoder_that_knows_nothing_gives_none(self):
        assert query_vector(Query("水泵"), "zh", SilentEncoder()) is None
