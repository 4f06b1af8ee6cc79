from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.worlds import (
    ANY_WEIGHTS,
    BOTH,
    CIRCUMSTANCES,
    DATES,
    DOCUMENTS,
    ENCODER,
    LEXICAL_ONLY,
    QUERIES,
    SEMANTIC_ONLY,
    TODAY,
    SilentEncoder,
    document,
    scattered_snapshot_of,
    snapshot_of,
    weights_of,
)
from strategies import ANY_TEXT

from matching_service.index.contract import Document, Facts, Passage
from matching_service.index.filters import NO_FILTERS, Filters
from matching_service.ranking import ranker
from matching_service.ranking.calibrate import LevelFloors
from matching_service.ranking.fusion import ADJUSTING_SIGNALS, MUST_HAVE, STABILITY, TOPIC_SIGNALS, default_weights
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.ranking.structured import Circumstances, Standing
from matching_service.text.terms import default_analyzer

ALL = 100
NOW = Circumstances(TODAY)
few = settings(deadline=None, max_examples=50)


def ask(title, *documents, encoder=ENCODER, filters=None, weights=LEXICAL_ONLY, circumstances=NOW, **query):
    """Rank documents for one question, by words alone unless other weights are given."""
    prepared = prepare(Query(title, **query), encoder)
    snapshot = snapshot_of(*documents)
    return rank(
        prepared, snapshot, top_k=ALL, filters=filters or Filters(), weights=weights, circumstances=circumstances
    )


def ids(ranked):
    return [profile.profile_id for profile in ranked]


def scores(ranked):
    return {profile.profile_id: profile.score for profile in ranked}


def missing(ranked):
    return {profile.profile_id: profile.missing_must_have for profile in ranked}


def part_of(profile, signal):
    return next((part for part in profile.parts if part.signal == signal), None)


def topic_parts(profile):
    return [part for part in profile.parts if part.signal in TOPIC_SIGNALS]


