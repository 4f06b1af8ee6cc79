from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.worlds import DOCUMENTS, ENCODER, QUERIES, SilentEncoder, document, snapshot_of
from strategies import ANY_TEXT

from matching_service.index.snapshot import Document, Facts, Passage
from matching_service.ranking.calibrate import level_of
from matching_service.ranking.fusion import Weights
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import is_chinese, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import Filters, rank

ALL = 100
few = settings(deadline=None, max_examples=50)
LEXICAL_ONLY = Weights("lexical", {"lexical": 1.0, "semantic": 0.0})
SEMANTIC_ONLY = Weights("semantic", {"lexical": 0.0, "semantic": 1.0})
BOTH = Weights("both", {"lexical": 0.8, "semantic": 0.2})
ANY_WEIGHTS = st.sampled_from([LEXICAL_ONLY, SEMANTIC_ONLY, BOTH, Weights("odd", {"lexical": 0.1, "semantic": 3.0})])


def ask(title, *documents, encoder=ENCODER, filters=None, weights=LEXICAL_ONLY, **query):
    """Rank documents for one question, by words alone unless other weights are given."""
    prepared = prepare(Query(title, **query), encoder)
    return rank(prepared, snapshot_of(*documents), top_k=ALL, filters=filters or Filters(), weights=weights)


def ids(ranked):
    return [profile.profile_id for profile in ranked]


def missing(ranked):
    return {profile.profile_id: profile.missing_must_have for profile in ranked}


class TestOrder:
    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS, st.randoms())
    def test_it_does_not_depend_on_the_order_of_the_documents(self, documents, query, weights, random):
        prepared, shuffled = prepare(query, ENCODER), documents.copy()
        random.shuffle(shuffled)
        ranked = rank(prepared, snapshot_of(*documents), top_k=ALL, weights=weights)
        assert rank(prepared, snapshot_of(*shuffled), top_k=ALL, weights=weights) == ranked

    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS)
    def test_scores_fall_and_equal_ones_are_by_id(self, documents, query, weights):
        ranked = rank(prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL, weights=weights)
        keys = [(-profile.score, profile.profile_id) for profile in ranked]
        assert keys == sorted(set(keys))

    def test_twins_are_by_id(self):
        twins = [document(profile_id, "谐波减速器的柔轮") for profile_id in ("c", "a", "d", "b")]
        ranked = ask("谐波减速器", *twins)
        assert ids(ranked) == ["a", "b", "c", "d"]
        assert len({profile.score for profile in ranked}) == 1

    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS)
    def test_a_short_list_is_the_head_of_a_long_one(self, documents, query, weights):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        ranked = rank(prepared, snapshot, top_k=ALL, weights=weights)
        for top_k in (1, 2, 5):
            assert rank(prepared, snapshot, top_k=top_k, weights=weights) == ranked[:top_k]

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
        documents = document("must", "柔轮"), document("nice", "机器视觉缺陷检测")
        ranked = ask("减速", *documents, must_have=("柔轮",), nice_to_have=("视觉", "缺陷"))
        assert ids(ranked) == ["must", "nice"]


class TestScores:
    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS)
    def test_parts_sum_to_the_score(self, documents, query, weights):
        for profile in rank(prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL, weights=weights):
            assert sum(part.contribution for part in profile.parts) == pytest.approx(profile.score, abs=1e-6)
            assert sum(part.weight for part in profile.parts) == pytest.approx(1, abs=1e-6)
            assert 0 < profile.score <= 1
            assert profile.level == level_of(profile.score)
            for part in profile.parts:
                assert 0 <= part.value <= 1
                assert part.contribution == pytest.approx(part.value * part.weight, abs=1e-6)

    @few
    @given(DOCUMENTS, QUERIES, ANY_WEIGHTS)
    def test_a_profile_scores_the_same_alone_and_among_many(self, documents, query, weights):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        for profile in rank(prepared, snapshot, top_k=ALL, weights=weights):
            alone = Filters(candidates=frozenset({profile.profile_id}))
            assert rank(prepared, snapshot, top_k=1, filters=alone, weights=weights) == [profile]

    @few
    @given(DOCUMENTS, st.lists(QUERIES, max_size=4))
    def test_a_query_is_answered_the_same_after_others(self, documents, queries):
        snapshot = snapshot_of(*documents)
        first = [rank(prepare(query, ENCODER), snapshot, top_k=ALL) for query in queries]
        again = [rank(prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL) for query in reversed(queries)]
        assert again[::-1] == first

    def test_without_an_encoder_words_decide_alone(self):
        ranked = ask("水泵", document("a", "水泵"), encoder=SilentEncoder(), weights=SEMANTIC_ONLY)
        assert ranked == []
        (profile,) = ask(
            "水泵", document("a", "水泵"), encoder=SilentEncoder(), weights=Weights("", {"lexical": 1, "semantic": 9})
        )
        assert [(part.signal, part.weight) for part in profile.parts] == [("lexical", 1.0)]

    def test_a_passage_without_a_vector_is_judged_by_its_words(self):
        even = Weights("even", {"lexical": 1, "semantic": 1})
        (profile,) = ask("水泵", document("a", "水泵", encoder=SilentEncoder()), weights=even)
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


