from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.text.lexicon import default_lexicon, parse_lexicon
from matching_service.text.normalise import fold
from matching_service.text.tokenizer import Tokenizer, Word, han_runs

TOKENIZER = Tokenizer(default_lexicon())


def words_with_places(folded, tokenizer=TOKENIZER):
    """The words of a text, each with its span in the text."""
    start = 0
    for piece in tokenizer.cut(folded):
        for word in tokenizer.words_in(piece):
            yield Word(word.text, start + word.start, start + word.end)
        start += len(piece)


def words(text, tokenizer=TOKENIZER):
    return [word.text for word in words_with_places(fold(text), tokenizer)]


@pytest.fixture(scope="module")
def small_tokenizer():
    """A tokenizer with a small lexicon."""
    return Tokenizer(parse_lexicon("谐减器 3 n\n3D打印 3 n\n深度 学习 3 n", "的\nthe", "锟斤拷,KJK\nC++,cpp"))


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT)
def test_every_word_stands_where_it_says_and_is_no_stop_word(text):
    folded = fold(text)
    for word in words_with_places(folded):
        assert 0 <= word.start < word.end <= len(folded)
        place = folded[word.start : word.end]
        assert place == word.text or set(place) & set("/-+ ."), (place, word)  # connectors are left out
        assert word.text not in default_lexicon().stop_words


@settings(deadline=None)
@given(ANY_TEXT)
def test_words_do_not_hold_blanks_or_sentence_marks(text):
    assert all(not set(word) & set(" \t\n。；，！？") for word in words(text))


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT)
def test_the_pieces_of_a_text_are_the_text(text):
    assert "".join(TOKENIZER.cut(text)) == text
    assert all(TOKENIZER.cut(text))


@settings(deadline=None)
@given(st.sampled_from(sorted(default_lexicon().user_words)))
def test_every_word_of_the_user_dictionary_is_cut_whole(word):
    assert word in words(word)


def test_a_compound_is_given_with_the_words_inside_it():
    assert {"可编程控制器", "控制器", "控制"} <= set(words("可编程控制器"))
    assert "测试" in words("测试工具箱")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.45mm", ["0.45mm"]),
        ("2.5%", ["2.5%"]),
        ("3 dB", ["3db"]),
        ("85 %", ["85%"]),
        ("1,000mm", ["1000mm"]),
        ("abc泵def", ["abc", "泵", "def"]),
        ("snake_case", ["snake", "case"]),
        ("x-y", ["xy"]),
        ("6061-T6", ["6061", "t6", "6061t6"]),
        ("wi-fi/ble", ["wi", "fi", "ble", "wifible"]),
        ("SUS304", ["304", "sus304"]),
        ("IP65/67", ["ip65", "ip67", "ip65/67"]),
        ("Q235B", ["235", "q235", "q235b"]),
        ("GB/T 19001-2016", ["19001", "gbt19001"]),
        ("C++ C# .NET ASP.NET", ["c++", "c#", ".net", "asp", ".net", "asp.net"]),
        ("，。！😀\x00", []),
        ("%", []),
        ("", []),
    ],
)
def test_latin_and_numbers_are_cut_by_one_rule(text, expected):
    assert words(text) == expected


def test_a_known_word_of_latin_letters_is_not_found_inside_a_longer_one():
    assert "plc" in words("PLC控制")
    assert "plc" in words("基于PLC的")
    assert "plc" not in words("plcs")
    assert "plc" not in words("xplc")


def test_the_longer_of_two_known_words_wins():
    assert "nb-iot" in words("NB-IoT模组")
    assert "iot" not in words("NB-IoT模组")


def test_other_scripts_are_words_too():
    assert words("прогноз погоды") == ["прогноз", "погоды"]
    assert words("שלום") == ["שלום"]


def test_a_stop_word_takes_the_words_inside_it_along():
    assert words("高新技术企业") == []
    assert words("高新材料") != []


def test_a_tokenizer_knows_its_own_lexicon_only(small_tokenizer):
    def cut(text):
        return words(text, small_tokenizer)

    assert "谐减器" in cut("谐减器")
    assert "谐减器" not in words("谐减器")
    assert "3d打印" in cut("新型3D打印头")
    assert "深度 学习" in cut("深度 学习")
    assert "锟斤拷" in cut("锟斤拷")
    assert "c++" in cut("C++")
    assert "的" not in cut("泵的")
    assert "研发" in cut("研发")  # a stop word of the other lexicon


@settings(deadline=None)
@given(ANY_TEXT)
def test_runs_of_chinese_characters_are_maximal(text):
    runs = [run.span() for run in han_runs(text)]
    chinese = {
        i
        for i, character in enumerate(text)
        if "\u3400" <= character <= "\u4dbf" or "\u4e00" <= character <= "\u9fff" or character == "〇"
    }
    assert {i for start, end in runs for i in range(start, end)} == chinese
    assert all(before[1] < after[0] for before, after in pairwise(runs))
