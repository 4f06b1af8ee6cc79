import numpy as np
import pytest
from hypothesis import given, settings
from ranking.worlds import BOTH, DOCUMENTS, ENCODER, TEXTS, TODAY, document, snapshot_of

from matching_service.index.contract import IndexQuery
from matching_service.index.filters import NO_FILTERS, Filters
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.ranking.structured import Circumstances
from matching_service.ranking.topics import MET, NOT_MET, NOT_VERIFIED, prepare_topics, states_in_passages
from matching_service.text.terms import default_analyzer

EVERYONE = Filters(candidates=frozenset("abcdefgh"))


def topic_of(name):
    (topic,) = prepare_topics([name], default_analyzer(), default_analyzer().count_terms(name).keys())
    return topic


def shown(name, *documents, semantic=0.0):
    """The profiles of all passages, in order, and what each of those passages shows of the topic."""
    topic, snapshot = topic_of(name), snapshot_of(*documents)
    passages = snapshot.all_passages(IndexQuery(topics=(topic.alternatives,)), snapshot.find("abcdefghz"))
    signal = np.full(len(passages.profiles), semantic, dtype=np.float32)
    (states,) = states_in_passages([topic], passages.topics, signal)
    return passages.profiles, states


def has(name, *documents, **more):
    profiles, states = shown(name, *documents, **more)
    return [bool((states[profiles == profile] == MET).any()) for profile in np.unique(profiles)]


def missing(title, *documents, must_have, **query):
    prepared = prepare(Query(title, must_have=must_have, **query), ENCODER)
    ranked = rank(
        prepared, snapshot_of(*documents), top_k=20, filters=EVERYONE, weights=BOTH, circumstances=Circumstances(TODAY)
    )
    return {profile.profile_id: profile.missing_must_have for profile in ranked}


@pytest.mark.parametrize(
    ("topic", "text", "expected"),
    [
        ("水泵", "高效水泵", True),
        ("水泵", "铝合金", False),
        ("泵", "高效水泵", True),
        ("泵", "真空泵与泵", True),
        ("泵", "水", False),
        ("铝", "再生铝合金", True),
        ("PLC", "可编程控制器", True),
        ("可编程控制器", "ＰＬＣ", True),
        ("PLC", "plcs", False),
        ("諧波減速器", "谐波减速器", True),
        ("谐波减速器", "谐波分析与减速", False),
        ("测试", "测试工具箱", True),
        ("景点", "经典", False),
        ("招商 园区", "园区的招商", True),
        ("招商 园区", "招商", False),
        ("招商 园区", "园区", False),
        ("0.45mm", "厚度0.45 mm", True),
        ("0.45mm", "厚度450微米", True),
        ("0.45mm", "厚度0.50 mm", False),
        ("3D打印", "喷墨打印机", False),
        ("3D打印", "增材制造", True),
        ("UV固化", "胶固化设备", False),
        ("5G通信", "光纤通信", False),
        ("！😀", "铝合金", True),
        ("", "铝合金", True),
        ("", "", True),
    ],
)
def test_a_topic_is_had_by_who_uses_its_words(topic, text, expected):
    assert has(topic, document("a", text)) == [expected]
    assert missing("需要一个方案", document("a", text), must_have=(topic,)) == {"a": () if expected else (topic,)}


@pytest.mark.parametrize("topic", ["泵 ", " 泵", "泵。", "「泵」"])
def test_blanks_and_marks_around_a_topic_do_not_matter(topic):
    assert has(topic, document("a", "真空泵")) == [True]


def test_any_one_passage_may_show_it_but_not_two_halves():
    documents = document("a", "铝", ["红烧肉", "园区招商"]), document("b", "铝", ["园区", "招商"])
    assert has("招商 园区", *documents) == [True, False]


def test_passages_are_told_apart():
    documents = document("a", "铝", ["水泵", "园区"]), document("b", "水泵")
    assert shown("水泵", *documents)[1].tolist() == [NOT_MET, MET, NOT_MET, MET]
    assert shown("水泵")[1].tolist() == []


def test_topics_are_told_apart():
    topics = prepare_topics(["水泵", "！", "铝"], default_analyzer(), {"水泵", "~铝"})
    by_words = np.array([[True, False], [False, False], [False, False]])
    semantic = np.array([np.nan, 0.9], dtype=np.float32)
    states = states_in_passages(topics, by_words, semantic)
    assert states.tolist() == [[MET, NOT_VERIFIED], [MET, MET], [NOT_MET, NOT_VERIFIED]]
    assert states_in_passages([], by_words[:0], semantic).shape == (0, 2)


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS, TEXTS)
def test_who_says_the_topic_itself_has_it(documents, topic):
    someone = document("z", topic, language="zh")
    assert has(topic, *documents, someone)[-1]


@pytest.mark.parametrize("language", ["zh", "en", "de", "ja", "ko"])
@pytest.mark.parametrize(
    ("semantic", "expected"), [(0.9, NOT_VERIFIED), (0.1, NOT_MET), (float("nan"), NOT_MET)], ids=str
)
def test_near_meaning_is_not_verified_in_any_language(language, semantic, expected):
    """Also in Chinese: a pump expert may write 必需汽蚀余量 and never 离心泵."""
    assert shown("柔轮", document("a", "reducer with an elastic wheel", language=language), semantic=semantic)[
        1
    ].tolist() == [expected]
    assert shown("柔轮", document("a", "柔轮", language=language), semantic=semantic)[1].tolist() == [MET]


