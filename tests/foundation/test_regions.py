"""Regions by code and by the names that people write."""

import pytest

from matching_service.foundation.regions import codes_named, path_of, regions


def test_every_region_lies_in_one_that_is_known() -> None:
    assert len(regions()) > 3_000
    for code, region in regions().items():
        assert code == region.code
        assert len(code) == 6
        assert code.isdigit()
        assert (region.parent is None) == code.endswith("0000")
        assert region.parent is None or region.parent in regions()


def test_the_path_of_a_district_goes_from_the_province_down() -> None:
    assert [region.name.zh for region in path_of("440605")] == ["广东省", "佛山市", "南海区"]
    assert path_of("440605")[-1].name.en == "Nanhai District"
    assert path_of("999999") == []


@pytest.mark.parametrize(
    "name",
    ["南海区", "南海", "佛山市南海区", "佛山南海", "广东省佛山市南海区", "广东佛山南海区", "佛山市 南海区", "广东省/佛山市/南海区", "广东-佛山-南海"],
)  # fmt: skip
def test_a_district_is_found_by_any_of_its_names(name: str) -> None:
    assert codes_named(name) == ["440605"]


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("佛山", ["440600"]),
        ("广东省", ["440000"]),
        ("广西", ["450000"]),
        ("香港", ["810000"]),
        ("北京市朝阳区", ["110105"]),
        ("汕尾市城区", ["441502"]),
        ("广州市南海区", []),
        ("月球", []),
        ("", []),
    ],
)
def test_a_name_stands_for_regions_or_for_none(name: str, codes: list[str]) -> None:
    assert list(codes_named(name)) == codes


def test_a_name_that_several_regions_have_stands_for_all() -> None:
    assert {"110105", "220104"} <= set(codes_named("朝阳区"))
