import numpy as np
import pytest
from hypothesis import given, settings
from ranking.worlds import BOTH, DOCUMENTS, ENCODER, TEXTS, TODAY, document, snapshot_of

from matching_service.index.contract import IndexQuery
from matching_service.index.filters import Filters
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.ranking.structured import Circumstances
from matching_service.ranking.topics import prepare_topics, proving_passages
from matching_service.text.terms import default_analyzer

EVERYONE = Filters(candidates=frozenset("abcdefgh"))


def topic_of(name):
    (topic,) = prepare_topics([name], default_analyzer())
    return topic


def proving(name, *documents, semantic=0.0, language="zh"):
    """The profiles of all passages, in order, and which of those passages are evidence for the topic."""
    topic, snapshot = topic_of(name), snapshot_of(*documents)
    passages = snapshot.topic_evidence(IndexQuery(topics=(topic.alternatives,)), snapshot.find("abcdefghz"))
    signal = np.full(len(passages.profiles), semantic, dtype=np.float32)
    (marked,) = proving_passages([topic], passages.topics, signal, passages.languages, language=language)
    return passages.profiles, marked


def has(name, *documents, **more):
    profiles, marked = proving(name, *documents, **more)
    return [bool(marked[profiles == profile].any()) for profile in np.unique(profiles)]


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
    assert proving("水泵", *documents)[1].tolist() == [False, True, False, True]
    assert proving("水泵")[1].tolist() == []


def test_topics_are_told_apart():
    topics = prepare_topics(["水泵", "！", "铝"], default_analyzer())
    by_words = np.array([[True, False], [False, False], [False, False]])
    unknown, languages = np.full(2, np.nan, dtype=np.float32), np.array(["zh", "en"])
    marked = proving_passages(topics, by_words, unknown, languages, language="zh")
    assert marked.tolist() == [[True, False], [True, True], [False, False]]
    assert proving_passages([], by_words[:0], unknown, languages, language="zh").shape == (0, 2)


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS, TEXTS)
def test_who_says_the_topic_itself_has_it(documents, topic):
    someone = document("z", topic, language="zh")
    assert has(topic, *documents, someone)[-1]


@pytest.mark.parametrize(
    ("language", "semantic", "expected"),
    [
        ("en", 0.9, True),
        ("en", 0.1, False),
        ("en", float("nan"), False),
        ("zh", 0.9, False),  # who writes the language of the demand can use its words
    ],
)
def test_in_another_language_a_near_meaning_is_enough(language, semantic, expected):
    assert has("柔轮", document("a", "harmonic drive", language=language), semantic=semantic) == [expected]


@pytest.mark.parametrize(
    ("title", "topic", "text", "is_missing"),
    [
        ("谐波减速器", "柔轮", "harmonic drive", False),  # it means something near the whole demand
        ("谐波减速器", "柔轮", "gardening of tulips", True),
        ("红烧肉", "PLC", "PLC programming", False),  # an abbreviation is shared
        ("红烧肉", "柔轮", "PLC programming", True),
    ],
)
def test_a_foreign_profile_has_it_by_near_meaning_or_a_shared_abbreviation(title, topic, text, is_missing):
    assert missing(title, document("a", text), must_have=(topic,)) == {"a": (topic,) if is_missing else ()}


def test_what_is_missing_is_named_in_the_order_of_the_demand():
    topics = ("谐波减速器", "水泵", "机器视觉", "铝")
    assert missing("铝", document("a", "铝", ["水泵"]), must_have=topics) == {"a": ("谐波减速器", "机器视觉")}


def test_what_is_nice_to_have_is_named_apart():
    prepared = prepare(Query("铝", must_have=("铝", "柔轮"), nice_to_have=("水泵", "机器视觉")), ENCODER)
    (ranked,) = rank(prepared, snapshot_of(document("a", "铝", ["水泵"])), top_k=1)
    assert ranked.missing_must_have == ("柔轮",)
    assert ranked.missing_nice_to_have == ("机器视觉",)
