import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.text.language import language_of

SENTENCES = {
    "zh": "从事谐波减速器柔轮的疲劳寿命研究。",
    "en": "Fatigue life of harmonic drive flexsplines.",
    "de": "Lebensdauer von Wellgetrieben für Roboter.",
    "ja": "波動歯車装置の疲労寿命を研究している。",
    "ru": "Усталостная долговечность волновых передач.",
    "fr": "Durée de vie des réducteurs harmoniques.",
    "ko": "하모닉 감속기의 피로 수명을 연구한다.",
    "es": "Vida a fatiga de los reductores armónicos.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_each_language_is_known_when_it_is_declared(language):
    assert language_of(SENTENCES[language], language) == language


@pytest.mark.parametrize("language", ["zh", "en", "ja", "ru", "ko"])
@pytest.mark.parametrize("declared", ["zh", "en", "de", "ko"])
def test_a_script_of_its_own_tells_whatever_was_declared(language, declared):
    if (language, declared) == ("en", "de"):
        return  # many languages use Latin letters
    assert language_of(SENTENCES[language], declared) == language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("采用PLC与SCADA的控制系统", "zh"),
        ("LiFePO4正极材料", "zh"),
        ("Al2O3陶瓷", "zh"),
        ("基于YOLOv8与Transformer的Deep Learning检测", "zh"),
        ("諧波減速器", "zh"),
        ("水", "zh"),
        ("Professor Zhang Wei (张伟) has worked on flexible manufacturing systems for more than twenty years", "en"),
        ("ポンプの研究", "ja"),
        ("水泵カタログ", "ja"),
        ("한국의 水泵", "ko"),
        ("Насосы PLC", "ru"),
        ("PLC control of насос and other very long English words", "en"),
        ("Ｈａｒｍｏｎｉｃ ｄｒｉｖｅ", "en"),
    ],
)
def test_a_mixed_text_is_of_the_language_that_carries_it(text, expected):
    assert language_of(text) == expected


@pytest.mark.parametrize("name", ["弗里德里希・威廉的控制理论", "张・王合作团队"])
def test_a_middle_dot_does_not_make_a_chinese_text_japanese(name):
    assert language_of(name) == "zh"


@pytest.mark.parametrize("text", ["", " \n", "123", "！？", "😀", "\ud800", "A", "PLC", "ＰＬＣ", "LiFePO4", "HPLC-MS"])
@pytest.mark.parametrize("declared", ["zh", "de", "ru"])
def test_a_text_without_letters_is_what_was_declared(text, declared):
    assert language_of(text, declared) == declared


@settings(deadline=None)
@given(ANY_TEXT, st.sampled_from(["zh", "en", "de", "xx"]))
def test_any_text_is_of_a_known_language_or_the_declared_one(text, declared):
    assert language_of(text, declared) in {"zh", "en", "ja", "ko", "ru", declared}


@settings(deadline=None)
@given(st.sampled_from(["水泵", "谐波减速器的柔轮"]), st.sampled_from(["PLC", "X2", "3mm", "，", " "]))
def test_an_abbreviation_beside_chinese_changes_nothing(chinese, other):
    assert language_of(chinese + other) == language_of(other + chinese) == "zh"