class TestOrder:
    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS, CIRCUMSTANCES, st.randoms())
    def test_it_does_not_depend_on_the_order_of_the_documents(self, documents, query, weights, circumstances, random):
        prepared, shuffled = prepare(query, ENCODER), documents.copy()
        random.shuffle(shuffled)
        options = {"top_k": ALL, "weights": weights, "circumstances": circumstances}
        ranked = rank(prepared, snapshot_of(*documents), **options)
        assert rank(prepared, snapshot_of(*shuffled), **options) == ranked

    @few
    @given(DOCUMENTS, DOCUMENTS, QUERIES, ANY_WEIGHTS, st.integers(1, 4))
    def test_it_does_not_depend_on_how_profiles_lie_in_segments(self, gone, documents, query, weights, n_together):
        """Nor on those that are gone: the same list, bit by bit."""
        together, scattered = (
            snapshot_of(*documents),
            scattered_snapshot_of(*documents, gone=gone, n_together=n_together),
        )
        assert scattered.version == together.version
        prepared, options = prepare(query, ENCODER), {"weights": weights, "circumstances": NOW}
        for filters in (NO_FILTERS, Filters(candidates=frozenset("abcdefgh"))):
            for top_k in (2, ALL):
                found = rank(prepared, scattered, top_k=top_k, filters=filters, **options)
                assert found == rank(prepared, together, top_k=top_k, filters=filters, **options)

    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS, CIRCUMSTANCES)
    def test_fewer_missing_must_haves_come_first_then_higher_scores_then_ids(
        self, documents, query, weights, circumstances
    ):
        ranked = rank(
            prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL, weights=weights, circumstances=circumstances
        )
        keys = [(profile.lacks, -profile.score, profile.profile_id) for profile in ranked]
        assert keys == sorted(set(keys))

    def test_who_has_every_must_have_comes_before_better_ones_who_do_not(self):
        documents = (
            document("none", "谐波减速器"),
            document("one", "谐波减速器的铝"),
            document("both", "与铝合金材料和真空泵等等有关的工作"),
        )
        ranked = ask("谐波减速器", *documents, must_have=("铝", "泵"), weights=BOTH)
        assert ids(ranked) == ["both", "one", "none"]
        assert scores(ranked)["both"] < scores(ranked)["one"]

    def test_twins_are_by_id(self):
        twins = [document(profile_id, "谐波减速器的柔轮") for profile_id in ("c", "a", "d", "b")]
        ranked = ask("谐波减速器", *twins)
        assert ids(ranked) == ["a", "b", "c", "d"]
        assert len({profile.score for profile in ranked}) == 1

    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS, CIRCUMSTANCES)
    def test_a_short_list_is_the_head_of_a_long_one(self, documents, query, weights, circumstances):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        ranked = rank(prepared, snapshot, top_k=ALL, weights=weights, circumstances=circumstances)
        for top_k in (1, 2, 5):
            short = rank(prepared, snapshot, top_k=top_k, weights=weights, circumstances=circumstances)
            assert short == ranked[:top_k]

    def test_one_perfect_work_beats_fifty_vague_ones(self):
        perfect = document("z", "机械工程", ["谐波减速器柔轮疲劳寿命"])
        vague = document("a", "谐波分析", [f"电力谐波治理与寿命评估{number}" for number in range(50)])
        for weights in (LEXICAL_ONLY, BOTH):
            assert ids(ask("谐波减速器柔轮疲劳寿命", perfect, vague, weights=weights)) == ["z", "a"]

    def test_a_text_with_both_words_beats_texts_with_one(self):
        texts = {"one": "招商工作经验", "other": "园区工作经验", "both": "园区招商经验"}
        assert ids(ask("招商 园区", *(document(*item) for item in texts.items())))[0] == "both"

    def test_a_word_inside_a_compound_is_found_and_a_homophone_is_not(self):
        ranked = ask("测试 景点", document("inside", "测试工具箱"), document("homophone", "经典"))
        assert ids(ranked) == ["inside"]

    @pytest.mark.parametrize(
        ("query", "text"),
        [("PLC", "可编程控制器"), ("可编程控制器", "ＰＬＣ"), ("諧波減速器", "谐波减速器"), ("水 泵", "泵")],
    )
    def test_synonyms_other_spellings_and_single_characters_are_found(self, query, text):
        assert ids(ask(query, document("a", text), document("b", "红烧肉"))) == ["a"]

    def test_a_must_have_outweighs_nice_to_haves(self):
        documents = document("must", "柔轮"), document("nice", "机器视觉缺陷检测的减速")
        ranked = ask(
            "减速",
            *documents,
            must_have=("柔轮",),
            nice_to_have=("视觉", "缺陷"),
            weights=default_weights(ENCODER.calibration),
        )
        assert ids(ranked) == ["must", "nice"]

    def test_neighbours_differ(self):
        """The worlds are not so poor that everything ties."""
        documents = document("a", "谐波减速器"), document("b", "谐波减速器的柔轮"), document("c", "减速器")
        ranked = ask("谐波减速器", *documents)
        assert all(before.score > after.score for before, after in pairwise(ranked))
        assert ids(ranked) == ["a", "b", "c"]


class TestDepth:
    def test_profiles_with_hundreds_of_works_leave_places_for_others(self):
        crowd = [document(f"a{i}", "水泵", ["水泵汽蚀"] * 200) for i in range(3)]
        others = [document(f"b{i:02}", "水泵汽蚀") for i in range(30)]
        assert len(rank(prepare(Query("水泵"), ENCODER), snapshot_of(*crowd, *others), top_k=20)) == 20

    def test_a_must_have_is_found_behind_hundreds_of_better_profiles_that_lack_it(self):
        crowd = [document(f"a{i:03}", "谐波减速器柔轮疲劳寿命") for i in range(700)]
        weak = document("z", "与真空泵等设备有关的采购、仓储、运输以及各种其他日常工作")
        query = Query("谐波减速器柔轮疲劳寿命", must_have=("泵",))
        ranked = rank(prepare(query, ENCODER), snapshot_of(*crowd, weak), top_k=10, circumstances=NOW)
        assert ids(ranked)[0] == "z"
        assert ranked[0].missing_must_have == ()
        assert ranked[0].score < ranked[1].score
        assert ranked[1].missing_must_have == ("泵",)

    def test_who_was_found_by_a_must_have_is_judged_by_its_best_passage(self):
        crowd = [document(f"a{i:03}", "谐波减速器柔轮疲劳寿命") for i in range(700)]
        weak = document("z", "谐波减速器", ["与真空泵等设备有关的采购、仓储、运输以及各种其他日常工作"])
        prepared = prepare(Query("谐波减速器柔轮疲劳寿命", must_have=("泵",)), ENCODER)
        snapshot = snapshot_of(*crowd, weak)
        found = rank(prepared, snapshot, top_k=1, circumstances=NOW)
        alone = rank(prepared, snapshot, top_k=1, filters=Filters(candidates=frozenset("z")), circumstances=NOW)
        assert found == alone

    def test_a_must_have_in_a_passage_that_no_search_brought_is_seen(self, monkeypatch):
        monkeypatch.setattr(ranker, "_N_CANDIDATES", 2)
        crowd = [document(f"a{i}", "谐波减速器的泵") for i in range(3)]
        weak = "与真空泵等设备有关的采购、仓储、运输以及各种其他日常工作"
        best = document("z", "谐波减速器柔轮疲劳寿命", [weak])
        query = Query("谐波减速器柔轮疲劳寿命", must_have=("泵",))
        ranked = rank(prepare(query, ENCODER), snapshot_of(*crowd, best), top_k=1, circumstances=NOW)
        assert [(profile.profile_id, profile.missing_must_have) for profile in ranked] == [("z", ())]

    def test_nobody_whom_adjustments_would_bring_to_the_front_is_overlooked(self):
        weights = weights_of(0.8, 0.2, region=1.0)
        better = [document(f"a{i:02}", "谐波减速器柔轮", region="110000") for i in range(30)]
        nearer = document("z", "谐波减速器与柔轮", region="440605")
        ranked = rank(
            prepare(Query("谐波减速器柔轮", region="440605"), ENCODER),
            snapshot_of(*better, nearer),
            top_k=1,
            weights=weights,
            circumstances=NOW,
        )
        assert ids(ranked) == ["z"]


