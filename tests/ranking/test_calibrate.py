from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching_service.ranking.calibrate import DEFAULT_FLOORS, LEVEL_NAMES, Level, LevelFloors

RISING: tuple[Level, ...] = ("none", "weak", "related", "strong")
SCORES = st.floats(0, 1)
FLOORS = (
    st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3)
    .map(sorted)
    .map(lambda rising: LevelFloors(weak=rising[0], related=rising[1], strong=rising[2]))
)


@settings(deadline=None)
@given(FLOORS, SCORES, SCORES)
def test_a_higher_score_never_has_a_lower_level(floors, one, other):
    low, high = sorted((one, other))
    assert RISING.index(floors.level_of(low)) <= RISING.index(floors.level_of(high))


@settings(deadline=None)
@given(FLOORS)
def test_a_level_begins_exactly_at_its_floor(floors):
    assert floors.level_of(floors.strong) == "strong"
    for floor, level in ((floors.weak, "weak"), (floors.related, "related")):
        assert RISING.index(floors.level_of(floor)) >= RISING.index(level)
        assert RISING.index(floors.level_of(floor - 1e-9)) < RISING.index(level)


def test_every_level_occurs_and_the_ends_are_the_extremes():
    levels = [DEFAULT_FLOORS.level_of(score / 1000) for score in range(1001)]
    assert list(dict.fromkeys(levels)) == list(RISING)
    assert (levels[0], levels[-1]) == ("none", "strong")
    assert all(RISING.index(before) <= RISING.index(after) for before, after in pairwise(levels))


@pytest.mark.parametrize(
    "floors",
    [
        {"weak": 0.0},
        {"weak": -0.1},
        {"strong": 1.0},
        {"weak": 0.4},
        {"related": 0.6},
        {"related": 0.1},
        {"strong": float("nan")},
    ],
    ids=str,
)
def test_floors_that_do_not_rise_within_0_and_1_are_refused(floors):
    with pytest.raises(ValueError, match="floors must rise"):
        LevelFloors(**floors)


def test_every_level_has_a_name_of_its_own_in_both_languages():
    assert set(LEVEL_NAMES) == set(get_args(Level)) == set(RISING)
    assert [LEVEL_NAMES[level].zh for level in RISING] == ["无相关", "弱相关", "较强相关", "强相关"]
    assert len({name.en for name in LEVEL_NAMES.values()}) == len(RISING)