class TestFilters:
    @few
    @given(
        DOCUMENTS,
        QUERIES,
        st.builds(
            Filters,
            kinds=st.frozensets(st.sampled_from(["expert", "team", "none such"]), max_size=2),
            region_prefixes=st.lists(st.sampled_from(["44", "4406", "440605", "11", "9"]), max_size=2).map(tuple),
            clusters=st.frozensets(st.sampled_from(["新材料", "装备制造", "none such"]), max_size=2),
            exclude=st.frozensets(st.sampled_from("abcxyz"), max_size=3),
            excluded_organization_id=st.sampled_from([None, "o1", "none such"]),
        ),
    )
    def test_what_remains_keeps_its_score_and_order(self, documents, query, filters):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        facts = {document.profile_id: document.facts for document in documents}

        def passes(profile_id):
            profile = facts[profile_id]
            return (
                (not filters.kinds or profile.kind in filters.kinds)
                and (not filters.region_prefixes or (profile.region or "").startswith(filters.region_prefixes))
                and (not filters.clusters or bool(filters.clusters & set(profile.clusters)))
                and profile_id not in filters.exclude
                and (
                    filters.excluded_organization_id is None
                    or profile.organization_id != filters.excluded_organization_id
                )
            )

        unfiltered = rank(prepared, snapshot, top_k=ALL)
        assert rank(prepared, snapshot, top_k=ALL, filters=filters) == [x for x in unfiltered if passes(x.profile_id)]

    @few
    @given(DOCUMENTS, QUERIES, st.frozensets(st.sampled_from("abcdefghxyz")), st.frozensets(st.sampled_from("abx")))
    def test_candidates_are_all_given_whatever_their_score(self, documents, query, candidates, exclude):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        ranked = rank(prepared, snapshot, top_k=ALL, filters=Filters(candidates=candidates, exclude=exclude))
        known = {document.profile_id for document in documents}
        assert sorted(ids(ranked)) == sorted((candidates & known) - exclude)
        keys = [(-profile.score, profile.profile_id) for profile in ranked]
        assert keys == sorted(keys)

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
            Filters(excluded_organization_id="o1"),
        ],
        ids=["kinds", "region_prefixes", "clusters", "candidates", "exclude", "organization"],
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


class TestLanguages:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("水泵", True),
            ("PLC控制", True),
            ("諧波", True),
            ("water pump", False),
            ("ポンプの研究", False),
            ("ปั๊มน้ำ", False),
            ("", False),
        ],
    )
    def test_chinese_is_told_from_japanese_and_others(self, text, expected):
        assert is_chinese(text) is expected

    @pytest.mark.parametrize(
        "title", ["ปั๊มน้ำอุตสาหกรรม", "مضخة المياه", "Wasserpumpe für Öl", "насос", "ポンプ", "nuqneH"]
    )
    def test_a_query_in_any_language_is_answered_by_meaning(self, title):
        documents = document("a", title, language="xx"), document("b", "水泵")
        ranked = ask(title, *documents, weights=SEMANTIC_ONLY)
        assert ranked[0].profile_id == "a"
        assert ranked[0].score > 0.9

    def test_a_foreign_profile_is_not_harmed_by_words_it_cannot_share(self):
        (profile,) = ask("谐波减速器", document("a", "harmonic drive", language="en"), weights=BOTH)
        assert [(part.signal, part.weight) for part in profile.parts] == [("semantic", 1.0)]
        assert profile.score > 0.9

    def test_a_chinese_profile_is_not_harmed_by_the_words_of_a_foreign_query(self):
        ranked = ask("harmonic drive", document("a", "谐波减速器"), weights=BOTH)
        assert [part.signal for part in ranked[0].parts] == ["semantic"]

    @few
    @given(DOCUMENTS, QUERIES)
    def test_shared_words_never_harm_a_foreign_profile(self, documents, query):
        prepared, snapshot = prepare(query, ENCODER), snapshot_of(*documents)
        language = {document.profile_id: document.facts.language for document in documents}
        for profile in rank(prepared, snapshot, top_k=ALL):
            values = {part.signal: part.value for part in profile.parts}
            if (language[profile.profile_id] == "zh") != prepared.is_chinese and "semantic" in values:
                assert profile.score >= values["semantic"] - 1e-6

    def test_a_shared_word_helps_a_foreign_profile(self):
        passages = (Passage(None, passage_terms([text]), ENCODER.encode(["kiln"])[0]) for text in ("PLC", "ABC"))
        documents = [Document(i, Facts("expert", language="en"), (p,)) for i, p in zip("ab", passages, strict=True)]
        everyone = Filters(candidates=frozenset("ab"))
        with_word, without = ask("PLC控制", *documents, weights=BOTH, filters=everyone)
        assert (with_word.profile_id, without.profile_id) == ("a", "b")
        assert [part.signal for part in with_word.parts] == ["lexical", "semantic"]
        assert [part.signal for part in without.parts] == ["semantic"]

    def test_of_a_foreign_profile_no_must_have_is_missing(self):
        documents = document("a", "harmonic drive", language="en"), document("b", "水泵")
        ranked = ask("谐波减速器 水泵", *documents, must_have=("柔轮",), weights=SEMANTIC_ONLY)
        assert missing(ranked)["a"] == ()
        assert missing(ranked)["b"] == ("柔轮",)