class TestScores:
    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS, CIRCUMSTANCES)
    def test_parts_sum_to_the_score(self, documents, query, weights, circumstances):
        prepared = prepare(query, ENCODER)
        ranked = rank(prepared, snapshot_of(*documents), top_k=ALL, weights=weights, circumstances=circumstances)
        languages = {d.profile_id: {passage.language for passage in d.passages} for d in documents}
        for profile in ranked:
            assert sum(part.contribution for part in profile.parts) == pytest.approx(profile.score, abs=1e-9)
            assert all(part.value * part.weight == pytest.approx(part.contribution, abs=1e-9) for part in profile.parts)
            if languages[profile.profile_id] == {prepared.language}:
                assert sum(part.weight for part in topic_parts(profile)) == pytest.approx(1, abs=1e-9)
            assert 0 < profile.score <= 1
            assert profile.level == weights.floors.level_of(profile.score)
            for part in profile.parts:
                assert 0 <= part.value <= 1
                assert 0 <= part.signal_value <= 1
                assert part.contribution == pytest.approx(part.value * part.weight, abs=1e-9)

    @few
    @given(DOCUMENTS, QUERIES, CIRCUMSTANCES)
    def test_what_is_known_is_a_part_and_adjustments_say_why(self, documents, query, circumstances):
        for profile in rank(prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL, circumstances=circumstances):
            signals = [part.signal for part in profile.parts]
            assert len(signals) == len(set(signals))
            assert set(signals) <= {*TOPIC_SIGNALS, *ADJUSTING_SIGNALS, MUST_HAVE}
            assert (MUST_HAVE in signals) == bool(query.must_have)
            assert ("nice_to_have" in signals) == bool(query.nice_to_have)
            for part in profile.parts:
                assert (part.reason is None) == (part.signal in {*TOPIC_SIGNALS, MUST_HAVE, "nice_to_have"})

    @few
    @given(DOCUMENTS, QUERIES)
    def test_what_is_missing_is_what_was_deducted_for(self, documents, query):
        everyone = Filters(candidates=frozenset("abcdefgh"))
        ranked = rank(prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL, filters=everyone, circumstances=NOW)
        for profile in ranked:
            assert set(profile.missing_must_have) <= set(query.must_have)
            assert set(profile.missing_nice_to_have) <= set(query.nice_to_have)
            if query.must_have:
                part = part_of(profile, MUST_HAVE)
                assert part.value == pytest.approx(len(profile.missing_must_have) / len(query.must_have))
                before = profile.score - part.contribution
                assert part.contribution == pytest.approx(-0.5 * before * part.value, abs=1e-9)

    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS, CIRCUMSTANCES)
    def test_a_profile_scores_the_same_alone_and_among_many(self, documents, query, weights, circumstances):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        for profile in rank(prepared, snapshot, top_k=ALL, weights=weights, circumstances=circumstances):
            alone = Filters(candidates=frozenset({profile.profile_id}))
            again = rank(prepared, snapshot, top_k=1, filters=alone, weights=weights, circumstances=circumstances)
            assert again == [profile]

    @few
    @given(DOCUMENTS, st.lists(QUERIES, max_size=4))
    def test_a_query_is_answered_the_same_after_others(self, documents, queries):
        snapshot = snapshot_of(*documents)
        first = [rank(prepare(query, ENCODER), snapshot, top_k=ALL) for query in queries]
        again = [rank(prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL) for query in reversed(queries)]
        assert again[::-1] == first

    def test_the_level_is_that_of_the_weights_own_floors(self):
        strict = replace(BOTH, floors=LevelFloors(strong=0.99, related=0.98, weak=0.97))
        (usual,) = ask("水泵", document("a", "水泵"), weights=BOTH)
        (strictly,) = ask("水泵", document("a", "水泵"), weights=strict)
        assert (usual.level, strictly.level) == ("strong", "none")
        assert usual.score == strictly.score

    def test_without_an_encoder_words_decide_alone(self):
        ranked = ask("水泵", document("a", "水泵"), encoder=SilentEncoder(), weights=SEMANTIC_ONLY)
        assert ranked == []
        (profile,) = ask("水泵", document("a", "水泵"), encoder=SilentEncoder(), weights=weights_of(1, 9))
        assert [(part.signal, part.weight) for part in profile.parts] == [("lexical", 1.0)]

    def test_a_passage_without_a_vector_is_judged_by_its_words(self):
        (profile,) = ask("水泵", document("a", "水泵", encoder=SilentEncoder()), weights=weights_of(1, 1))
        assert [(part.signal, part.weight) for part in profile.parts] == [("lexical", 1.0)]

    def test_the_best_passages_are_named_best_first(self):
        works = ["谐波减速器柔轮", "红烧肉", "谐波减速器柔轮疲劳", "谐波减速器柔轮的设计", "谐波减速器"]
        (profile,) = ask("谐波减速器柔轮疲劳", document("a", "机械", works))
        assert profile.work_ids[0] == "w2"
        assert len(profile.work_ids) == 3
        assert "w1" not in profile.work_ids
        assert None not in profile.work_ids

    def test_the_profile_s_own_text_is_named_none(self):
        (profile,) = ask("水泵", document("a", "水泵", ["红烧肉"]))
        assert profile.work_ids == (None,)


