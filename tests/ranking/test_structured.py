from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.worlds import CIRCUMSTANCES, DOCUMENTS, QUERIES, TODAY

from matching_service.index.contract import Facts
from matching_service.ranking.query import Query
from matching_service.ranking.structured import (
    SIGNAL_FUNCTIONS,
    CandidateFacts,
    Standing,
    availability,
    cluster_fit,
    field_fit,
    honours_fit,
    recency,
    region_fit,
    track_record,
    value_ranges,
)

NO_STANDING = Standing()


def candidate(standing=NO_STANDING, year=None, **facts):
    return CandidateFacts(Facts(**{"kind": "expert"} | facts), standing, year)


def known(finding):
    assert finding is not None
    return finding


def value(function, query, someone):
    finding = function(query, someone, TODAY)
    return None if finding is None else finding.value


@settings(deadline=None)
@given(QUERIES, DOCUMENTS.filter(bool), CIRCUMSTANCES, st.one_of(st.none(), st.integers(1900, 2100)))
def test_every_value_is_between_0_and_1_and_has_a_reason_in_both_languages(query, documents, circumstances, year):
    for document in documents:
        standing = circumstances.standings.get(document.profile_id, Standing())
        for signal, function in SIGNAL_FUNCTIONS.items():
            finding = function(query, CandidateFacts(document.facts, standing, year), circumstances.today)
            if finding is not None:
                least, greatest = value_ranges(query, circumstances)[signal]
                assert 0 <= least <= finding.value <= greatest <= 1
                assert finding.reason.zh.strip()
                assert finding.reason.en.strip()
                assert finding.reason.zh != finding.reason.en


def test_of_a_profile_that_says_nothing_nothing_is_known():
    query = Query("建院士工作站，水泵", cluster="新材料", region="440605")
    assert {name: function(query, candidate(), TODAY) for name, function in SIGNAL_FUNCTIONS.items()} == dict.fromkeys(
        SIGNAL_FUNCTIONS
    )


def test_of_a_query_that_asks_for_nothing_only_the_profile_s_own_record_counts():
    everything = candidate(
        Standing(1, 1, 1), 2024, region="440605", clusters=("新材料",), fields=("机械",), honours=("院士",), capacity=2
    )
    known = {name for name, function in SIGNAL_FUNCTIONS.items() if function(Query("水泵"), everything, TODAY)}
    assert known == {"recency", "availability", "track_record"}


class TestCluster:
    @pytest.mark.parametrize(
        ("asked", "served", "expected"),
        [
            ("新材料", ("新材料",), 1.0),
            ("新材料", ("装备制造", "新材料"), 1.0),
            ("新材料", ("装备制造",), 0.0),
            ("新材料", (), None),
            (None, ("新材料",), None),
            (None, (), None),
        ],
    )
    def test_it_fits_when_the_profile_serves_it(self, asked, served, expected):
        assert value(cluster_fit, Query("水泵", cluster=asked), candidate(clusters=served)) == expected

    def test_the_reason_names_the_clusters(self):
        fits = known(cluster_fit(Query("", cluster="新材料"), candidate(clusters=("医药", "新材料")), TODAY))
        other = known(cluster_fit(Query("", cluster="新材料"), candidate(clusters=("医药", "装备制造")), TODAY))
        assert "新材料" in fits.reason.zh
        assert "新材料" in fits.reason.en
        assert "医药、装备制造" in other.reason.zh
        assert "医药、装备制造" in other.reason.en


class TestField:
    @pytest.mark.parametrize(
        ("query", "fields", "expected"),
        [
            (Query("水泵叶轮"), ("水泵",), 1.0),
            (Query("水泵叶轮"), ("机器视觉", "叶轮"), 1.0),
            (Query("諧波減速器"), ("谐波减速器",), 1.0),
            (Query("ＰＬＣ控制"), ("plc",), 1.0),
            (Query("方案", must_have=("水泵",)), ("水泵",), 1.0),
            (Query("水泵"), ("泵",), None),  # one character proves nothing
            (Query("水泵"), ("机器视觉",), None),  # nor does another wording
            (Query("水泵"), (), None),
        ],
        ids=str,
    )
    def test_it_fits_when_the_demand_names_it(self, query, fields, expected):
        assert value(field_fit, query, candidate(fields=fields)) == expected

    def test_the_reason_names_the_field(self):
        finding = known(field_fit(Query("水泵叶轮"), candidate(fields=("机器视觉", "叶轮")), TODAY))
        assert "叶轮" in finding.reason.zh
        assert "叶轮" in finding.reason.en


class TestRegion:
    @pytest.mark.parametrize(
        ("asked", "lives", "expected", "name"),
        [
            ("440605", "440605", 1.0, "同区县"),
            ("440605", "440604", 0.9, "同城市"),
            ("440600", "440605", 0.9, "同城市"),
            ("440605", "440600", 0.9, "同城市"),
            ("440605", "440305", 0.7, "同省"),
            ("440000", "440305", 0.7, "同省"),
            ("440605", "110000", 0.5, "同在国内"),
        ],
    )
    def test_nearer_is_better(self, asked, lives, expected, name):
        finding = known(region_fit(Query("", region=asked), candidate(region=lives), TODAY))
        assert (finding.value, finding.reason.zh) == (expected, name)

    @pytest.mark.parametrize(("asked", "lives"), [(None, "440605"), ("440605", None), (None, None)])
    def test_it_may_not_be_known(self, asked, lives):
        assert value(region_fit, Query("", region=asked), candidate(region=lives)) is None

    @pytest.mark.parametrize("region", [None, "440605"])
    def test_abroad_is_neither_for_nor_against(self, region):
        finding = known(region_fit(Query("", region="440605"), candidate(region=region, country="DE"), TODAY))
        assert finding.value == 0.5
        assert "DE" in finding.reason.zh
        assert "DE" in finding.reason.en


