import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.ranking.query import Query
from matching_service.text.boilerplate import without_boilerplate

INTRODUCTIONS = (
    "公司成立于2006年，是国家高新技术企业。",
    "本厂始建于1978年！",
    "注册资本5000万元；",
    "现有员工320人。",
    "我公司专业从事日用品的生产。",
    "我司产品远销欧美。",
    "集团位于佛山市。",
    "企业占地80亩，",
    "年销售额约2.3亿元。",
    "公司拥有多项专利，",
    "企业客户遍布全国。",
    "本企业致力于创新。",
)
INCOMES = (
    "预计经济效益显著。",
    "投资回收期不超过2年。",
    "项目实施后新增产值3000万元。",
    "市场前景广阔。",
    "利润提高10%。",
)
TECHNICAL = (
    "设备占地面积小于10平方毫米；",
    "柔轮在8000小时后齿根开裂。",
    "要求定位精度±0.01mm；",
    "我公司的注塑机在保压时压力过冲2MPa。",
    "传感器位于主轴末端。",
    "材料须通过UL94 V-0级认证。",
    "企业现有产线的节拍为45秒。",
    "希望成立联合攻关组？",
    "公司位于产线末端的液压缸漏油，",
    "我公司专业从事注塑机的生产。",
    "客户投诉公司产品噪声，",
    "公司需要解决客户要求的耐温问题，",
)
"""Some speak of the company as well: they name a need, a quantity or a technical term."""
SENTENCES = st.lists(st.sampled_from((*INTRODUCTIONS, *INCOMES, *TECHNICAL, "\n", " ", "——")), max_size=8).map("".join)
ANYTHING = st.one_of(ANY_TEXT, SENTENCES, st.lists(st.one_of(ANY_TEXT, st.sampled_from(INTRODUCTIONS))).map("".join))


def has_words(text):
    return re.search(r"[^\W_]", text) is not None


@pytest.mark.parametrize("sentence", [*INTRODUCTIONS, *INCOMES])
def test_an_introduction_or_a_hope_for_income_is_told_apart(sentence):
    assert without_boilerplate(sentence + TECHNICAL[1]) == TECHNICAL[1]
    assert without_boilerplate(TECHNICAL[1] + sentence) == TECHNICAL[1]


@pytest.mark.parametrize("sentence", TECHNICAL)
def test_a_technical_sentence_is_kept(sentence):
    assert without_boilerplate(INTRODUCTIONS[0] + sentence) == sentence


@pytest.mark.parametrize("sentence", [*INTRODUCTIONS, *INCOMES])
def test_a_text_of_nothing_else_becomes_empty_but_a_query_of_nothing_else_stays(sentence):
    assert without_boilerplate(sentence) == ""
    assert Query("", problem=sentence, expected_goal=sentence).topical() == Query(
        "", problem=sentence, expected_goal=sentence
    )
    assert Query("水泵", problem=sentence, expected_goal=sentence).topical() == Query("水泵")


@pytest.mark.parametrize("text", ["公司成立于2006年。。", "“公司成立于2006年。”", "公司成立于2006年！！！"])
def test_marks_alone_are_no_text_that_is_left(text):
    assert Query("", problem=text).topical() == Query("", problem=text)


@settings(deadline=None, max_examples=300)
@given(ANYTHING, ANYTHING)
def test_no_query_loses_all_its_words(problem, goal):
    query = Query("", problem=problem, expected_goal=goal)
    assert has_words(query.topical().text) == has_words(query.text)


@settings(deadline=None, max_examples=300)
@given(ANYTHING)
def test_a_second_time_finds_nothing_more(text):
    once = without_boilerplate(text)
    assert without_boilerplate(once) == once


@settings(deadline=None)
@given(st.lists(st.sampled_from((*INTRODUCTIONS, *INCOMES, *TECHNICAL)), max_size=8))
def test_what_stays_are_the_technical_sentences_in_their_order(sentences):
    kept = [sentence for sentence in sentences if sentence in TECHNICAL]
    assert without_boilerplate("".join(sentences)) == "".join(kept)


@settings(deadline=None)
@given(ANYTHING)
def test_what_stays_is_a_part_of_the_text(text):
    place = 0
    for character in without_boilerplate(text):
        place = text.index(character, place) + 1