class TestCircumstances:
    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS)
    def test_who_has_no_standing_is_ranked_like_one_with_an_empty_one(self, documents, query, weights):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        empty = Circumstances(TODAY, {document.profile_id: Standing() for document in documents})
        ranked = rank(prepared, snapshot, top_k=ALL, weights=weights, circumstances=NOW)
        assert rank(prepared, snapshot, top_k=ALL, weights=weights, circumstances=empty) == ranked

    @few
    @given(DOCUMENTS, QUERIES, CIRCUMSTANCES)
    def test_without_weights_for_them_they_change_no_score(self, documents, query, circumstances):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        ranked = rank(prepared, snapshot, top_k=ALL, weights=BOTH, circumstances=NOW)
        other = rank(prepared, snapshot, top_k=ALL, weights=BOTH, circumstances=circumstances)
        assert [(p.profile_id, p.score) for p in other] == [(p.profile_id, p.score) for p in ranked]

    @few
    @given(DOCUMENTS, QUERIES, CIRCUMSTANCES, ANY_WEIGHTS)
    def test_they_bring_nobody_off_the_topic_before_somebody_on_it(self, documents, query, circumstances, weights):
        query = replace(query, must_have=())
        ranked = rank(
            prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL, weights=weights, circumstances=circumstances
        )
        is_on = [sum(part.contribution for part in topic_parts(profile)) > weights.floors.weak for profile in ranked]
        assert is_on == sorted(is_on, reverse=True)

    @pytest.mark.parametrize(
        ("better", "worse", "query"),
        [
            ({"clusters": ("新材料",)}, {"clusters": ("医药",)}, {"cluster": "新材料"}),
            ({"fields": ("谐波减速器",)}, {}, {}),
            ({"region": "440605"}, {"region": "110000"}, {"region": "440605"}),
            ({"honours": ("院士",)}, {"honours": ("青年学者",)}, {"problem": "院士"}),
            ({"years": [2025]}, {"years": [2005]}, {}),
            ({"capacity": 3}, {"capacity": 0}, {}),
        ],
        ids=["cluster", "field", "region", "honours", "recency", "availability"],
    )
    def test_each_decides_between_profiles_alike_and_says_why(self, better, worse, query):
        texts = "机械工程", ["谐波减速器柔轮"]
        documents = document("b", *texts, **better), document("a", *texts, **worse)
        ranked = ask("谐波减速器柔轮", *documents, weights=default_weights(ENCODER.calibration), **query)
        assert ids(ranked) == ["b", "a"]
        assert ranked[0].score > ranked[1].score
        assert any(part.contribution > 0 and part.reason for part in ranked[0].parts) or better == {"capacity": 3}

    def test_a_record_with_this_programme_decides_between_profiles_alike(self):
        documents = document("a", "谐波减速器"), document("b", "谐波减速器"), document("c", "谐波减速器")
        standings = {"a": Standing(n_rejected=3), "b": Standing(n_accepted=3)}
        ranked = ask(
            "谐波减速器",
            *documents,
            weights=default_weights(ENCODER.calibration),
            circumstances=Circumstances(TODAY, standings),
        )
        assert ids(ranked) == ["b", "c", "a"]

    def test_the_year_is_that_of_the_passage_that_fits_best(self):
        old_but_fitting = document("a", "机械", ["谐波减速器柔轮", "红烧肉"], years=[2010, 2025])
        (profile,) = ask("谐波减速器柔轮", old_but_fitting)
        assert part_of(profile, "recency").signal_value == pytest.approx(0.5**3)
        (profile,) = ask("谐波减速器柔轮", document("a", "谐波减速器柔轮", ["红烧肉"], years=[2025]))
        assert part_of(profile, "recency") is None