def states(title, *documents, must_have, top_k=20, filters=EVERYONE, **query):
    prepared = prepare(Query(title, must_have=must_have, **query), ENCODER)
    ranked = rank(
        prepared,
        snapshot_of(*documents),
        top_k=top_k,
        filters=filters,
        weights=BOTH,
        circumstances=Circumstances(TODAY),
    )
    return {
        profile.profile_id: [(f.state, f.work_id if f.state != "not_met" else None) for f in profile.must_have]
        for profile in ranked
    }


@pytest.mark.parametrize(
    ("title", "topic", "text", "state"),
    [
        (
            "谐波减速器",
            "精密减速器",
            "reducer with an elastic wheel",
            "not_verified",
        ),  # it means something near the whole demand
        ("谐波减速器", "精密减速器", "减速谐波器", "not_verified"),  # so does this, and in the demand's own language
        ("谐波减速器", "精密减速器", "gardening of tulips", "not_met"),
        ("谐波减速器", "精密减速器", "红烧肉", "not_met"),
        (
            "谐波减速器",
            "激光雷达",
            "reducer with an elastic wheel",
            "not_met",
        ),  # the demand does not speak of it otherwise
        ("谐波减速器", "激光雷达", "谐波减速器", "not_met"),
        ("红烧肉", "PLC", "PLC programming", "met"),  # an abbreviation is shared
        ("红烧肉", "柔轮", "PLC programming", "not_met"),
    ],
)
def test_one_rule_holds_for_texts_of_all_languages(title, topic, text, state):
    assert states(title, document("a", text), must_have=(topic,)) == {"a": [(state, None)]}


@pytest.mark.parametrize("filters", [EVERYONE, NO_FILTERS], ids=["named", "searched"])
def test_met_comes_before_not_verified_before_not_met(filters):
    documents = (
        document("a", "谐波减速器减速器"),
        document("b", "谐波减速器", ["精密减速器"]),
        document("c", "reducer with an elastic wheel"),
        document("d", "谐波的精密减速器铝水泵红烧肉"),
        document("e", "减速与红烧肉水泵铝"),
    )
    found = states("谐波减速器", *documents, must_have=("精密减速器",), filters=filters)
    assert {name: state for name, ((state, _),) in found.items()} == {
        "a": "not_verified", "b": "met", "c": "not_verified", "d": "met", "e": "not_met",
    }  # fmt: skip
    assert {*list(found)[:2]} == {"b", "d"}
    assert list(found)[-1] == "e"


@pytest.mark.parametrize(
    "topic", ["C++", "7075", "GB/T 19001", "PLC", "0.45mm", "IP67", "7075铝合金", "４５＃钢", "C＋＋编程"]
)
def test_a_code_is_there_or_not(topic):
    """All languages write it alike, so near meaning says nothing of it."""
    documents = document("a", "谐波减速器"), document("b", "reducer with an elastic wheel"), document("c", topic)
    found = states("谐波减速器", *documents, must_have=(topic,), key_technology=topic)
    assert {name: state for name, ((state, _),) in found.items()} == {"c": "met", "a": "not_met", "b": "not_met"}


@pytest.mark.parametrize("topic", ["3D打印", "5G通信", "五轴加工", "harmonic gears", "減速器"])
def test_words_may_be_paraphrased(topic):
    documents = document("a", "谐波减速器"), document("b", "reducer with an elastic wheel")
    found = states("谐波减速器", *documents, must_have=(topic,), key_technology=topic)
    assert {state for ((state, _),) in found.values()} <= {"not_verified", "met"}


def test_one_that_is_not_met_outweighs_all_that_are_not_verified():
    documents = (
        document("a", "reducer with an elastic wheel"),
        document("b", "精密减速器；铝，红烧肉，园区招商，机器视觉，疲劳寿命"),
    )
    found = states("谐波减速器", *documents, must_have=("精密减速器", "减速器结构", "谐波发生"))
    assert list(found) == ["a", "b"]
    assert [state for state, _ in found["a"]] == ["not_verified"] * 3
    assert [state for state, _ in found["b"]] == ["met", "not_met", "not_met"]


def test_the_passage_is_named_that_shows_it():
    works = ["红烧肉", "精密减速器", "谐波减速器的精密减速器", "谐波减速器"]
    found = states("谐波减速器", document("a", "铝", works), must_have=("精密减速器", "红烧肉", "减速器结构", "水泵"))
    (first, *others) = found["a"]
    assert first == ("met", "w2")
    assert others == [("met", "w0"), ("not_verified", "w3"), ("not_met", None)]


def test_what_is_missing_is_named_in_the_order_of_the_demand():
    topics = ("谐波减速器", "水泵", "机器视觉", "铝")
    found = missing("红烧肉", document("a", "铝", ["水泵"]), must_have=topics)
    assert found == {"a": ("谐波减速器", "机器视觉")}


def test_what_is_nice_to_have_is_named_apart():
    prepared = prepare(Query("红烧肉", must_have=("铝", "柔轮"), nice_to_have=("水泵", "机器视觉")), ENCODER)
    (ranked,) = rank(prepared, snapshot_of(document("a", "铝", ["水泵"])), top_k=1)
    assert ranked.missing_must_have == ("柔轮",)
    assert ranked.missing_nice_to_have == ("机器视觉",)