class TestHonours:
    ACADEMICIAN = ("中国工程院院士",)

    @pytest.mark.parametrize(
        ("query", "facts", "expected"),
        [
            (Query("共建院士工作站"), {"honours": ACADEMICIAN}, 1.0),
            (Query("共建院士工作站"), {"title": "院士"}, 1.0),
            (Query("方案", must_have=("教授",)), {"title": "教授"}, 1.0),
            (Query("院士或长江学者"), {"honours": ("长江学者特聘教授",)}, 1.0),
            (Query("共建院士工作站"), {"title": "教授"}, 0.0),
            (Query("共建院士工作站"), {"honours": ("万人计划",)}, 0.0),
            (Query("共建院士工作站"), {}, None),
            (Query("水泵"), {"honours": ACADEMICIAN, "title": "教授"}, None),
        ],
        ids=str,
    )
    def test_they_count_only_where_a_demand_asks(self, query, facts, expected):
        assert value(honours_fit, query, candidate(**facts)) == expected

    def test_the_reason_names_what_is_asked_for_and_what_is_held(self):
        found = known(honours_fit(Query("院士或长江学者"), candidate(honours=("长江学者",)), TODAY))
        lacking = known(honours_fit(Query("院士"), candidate(title="工程师"), TODAY))
        assert "院士、长江学者" in found.reason.zh
        assert found.reason.zh.endswith("其为长江学者")
        assert "院士" in lacking.reason.zh
        assert "院士" in lacking.reason.en


class TestRecency:
    @pytest.mark.parametrize(
        ("year", "expected"),
        [(2025, 1.0), (2020, 0.5), (2015, 0.25), (2026, 1.0), (2100, 1.0), (None, None)],
    )
    def test_a_work_loses_half_in_five_years(self, year, expected):
        assert value(recency, Query(""), candidate(year=year)) == (expected and pytest.approx(expected))

    @settings(deadline=None)
    @given(st.integers(1900, 2100), st.integers(1900, 2100))
    def test_newer_is_never_worse(self, one, other):
        older, newer = sorted((one, other))
        assert value(recency, Query(""), candidate(year=older)) <= value(recency, Query(""), candidate(year=newer))

    def test_the_reason_names_the_year(self):
        finding = known(recency(Query(""), candidate(year=2019), TODAY))
        assert "2019" in finding.reason.zh
        assert "2019" in finding.reason.en


class TestAvailability:
    @pytest.mark.parametrize(
        ("capacity", "load", "expected"),
        [(2, 0, 0.5), (2, 1, 0.25), (2, 2, 0.0), (2, 5, 0.0), (4, 1, 0.375), (0, 0, 0.0), (0, 3, 0.0), (None, 3, None)],
    )
    def test_who_is_busy_falls_behind_and_nobody_gains(self, capacity, load, expected):
        found = value(availability, Query(""), candidate(Standing(load=load), capacity=capacity))
        assert found == expected

    @pytest.mark.parametrize(("days", "expected"), [(-1, 0.25), (0, 0.25), (89, 0.25), (90, None), (400, None)])
    def test_who_leaves_within_90_days_falls_behind(self, days, expected):
        someone = candidate(available_until=TODAY + timedelta(days=days))
        assert value(availability, Query(""), someone) == expected

    def test_the_reason_names_load_and_limit_or_the_day(self):
        busy = known(availability(Query(""), candidate(Standing(load=1), capacity=3), TODAY)).reason
        assert busy == ("在手 1 项，上限 3 项", "serves 1 demands, at most 3")
        leaving = known(availability(Query(""), candidate(available_until=date(2025, 7, 1)), TODAY)).reason
        assert "2025-07-01" in leaving.zh
        assert "2025-07-01" in leaving.en


class TestTrackRecord:
    @pytest.mark.parametrize(
        ("accepted", "rejected", "expected"),
        [(0, 0, None), (1, 0, 2 / 3), (0, 1, 1 / 3), (1, 1, 0.5), (8, 0, 0.9), (0, 8, 0.1), (3, 1, 4 / 6)],
    )
    def test_it_is_the_share_that_was_kept_smoothed(self, accepted, rejected, expected):
        someone = candidate(Standing(n_accepted=accepted, n_rejected=rejected))
        assert value(track_record, Query(""), someone) == (expected and pytest.approx(expected))

    def test_the_reason_names_both_counts(self):
        reason = known(track_record(Query(""), candidate(Standing(n_accepted=3, n_rejected=2)), TODAY)).reason
        assert reason == ("此前 3 次入选，2 次被否", "shortlisted 3 times before, rejected 2 times")