class TestStability:
    """Between two nights: who was listed keeps its former score where it has lost no more than noise."""

    @staticmethod
    def again(prepared, snapshot, ranked, **more):
        after = Circumstances(TODAY, former_scores=scores(ranked), stability=0.05)
        return rank(prepared, snapshot, circumstances=after, **more)

    @few
    @given(DOCUMENTS, DOCUMENTS, QUERIES, ANY_WEIGHTS, st.integers(1, 8))
    def test_ranking_again_from_the_result_changes_nothing(self, before, documents, query, weights, top_k):
        prepared = prepare(query, ENCODER)
        more = {"top_k": top_k, "weights": weights}
        last_night = rank(prepared, snapshot_of(*before), circumstances=NOW, **more)
        tonight = self.again(prepared, snapshot_of(*documents), last_night, **more)
        assert self.again(prepared, snapshot_of(*documents), tonight, **more) == tonight

    @few
    @given(DOCUMENTS, DOCUMENTS, QUERIES, ANY_WEIGHTS)
    def test_must_haves_go_before_it_and_parts_sum_to_the_score(self, before, documents, query, weights):
        prepared = prepare(query, ENCODER)
        last_night = rank(prepared, snapshot_of(*before), top_k=ALL, weights=weights, circumstances=NOW)
        tonight = self.again(prepared, snapshot_of(*documents), last_night, top_k=ALL, weights=weights)
        assert [p.lacks for p in tonight] == sorted(p.lacks for p in tonight)
        for profile in tonight:
            assert sum(part.contribution for part in profile.parts) == pytest.approx(profile.score, abs=1e-9)
            if (part := part_of(profile, STABILITY)) is not None:
                assert profile.score == scores(last_night)[profile.profile_id]
                assert part.value * part.weight == pytest.approx(part.contribution)
                assert part.reason is not None

    def test_neighbours_keep_their_places_and_a_better_one_comes_in(self):
        prepared = prepare(Query("谐波减速器柔轮疲劳寿命"), ENCODER)
        old = document("a", "谐波减速器柔轮疲劳"), document("b", "谐波减速器柔轮疲劳的")
        last_night = rank(prepared, snapshot_of(*old), top_k=2, weights=LEXICAL_ONLY, circumstances=NOW)
        assert ids(last_night) == ["a", "b"]
        edited = snapshot_of(document("a", "谐波减速器柔轮疲劳，机器视觉"), old[1])
        plain = rank(prepared, edited, top_k=2, weights=LEXICAL_ONLY, circumstances=NOW)
        assert ids(plain) == ["b", "a"]
        lost = scores(last_night)["a"] - scores(plain)["a"]
        listed = {"a": scores(plain)["a"] + min(lost, 0.02), "b": scores(plain)["b"]}
        kept = Circumstances(TODAY, former_scores=listed, stability=0.05)
        assert scores(rank(prepared, edited, top_k=2, weights=LEXICAL_ONLY, circumstances=kept)) == listed
        newcomer = snapshot_of(*old, document("n", "谐波减速器柔轮疲劳寿命"))
        assert ids(self.again(prepared, newcomer, last_night, top_k=2, weights=LEXICAL_ONLY)) == ["n", "a"]


