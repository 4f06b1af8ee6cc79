from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from matching_service.ranking.calibrate import LEVEL_NAMES, Level, level_of

RISING = ["none", "weak", "related", "strong"]
SCORES = st.floats(0, 1)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_a_higher_score_never_has_a_lower_level(one, other):
    low, high = sorted((one, other))
    assert RISING.index(level_of(low)) <= RISING.index(level_of(high))


def test_every_level_occurs_and_the_ends_are_the_extremes():
    levels = [level_of(score / 1000) for score in range(1001)]
    assert list(dict.fromkeys(levels)) == RISING
    assert (levels[0], levels[-1]) == ("none", "strong")


def test_every_level_has_a_name_of_its_own_in_both_languages():
    assert set(LEVEL_NAMES) == set(get_args(Level)) == set(RISING)
    assert [LEVEL_NAMES[level].zh for level in RISING] == ["无相关", "弱相关", "较强相关", "强相关"]
    assert len({name.en for name in LEVEL_NAMES.values()}) == len(RISING)