class TestMustHave:
    @pytest.mark.parametrize(
        ("topic", "text", "is_missing"),
        [
            ("水泵", "高效水泵", False),
            ("水泵", "铝合金", True),
            ("泵", "真空泵与泵", False),
            ("PLC", "可编程控制器", False),
            ("可编程控制器", "ＰＬＣ", False),
            ("諧波減速器", "谐波减速器", False),
            ("谐波减速器", "谐波分析与减速", True),
            ("测试", "测试工具箱", False),
            ("景点", "经典", True),
            ("招商 园区", "园区的招商", False),
            ("招商 园区", "招商", True),
            ("招商 园区", "园区", True),
            ("0.45mm", "厚度0.45 mm", False),
            ("0.45mm", "厚度0.50 mm", True),
            ("！😀", "铝合金", False),
            ("", "铝合金", False),
        ],
    )
    def test_it_is_missing_where_no_passage_shows_it(self, topic, text, is_missing):
        everyone = Filters(candidates=frozenset("a"))
        ranked = ask("需要一个方案", document("a", text), must_have=(topic,), filters=everyone)
        assert missing(ranked) == {"a": (topic,) if is_missing else ()}

    def test_any_one_passage_may_show_it_but_not_two_halves(self):
        documents = document("whole", "铝", ["红烧肉", "园区招商"]), document("halves", "铝", ["园区", "招商"])
        assert missing(ask("铝", *documents, must_have=("招商 园区",))) == {"whole": (), "halves": ("招商 园区",)}

    def test_what_is_missing_is_named_in_the_order_of_the_demand(self):
        topics = ("谐波减速器", "水泵", "机器视觉", "铝")
        ranked = ask("铝", document("a", "铝", ["水泵"]), must_have=topics)
        assert missing(ranked) == {"a": ("谐波减速器", "机器视觉")}

    @few
    @given(DOCUMENTS, QUERIES)
    def test_what_a_demand_does_not_ask_for_is_not_missing(self, documents, query):
        everyone = Filters(candidates=frozenset(document.profile_id for document in documents))
        ranked = rank(prepare(query, ENCODER), snapshot_of(*documents), top_k=ALL, filters=everyone)
        for profile in ranked:
            assert set(profile.missing_must_have) <= set(query.must_have)
            assert len(profile.parts) <= 2


def test_neighbours_differ():
    """The worlds are not so poor that everything ties."""
    ranked = ask("谐波减速器", document("a", "谐波减速器"), document("b", "谐波减速器的柔轮"), document("c", "减速器"))
    assert all(before.score > after.score for before, after in pairwise(ranked))
    assert ids(ranked) == ["a", "b", "c"]


def test_profiles_with_hundreds_of_works_leave_places_for_others():
    crowd = [document(f"a{i}", "水泵", ["水泵汽蚀"] * 200) for i in range(3)]
    others = [document(f"b{i:02}", "水泵汽蚀") for i in range(30)]
    ranked = rank(prepare(Query("水泵"), ENCODER), snapshot_of(*crowd, *others), top_k=20)
    assert len(ranked) == 20


@pytest.mark.parametrize(
    ("topic", "text"), [("3D打印", "喷墨打印机"), ("UV固化", "胶固化设备"), ("5G通信", "光纤通信")]
)
def test_half_of_a_must_have_is_no_evidence(topic, text):
    query = Query("设备", must_have=(topic,))
    everyone = Filters(candidates=frozenset("a"))
    ranked = rank(prepare(query, ENCODER), snapshot_of(document("a", text)), top_k=1, filters=everyone)
    assert ranked[0].missing_must_have == (topic,)