class TestNiceToHave:
    WEIGHTS = default_weights(ENCODER.calibration)

    def rank_two(self, better, other):
        return ask(
            "谐波减速器柔轮", document("a", better), document("b", other), nice_to_have=("铝",), weights=self.WEIGHTS
        )

    def test_it_decides_where_the_topic_fits_alike(self):
        without = ask(
            "谐波减速器柔轮", document("a", "谐波减速器柔轮"), document("b", "谐波减速器柔轮铝"), weights=self.WEIGHTS
        )
        ranked = self.rank_two("谐波减速器柔轮", "谐波减速器柔轮铝")
        assert ids(without) == ["a", "b"]
        assert ids(ranked) == ["b", "a"]
        assert [profile.missing_nice_to_have for profile in ranked] == [(), ("铝",)]

    def test_it_does_not_bridge_a_large_gap(self):
        ranked = self.rank_two("谐波减速器柔轮", "减速，以及铝")
        assert ids(ranked) == ["a", "b"]
        assert part_of(ranked[1], "nice_to_have").signal_value == 1.0

    def test_its_value_is_the_share_that_is_there(self):
        (profile,) = ask("铝", document("a", "铝", ["水泵"]), nice_to_have=("水泵", "柔轮", "机器视觉", "铝"))
        assert part_of(profile, "nice_to_have").signal_value == 0.5
        assert profile.missing_nice_to_have == ("柔轮", "机器视觉")

    @few
    @given(DOCUMENTS, QUERIES)
    def test_without_a_weight_it_changes_nothing_but_what_is_missing(self, documents, query):
        snapshot = snapshot_of(*documents)
        with_it = rank(prepare(query, ENCODER), snapshot, top_k=ALL, weights=BOTH, circumstances=NOW)
        plain = replace(query, nice_to_have=())
        without = rank(prepare(plain, ENCODER), snapshot, top_k=ALL, weights=BOTH, circumstances=NOW)
        if prepare(query, ENCODER).language == prepare(plain, ENCODER).language:
            assert [(p.profile_id, p.score) for p in with_it] == [(p.profile_id, p.score) for p in without]


