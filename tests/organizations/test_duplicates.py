"""Which names are alike: the same firm written another way, and not two firms that share a city and a legal form."""

from hypothesis import given, settings
from hypothesis import strategies as st

from matching_service.organizations.duplicates import FLOOR, like_names, like_pairs

NAMES = [
    "佛山市顺德区恒瀚精密机械有限公司",
    "佛山市南海区卓越铝材科技有限公司",
    "佛山市顺德区恒瀚精密机械有限責任公司",  # traditional, another legal form
    "佛山市禅城区明珠陶瓷机械有限公司",
    "佛山市顺德恒瀚精密机械有限公司",
    "佛山市顺德区科达洁能机械有限公司",
    "华南理工大学",
    "華南理工大學",
    "广东铉岳重型机械股份有限公司",
]
SHORT = st.text("佛山市顺德精密机械有限公司AB（） ", max_size=12)


def test_the_same_firm_written_another_way_is_found_and_neighbours_are_not() -> None:
    pairs = {(pair.first, pair.second): pair.likeness for pair in like_pairs(NAMES)}
    assert pairs.keys() == {(0, 2), (0, 4), (2, 4), (6, 7)}
    assert pairs[6, 7] == 1.0


def test_a_name_that_is_about_to_be_registered_is_compared_the_same_way() -> None:
    found = like_names("佛山市顺德区恒瀚精密机械公司", NAMES)
    assert {place for place, _ in found} == {0, 2, 4}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert like_names("佛山市高明区某新材料厂", NAMES) == []
    assert like_names("任意", []) == []


def test_what_every_name_shares_does_not_make_them_alike() -> None:
    """Among many, a city and a legal form in common weigh next to nothing."""
    names = [f"佛山市{chr(0x4E00 + 7 * n)}{chr(0x5E00 + 11 * n)}有限公司" for n in range(400)]
    assert like_pairs(names) == []
    assert [(pair.first, pair.second) for pair in like_pairs([*names, names[0]])] == [(0, 400)]


@settings(deadline=None)
@given(st.lists(SHORT, max_size=12))
def test_pairs_are_ordered_each_once_and_within_bounds(names: list[str]) -> None:
    pairs = like_pairs(names)
    assert all(pair.first < pair.second and FLOOR <= pair.likeness <= 1 for pair in pairs)
    assert len({(pair.first, pair.second) for pair in pairs}) == len(pairs)
    keys = [(-pair.likeness, pair.first, pair.second) for pair in pairs]
    assert keys == sorted(keys)
    same = {
        (i, j) for j, name in enumerate(names) for i in range(j) if names[i] == name and any(map(str.isalnum, name))
    }
    assert same <= {(pair.first, pair.second) for pair in pairs}
