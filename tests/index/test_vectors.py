"""Cosines of rounded vectors: exact after the rounding, near before it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.worlds import N_DIMENSIONS, VECTORS, vector

from matching_service.index.rounding import round_vector
from matching_service.index.vectors import VectorQuery, Vectors
from matching_service.ranking.encoder import unit_vector

some = settings(deadline=None, max_examples=60)
MAYBE_VECTORS = st.one_of(st.none(), VECTORS)


def build(vectors, n_dimensions=N_DIMENSIONS):
    return Vectors.build(vectors, n_dimensions=n_dimensions)


def cosines(built, query):
    out = np.full(len(built.scales), 9, dtype=np.float32)
    built.cosines(VectorQuery.of(query), out)
    return out


def whole_numbers(vector, steps):
    largest = max(abs(value) for value in vector.tolist())
    return [round(value * steps / largest) for value in vector.tolist()]


def naive_cosine(one, other):
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return max(0.0, product / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other)))


@some
@given(st.lists(MAYBE_VECTORS, max_size=10), VECTORS)
def test_cosines_are_those_of_a_plain_loop_over_the_rounded_vectors(vectors, query):
    found = cosines(build(vectors), query)
    assert found.dtype == np.float32
    for cosine, stored in zip(found.tolist(), vectors, strict=True):
        if stored is None:
            assert math.isnan(cosine)
        else:
            expected = naive_cosine(whole_numbers(stored, 127), whole_numbers(query, 32767))
            assert cosine == pytest.approx(expected, abs=1e-6)
            assert 0 <= cosine <= 1


@some
@given(st.lists(MAYBE_VECTORS, min_size=1, max_size=10), VECTORS, st.data())
def test_a_row_has_the_same_bits_alone_and_among_many(vectors, query, data):
    built = build(vectors)
    rows = np.array(data.draw(st.lists(st.sampled_from(range(len(vectors))), max_size=12)), dtype=np.int64)
    together = cosines(built, query)
    np.testing.assert_array_equal(built.cosines_of(VectorQuery.of(query), rows), together[rows])
    np.testing.assert_array_equal(np.concatenate([cosines(build([one]), query) for one in vectors]), together)


@pytest.mark.parametrize("n_dimensions", [512, 513, 516, 517, 1024, 3072, 20_000])
def test_the_largest_products_add_up_in_any_number_of_dimensions(n_dimensions):
    """A product has up to 22 bits, so 516 of them fit in 32 bits and 517 do not."""
    ones = np.full(n_dimensions, 1 / math.sqrt(n_dimensions), dtype=np.float32)
    assert cosines(build([ones, -ones], n_dimensions), ones).tolist() == pytest.approx([1, 0])


@pytest.mark.parametrize("n_dimensions", [1, 511, 512, 513, 1024, 1025, 4096])
def test_cosines_are_those_of_numpy_in_any_number_of_dimensions(n_dimensions):
    stored, query = [vector(seed, n_dimensions) for seed in range(20)], vector(99, n_dimensions)
    built, asked = build(stored, n_dimensions), VectorQuery.of(query)
    products = built.directions.astype(np.int64) @ asked.direction.astype(np.int64)
    expected = np.clip(products.astype(np.float32) * built.scales * asked.scale, 0, 1)
    np.testing.assert_array_equal(cosines(built, query), expected)


class TestWrongVectors:
    @pytest.mark.parametrize("n_dimensions", [0, 1, N_DIMENSIONS - 1, N_DIMENSIONS + 1, 2 * N_DIMENSIONS])
    def test_a_vector_of_another_length_is_refused(self, n_dimensions):
        wrong = np.ones(n_dimensions, dtype=np.float32)
        with pytest.raises(ValueError, match=f"{n_dimensions} dimensions, the index has {N_DIMENSIONS}"):
            build([vector(1), wrong])
        with pytest.raises(ValueError, match=f"{n_dimensions} dimensions, the index has {N_DIMENSIONS}"):
            build([vector(1)]).with_rows({0: wrong})

    @pytest.mark.parametrize("n_dimensions", [1, N_DIMENSIONS - 1, N_DIMENSIONS + 1])
    def test_a_query_of_another_length_is_refused(self, n_dimensions):
        """The compiled loop would read beyond its end."""
        with pytest.raises(ValueError, match=f"{n_dimensions} dimensions, the index has {N_DIMENSIONS}"):
            cosines(build([vector(1)]), vector(2, n_dimensions))
        with pytest.raises(ValueError, match=f"{n_dimensions} dimensions, the index has {N_DIMENSIONS}"):
            build([vector(1)]).cosines_of(VectorQuery.of(vector(2, n_dimensions)), np.array([0]))

    @pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
    def test_a_vector_without_a_direction_is_refused(self, value):
        wrong = np.full(N_DIMENSIONS, value, dtype=np.float32)
        with pytest.raises(ValueError, match="no direction"):
            build([wrong])
        with pytest.raises(ValueError, match="no direction"):
            VectorQuery.of(wrong)


def test_opposite_meaning_is_known_and_not_near():
    assert cosines(build([-vector(1)]), vector(1)).tolist() == [0.0]


def test_an_index_of_an_encoder_without_dimensions_has_no_vectors():
    built = build([None, None], 0)
    assert built.directions.shape == (2, 0)
    assert np.isnan(built.scales).all()


@some
@given(st.lists(MAYBE_VECTORS, max_size=6), st.data())
def test_vectors_that_come_later_are_those_that_were_there_at_once(vectors, data):
    late = data.draw(st.sets(st.sampled_from(range(len(vectors)))) if vectors else st.just(set()))
    first = build([None if row in late else one for row, one in enumerate(vectors)])
    then = first.with_rows({row: vectors[row] for row in late if vectors[row] is not None})
    for name in ("directions", "scales"):
        np.testing.assert_array_equal(getattr(then, name), getattr(build(vectors), name))
    assert np.isnan(first.scales[sorted(late)]).all()


@pytest.mark.parametrize("n_dimensions", [2, 384, 512, 1536, 3072])
def test_vectors_in_one_array_are_those_that_came_one_by_one(n_dimensions):
    rows = np.stack([vector(seed, n_dimensions) for seed in range(500)])
    for name in ("directions", "scales"):
        np.testing.assert_array_equal(getattr(Vectors.of(rows), name), getattr(build(list(rows), n_dimensions), name))


class TestRounding:
    @some
    @given(st.integers(0, 10**6), st.sampled_from([2, 6, 384, 512]))
    def test_a_vector_that_was_rounded_is_rounded_to_itself(self, seed, n_dimensions):
        """It is stored as whole numbers, read as a unit vector and rounded again when it is indexed."""
        direction = round_vector(vector(seed, n_dimensions))
        assert np.abs(direction.astype(int)).max() == 127
        unit = unit_vector(direction)
        assert unit is not None
        np.testing.assert_array_equal(round_vector(unit), direction)

    @pytest.mark.parametrize("n_dimensions", [384, 512])
    def test_it_moves_a_cosine_by_less_than_a_hundredth_and_keeps_the_nearest(self, n_dimensions):
        """Against float32: clusters as texts of one topic make them, where neighbours differ little."""
        generator = np.random.default_rng(n_dimensions)
        centres = generator.normal(size=(40, n_dimensions))
        raw = centres[generator.integers(0, 40, 4000)] + 0.8 * generator.normal(size=(4000, n_dimensions))
        exact = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
        built = build(list(exact), n_dimensions)
        kept = []
        for query in exact[:100]:
            expected, found = np.clip(exact @ query, 0, 1), cosines(built, query)
            assert np.abs(found - expected).max() < 0.01
            kept.append(len(set(np.argsort(-found)[:10]) & set(np.argsort(-expected)[:10])) / 10)
        assert np.mean(kept) > 0.95
