import math

import numpy as np
import pytest
from contracts.index_contract import IndexContract, IndexKind, all_scores, contract, rows
from hypothesis import given
from hypothesis import strategies as st

from matching_service.index.contract import RowChanges
from matching_service.index.dense import DenseIndex

N_DIMENSIONS = 6


def unit_vector(seed):
    vector = np.random.default_rng(seed).normal(size=N_DIMENSIONS)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def build_index(vectors):
    return DenseIndex.build(vectors, n_dimensions=N_DIMENSIONS)


VECTORS = st.integers(0, 12).map(unit_vector)


class TestDenseIndexKeepsTheContract(IndexContract):
    kind = IndexKind(
        build=build_index,
        entries=st.one_of(st.none(), VECTORS),
        queries=VECTORS,
        nothing=None,
        found_by=(unit_vector(3), unit_vector(3)),
    )


@contract
@given(vectors=st.lists(st.one_of(st.none(), VECTORS), max_size=10), query=VECTORS)
def test_scores_are_cosines_of_a_plain_loop_with_negative_ones_as_0(vectors, query):
    scores = all_scores(build_index(vectors), query)
    for score, vector in zip(scores.tolist(), vectors, strict=True):
        if vector is None:
            assert math.isnan(score)
        else:
            cosine = math.fsum(a * b for a, b in zip(vector.tolist(), query.tolist(), strict=True))
            assert score == pytest.approx(min(1.0, max(0.0, cosine)), abs=1e-6)


def test_opposite_meaning_is_known_and_not_found():
    index = build_index([-unit_vector(1)])
    assert all_scores(index, unit_vector(1)).tolist() == [0.0]
    assert index.search(unit_vector(1), k=1).rows.tolist() == []


def test_a_row_without_a_vector_is_unknown_and_not_found():
    index = build_index([None, unit_vector(1)])
    assert np.isnan(all_scores(index, unit_vector(1))).tolist() == [True, False]
    assert index.search(unit_vector(1), k=2).rows.tolist() == [1]


def test_an_index_of_an_encoder_without_dimensions_can_be_kept_in_step():
    index = DenseIndex.build([None, None], n_dimensions=0)
    changed = index.apply(RowChanges(rows([1]), [None, None], rows([0, 1, 2])))
    assert len(changed) == 3


def test_one_row_scores_the_same_bits_alone_and_among_many():
    generator = np.random.default_rng(5)
    vectors = generator.normal(size=(300, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = DenseIndex.build(list(vectors), n_dimensions=512)
    together = all_scores(index, vectors[0])
    alone = [index.scores(vectors[0], rows([row]))[0] for row in range(300)]
    np.testing.assert_array_equal(together, np.array(alone))
