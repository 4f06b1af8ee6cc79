"""From passages to profiles: half the best, half the mean of the better two thirds."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking.worlds import document, snapshot_of, weights_of

from matching_service.index.filters import Filters
from matching_service.ranking.encoder import load_encoder
from matching_service.ranking.oeuvres import LEAST_SHARE, of_profiles
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank

SIGNAL = st.floats(0, 1, width=32)
PASSAGES = st.lists(st.tuples(st.integers(0, 3), SIGNAL, st.one_of(SIGNAL, st.just(np.nan))), min_size=1, max_size=20)


def by_hand(passages):
    """For each profile, the two columns as the docstring has them."""
    of_profile = defaultdict(list)
    for owner, *signals in passages:
        of_profile[owner].append(signals)
    answers = []
    for owner in sorted(of_profile):
        falling = sorted(of_profile[owner], key=lambda signals: -signals[0])
        better = falling[: -(-2 * len(falling) // 3)]
        values = []
        for column in (0, 1):
            known = [signals[column] for signals in better if not np.isnan(signals[column])]
            mean = sum(known) / len(known) if known else np.nan
            best = falling[0][column]
            values.append(mean if np.isnan(best) else 0.5 * best + 0.5 * mean)
        answers.append(values)
    return np.array(answers)


@given(PASSAGES)
def test_it_is_half_the_best_and_half_the_mean_of_the_better_two_thirds(passages):
    names = sorted({owner for owner, *_ in passages})
    values = np.array([signals for _, *signals in passages], dtype=np.float32)
    owners = np.array([names.index(owner) for owner, *_ in passages])
    whole = of_profiles(values, values[:, 0].astype(np.float64), owners, len(names))
    np.testing.assert_allclose(whole, by_hand(passages), rtol=1e-5)
    best = np.array([values[owners == place, 0].max() for place in range(len(names))])
    assert (whole[:, 0] <= best + 1e-6).all()
    assert (whole[:, 0] >= LEAST_SHARE * best - 1e-6).all()


NO_ENCODER = load_encoder("none")
WORDS = weights_of(1.0, 0.0)


@pytest.mark.parametrize("n_works", [1, 3, 10])
def test_good_works_beat_one_lucky_word_and_one_perfect_work_beats_fifty_vague_ones(n_works):
    lucky = document("lucky", "", ["液压缸往复密封", *["酱油发酵工艺"] * 9])
    good = document("good", "", ["液压缸往复密封件"] * n_works)
    vague = document("vague", "", ["工艺研究与密封"] * 50)
    perfect = document("perfect", "", ["液压缸往复密封", *["工艺研究与密封"] * 49])
    index = snapshot_of(lucky, good, vague, perfect)
    prepared = prepare(Query("液压缸往复密封"), NO_ENCODER)
    everyone = Filters(candidates=frozenset({"lucky", "good", "vague", "perfect"}))
    order = [entry.profile_id for entry in rank(prepared, index, top_k=9, filters=everyone, weights=WORDS)]
    assert order.index("good") < order.index("lucky")
    assert order.index("perfect") < order.index("vague")


def test_all_that_could_be_listed_are_read_to_the_end():
    """The best passage alone would rank those with a weak rest first; many more than are shown are compared."""
    narrow = [document(f"n{n:02}", "", ["液压缸往复密封", "酱油发酵", "家具"]) for n in range(60)]
    broad = [document(f"b{n:02}", "", ["液压缸往复密封与油封"] * 3) for n in range(5)]
    index = snapshot_of(*narrow, *broad)
    ranked = rank(prepare(Query("液压缸往复密封"), NO_ENCODER), index, top_k=5, weights=WORDS)
    assert {entry.profile_id for entry in ranked} == {f"b{n:02}" for n in range(5)}