class TestFilters:
    @few
    @given(
        DOCUMENTS,
        QUERIES,
        CIRCUMSTANCES,
        st.builds(
            Filters,
            kinds=st.frozensets(st.sampled_from(["expert", "team", "none such"]), max_size=2),
            region_prefixes=st.lists(st.sampled_from(["44", "4406", "440605", "11", "9"]), max_size=2).map(tuple),
            clusters=st.frozensets(st.sampled_from(["新材料", "装备制造", "none such"]), max_size=2),
            exclude=st.frozensets(st.sampled_from("abcxyz"), max_size=3),
            excluded_organizations=st.frozensets(st.sampled_from(["o1", "o2", "none such"]), max_size=2),
            available_on=DATES,
        ),
    )
    def test_what_remains_keeps_its_score_and_order(self, documents, query, circumstances, filters):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        facts = {document.profile_id: document.facts for document in documents}

        def passes(profile_id):
            profile, day = facts[profile_id], filters.available_on
            return (
                (not filters.kinds or profile.kind in filters.kinds)
                and (not filters.region_prefixes or (profile.region or "").startswith(filters.region_prefixes))
                and (not filters.clusters or bool(filters.clusters & set(profile.clusters)))
                and profile_id not in filters.exclude
                and profile.organization_id not in filters.excluded_organizations
                and (day is None or profile.available_from is None or profile.available_from <= day)
                and (day is None or profile.available_until is None or day <= profile.available_until)
            )

        unfiltered = rank(prepared, snapshot, top_k=ALL, circumstances=circumstances)
        expected = [profile for profile in unfiltered if passes(profile.profile_id)]
        assert rank(prepared, snapshot, top_k=ALL, filters=filters, circumstances=circumstances) == expected

    @pytest.mark.parametrize(("days", "is_there"), [(-1, False), (0, True), (1, True), (10, True), (11, False)])
    def test_a_profile_is_available_from_its_first_day_to_its_last(self, days, is_there):
        first = date(2025, 6, 10)
        someone = document("a", "水泵", available_from=first, available_until=first + timedelta(days=10))
        always = document("b", "水泵")
        ranked = ask("水泵", someone, always, filters=Filters(available_on=first + timedelta(days=days)))
        assert ids(ranked) == (["a", "b"] if is_there else ["b"])

    def test_one_border_may_be_open(self):
        documents = (
            document("a", "水泵", available_from=date(2025, 1, 1)),
            document("b", "水泵", available_until=date(2025, 1, 1)),
        )
        for day, expected in ((date(2024, 12, 31), ["b"]), (date(2025, 1, 1), ["a", "b"]), (date(2025, 1, 2), ["a"])):
            assert ids(ask("水泵", *documents, filters=Filters(available_on=day))) == expected

    def test_several_organizations_may_be_excluded_and_who_has_none_stays(self):
        documents = [
            document(i, "水泵", organization_id=o) for i, o in zip("abcd", ["o1", "o2", "o3", None], strict=True)
        ]
        excluded = Filters(excluded_organizations=frozenset({"o1", "o3", "o9"}))
        assert ids(ask("水泵", *documents, filters=excluded)) == ["b", "d"]

    @few
    @given(
        DOCUMENTS,
        QUERIES,
        st.frozensets(st.sampled_from("abcdefghxyz")),
        st.frozensets(st.sampled_from("abx")),
        ANY_WEIGHTS,
    )
    def test_candidates_are_all_given_whatever_their_score(self, documents, query, candidates, exclude, weights):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        filters = Filters(candidates=candidates, exclude=exclude)
        ranked = rank(prepared, snapshot, top_k=ALL, filters=filters, weights=weights, circumstances=NOW)
        with_passages = {document.profile_id for document in documents}
        assert sorted(ids(ranked)) == sorted((candidates & with_passages) - exclude)
        keys = [(profile.lacks, -profile.score, profile.profile_id) for profile in ranked]
        assert keys == sorted(keys)

    @few
    @given(DOCUMENTS, QUERIES, CIRCUMSTANCES)
    def test_all_as_candidates_begin_like_the_open_question(self, documents, query, circumstances):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        everyone = Filters(candidates=frozenset("abcdefgh"))
        named = rank(prepared, snapshot, top_k=ALL, filters=everyone, circumstances=circumstances)
        found = rank(prepared, snapshot, top_k=ALL, circumstances=circumstances)
        assert [profile for profile in named if profile.score > 0] == found

    def test_no_candidates_means_nobody(self):
        assert ask("水泵", document("a", "水泵"), filters=Filters(candidates=frozenset())) == []

    def test_a_query_without_words_still_lists_candidates(self):
        ranked = ask("😀", document("b", "水泵"), document("a", "铝"), filters=Filters(candidates=frozenset("ab")))
        assert [(x.profile_id, x.score, x.level) for x in ranked] == [("a", 0.0, "none"), ("b", 0.0, "none")]

    @pytest.mark.parametrize(
        "filters",
        [
            Filters(kinds=frozenset({"expert"})),
            Filters(region_prefixes=("44",)),
            Filters(clusters=frozenset({"新材料"})),
            Filters(candidates=frozenset({"a"})),
            Filters(exclude=frozenset({"a"})),
            Filters(excluded_organizations=frozenset({"o1"})),
            Filters(available_on=TODAY),
        ],
        ids=["kinds", "region_prefixes", "clusters", "candidates", "exclude", "organizations", "available_on"],
    )
    def test_an_empty_snapshot_can_be_filtered(self, filters):
        assert ask("水泵", filters=filters) == []


class TestStrangeQueries:
    @settings(deadline=None, max_examples=100)
    @given(ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, max_size=2).map(tuple), ANY_TEXT)
    def test_any_text_may_be_asked_and_any_text_may_answer(self, title, problem, topics, text):
        query = Query(title, problem=problem, keywords=topics, must_have=topics, nice_to_have=topics)
        ranked = rank(prepare(query, ENCODER), snapshot_of(document("a", text), document("b", "水泵")), top_k=ALL)
        assert set(ids(ranked)) <= {"a", "b"}

    @pytest.mark.parametrize("title", ["", " ", "，。！？", "😀👨‍👩‍👧", "\x00", "\ud800", "~~~", "\u202e"])
    def test_a_query_without_words_finds_nobody(self, title):
        documents = document("a", "水泵"), document("b", title)
        assert ask(title, *documents) == []
        assert ask(title, *documents, must_have=("！",), problem="……") == []

    @few
    @given(QUERIES)
    def test_in_an_empty_snapshot_nobody_is_found(self, query):
        assert rank(prepare(query, ENCODER), snapshot_of(), top_k=ALL) == []

    def test_stop_words_alone_find_nobody_by_words(self):
        assert ask("的 研发 技术", document("a", "研发技术的水泵")) == []

    def test_profiles_without_passages_are_passed_over(self):
        empty = Document("a", Facts("expert"), ())
        assert ids(ask("水泵", empty, document("b", "水泵"), must_have=("铝",), weights=BOTH)) == ["b"]


