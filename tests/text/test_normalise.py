import re
import sys
import unicodedata

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.text.normalise import fold, fold_with_spans

INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2064\ufeff\x00\x08"

# Without the capital letters of rare scripts: fold lowers them only in a text that NFKC changes.
STEADY = ANY_TEXT.map(lambda text: "".join(c for c in text if c < "\U00010000" or c.lower() == c))

# Letters that only Unicode's NFKC and lower case change, none of our own rules.
PLAIN = st.text(
    st.one_of(
        st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="0123456789"),
        st.characters(min_codepoint=0xC0, max_codepoint=0x17F, exclude_characters="İ"),
        st.characters(min_codepoint=0x391, max_codepoint=0x3C9, exclude_characters="Σ", categories=["L"]),
        st.characters(min_codepoint=0x410, max_codepoint=0x44F),
        st.characters(min_codepoint=0xFF21, max_codepoint=0xFF5A),  # full-width letters
        st.characters(min_codepoint=0x3041, max_codepoint=0x3093),  # hiragana
        st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3),  # precomposed Hangul
        st.sampled_from("泵水铝机器视觉测试，。；！？ﬁﬀ㎡①Ⅳ™½"),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(PLAIN)
def test_folding_a_plain_text_is_nfkc_and_lower_case(text):
    assert fold(text) == unicodedata.normalize("NFKC", text).lower()


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT)
@example("\ud800")
@example("\x00")
def test_any_text_can_be_folded(text):
    assert fold_with_spans(text).text == fold(text)


@settings(deadline=None, max_examples=400)
@given(ANY_TEXT)
@example("1,\u200b000")
@example("3\u200b dB")
@example("3 \u200bdB")
@example("e\u200b\u0301")
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


def test_folding_any_single_character_twice_changes_nothing():
    every = [chr(code) for code in (*range(0x10000), *range(0x1D400, 0x1D800), *range(0x2F800, 0x2FA20))]
    assert [character for character in every if fold(fold(character)) != fold(character)] == []


@settings(deadline=None, max_examples=400)
@given(STEADY)
@example("功率 1,000 kW")
@example("e\u0301\u0301 ㎡ ﬁ")
def test_every_folded_character_knows_the_original_it_came_from(text):
    folded = fold_with_spans(text)
    assert len(folded.text) == (len(text) if folded.spans is None else len(folded.spans))
    spans = [folded.original_span(i, i + 1) for i in range(len(folded.text))]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
    assert all(character in fold(text[start:end]) for character, (start, end) in zip(folded.text, spans, strict=True))


def test_a_text_that_keeps_its_length_needs_no_spans():
    assert fold_with_spans("臺灣機器ＰＬＣ").spans is None


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＰＬＣ　控制", "plc 控制"),
        ("臺灣機器視覺檢測", "台湾机器视觉检测"),
        ("３Ｄ打印", "3d打印"),
        ("㎡", "m2"),
        ("35 ℃", "35°c"),
        ("µm", "μm"),
        ("ﬁne", "fine"),
        ("e\u0301", "é"),
        ("GC–MS", "gc-ms"),
        ("GC—MS", "gc-ms"),
        ("GC−MS", "gc-ms"),
        ("İ", "i"),
        ("", ""),
    ],
)
def test_the_many_ways_to_write_a_text_become_one(text, folded):
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("3 dB", "3db"),
        ("85 %", "85%"),
        ("85\u00a0%", "85%"),
        ("1,000mm", "1000mm"),
        ("1,000 mm", "1000mm"),
        ("1,234,567 元", "1234567元"),
        ("0.45 mm", "0.45mm"),
        ("120 r/min", "120r/min"),
        ("50 万元", "50万元"),
        ("3 m2", "3m2"),
    ],
)
def test_a_number_and_its_unit_are_one(text, folded):
    assert fold(text) == folded


@pytest.mark.parametrize("text", ["1,00", "12,3456", "1, 000", "3 grams", "no 3\nmm", "a,123", "3 水泵"])
def test_what_only_looks_like_a_number_with_a_unit_is_kept(text):
    assert fold(text) == text


@settings(deadline=None)
@given(st.integers(min_value=1000), st.sampled_from(["", "mm", " mm", " 元", "%"]))
def test_thousands_separators_do_not_matter(number, unit):
    groups = f"{number:,}".split(",")
    assume((unit.strip() != "mm" and unit != "%") or len(groups[0]) < 3 or groups != sorted(set(groups)))  # 100,200 mm
    assert fold(f"{number:,}{unit}") == fold(f"{number}{unit}")


@settings(deadline=None)
@given(st.lists(st.sampled_from([*INVISIBLE, "泵", "水", "plc"])).map("".join))
def test_invisible_characters_vanish(text):
    assert fold(text) == re.sub(f"[{INVISIBLE}]", "", text)


@pytest.mark.parametrize(
    ("text", "part", "original"),
    [
        ("增益 3 dB 以上", "3db", "3 dB"),
        ("行程 1,000 mm", "1000mm", "1,000 mm"),
        ("面積 20 ㎡。", "20m2", "20 ㎡"),
        ("可\u200b编程", "可编程", "可\u200b编程"),
        ("ｶﾞラス", "ガ", "ｶﾞ"),
    ],
)
def test_a_folded_part_is_found_in_the_original(text, part, original):
    folded = fold_with_spans(text)
    start = folded.text.index(part)
    first, last = folded.original_span(start, start + len(part))
    assert text[first:last] == original


def test_letters_beyond_the_basic_plane_are_folded_whatever_stands_beside_them():
    """¼ is not in its normal form, so the text takes the slower way through the same rules."""
    cased = [character for character in map(chr, range(0x10000, sys.maxunicode + 1)) if character.lower() != character]
    assert len(cased) > 200
    for character in cased:
        assert fold(character) == fold("¼" + character)[3:] == character.lower()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("水<!-- 注释 -->泵", "水泵"),
        ("<script>var a = 1;</script>水泵", "水泵"),
        ("<STYLE type='x'>p {}</Style >水泵", "水泵"),
        ("<!-- 没有结束 水泵", "<!-- 没有结束 水泵"),
        ("&amp;nbsp;水泵", " 水泵"),
        ("温差<5 且 >3", "温差<5 且 >3"),
        ("阻抗<5mm", "阻抗<5mm"),
    ],
)
def test_html_is_read_as_a_browser_shows_it(text, shown):
    assert fold(text) == shown
    assert fold_with_spans(text).text == shown


@pytest.mark.parametrize("piece", ["<script>", "<!--", "<style></script>", "&amp", "<p", "1,", "泵 ", "a-"])
def test_long_texts_of_openings_are_folded(piece):
    """A scan that starts anew at each opening would take minutes here."""
    assert len(fold(piece * 50_000)) <= len(piece) * 50_000