class TestLanguages:
    @pytest.mark.parametrize(
        "title", ["ปั๊มน้ำอุตสาหกรรม", "مضخة المياه", "Wasserpumpe für Öl", "насос", "ポンプ", "nuqneH"]
    )
    def test_a_query_in_any_language_is_answered_by_meaning(self, title):
        documents = document("a", title, language="xx"), document("b", "水泵")
        ranked = ask(title, *documents, weights=SEMANTIC_ONLY)
        assert ranked[0].profile_id == "a"
        assert ranked[0].score > 0.9

    def test_a_foreign_profile_is_not_harmed_by_words_it_cannot_share(self):
        (profile,) = ask("谐波减速器", document("a", "reducer with an elastic wheel"), weights=BOTH)
        assert [(part.signal, part.weight) for part in profile.parts] == [("semantic", 1.0)]
        assert profile.score > 0.9

    def test_a_chinese_profile_is_not_harmed_by_the_words_of_a_foreign_query(self):
        ranked = ask("reducer with an elastic wheel", document("a", "谐波减速器"), weights=BOTH)
        assert [part.signal for part in ranked[0].parts] == ["semantic"]

    def test_each_passage_is_of_its_own_language(self):
        (profile,) = ask("谐波减速器", document("a", "机械工程师", ["reducer with an elastic wheel"]), weights=BOTH)
        assert profile.work_ids == ("w0",)
        assert [part.signal for part in profile.parts] == ["semantic"]

    @few
    @given(DOCUMENTS, QUERIES)
    def test_shared_words_never_harm_a_foreign_profile(self, documents, query):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        languages = {d.profile_id: {passage.language for passage in d.passages} for d in documents}
        for profile in rank(prepared, snapshot, top_k=ALL, weights=BOTH):
            semantic = part_of(profile, "semantic")
            if semantic is not None and prepared.language not in languages[profile.profile_id]:
                assert sum(part.contribution for part in topic_parts(profile)) >= semantic.value - 1e-6

    @few
    @given(DOCUMENTS, QUERIES, st.floats(0.05, 1), st.floats(0, 1))
    def test_the_curve_of_another_language_only_lowers_and_keeps_the_order_of_meanings(
        self, documents, query, knee, slope
    ):
        """Chinese profiles keep their scores, whatever the curve."""
        query, snapshot = replace(query, must_have=()), snapshot_of(*documents)
        prepared = prepare(query, ENCODER)
        curved = replace(prepared, calibration=replace(prepared.calibration, knee=knee, slope=slope))
        plain, credited = (
            {profile.profile_id: profile for profile in rank(each, snapshot, top_k=ALL, weights=BOTH)}
            for each in (prepared, curved)
        )
        own = [d.profile_id for d in documents if {p.language for p in d.passages} == {prepared.language}]
        assert set(plain) == set(credited)
        assert all(plain[i].score == credited[i].score for i in own if i in plain)
        assert all(credited[i].score <= plain[i].score + 1e-6 for i in plain)

    def test_a_shared_word_helps_a_foreign_profile(self):
        (vector,) = ENCODER.encode(["kiln"], ["en"])
        documents = [
            Document(
                profile_id, Facts("expert"), (Passage(None, passage_terms([text], default_analyzer()), vector, "en"),)
            )
            for profile_id, text in (("a", "PLC"), ("b", "ABC"))
        ]
        everyone = Filters(candidates=frozenset("ab"))
        with_word, without = ask("PLC控制", *documents, weights=BOTH, filters=everyone)
        assert (with_word.profile_id, without.profile_id) == ("a", "b")
        assert [part.signal for part in with_word.parts] == ["lexical", "semantic"]
        assert [part.signal for part in without.parts] == ["semantic"]
        assert with_word.score > without.score
