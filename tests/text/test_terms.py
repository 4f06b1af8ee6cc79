import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service import sample
from matching_service.text import terms
from matching_service.text.lexicon import default_lexicon
from matching_service.text.normalise import fold
from matching_service.text.phrases import Phrases
from matching_service.text.quantities import find_quantities
from matching_service.text.terms import (
    NGRAM_MARK,
    SYNONYM_MARK,
    Analyzer,
    count_terms,
    default_analyzer,
    find_terms,
    is_ngram,
)
from matching_service.text.tokenizer import Tokenizer, han_runs

TRADITIONAL = str.maketrans("机视觉测试检铝轮减谐泵压电热锂", "機視覺測試檢鋁輪減諧泵壓電熱鋰")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
WORDS = (
    "机器视觉",
    "检测",
    "谐波减速器",
    "柔轮",
    "水泵",
    "铝",
    "泵",
    "PLC",
    "3D",
    "0.45mm",
    "液压",
    "电机",
    "锂电池",
    "热失控",
    "测试",
)
SPELLINGS = {
    leader: [word for word, other in default_lexicon().canonical.items() if other == leader]
    for leader in set(default_lexicon().canonical.values())
}
MEASURES = (
    "10毫米",
    "3 dB",
    "85％",
    "1,000mm以下",
    "5吨水",
    "0.5小时内",
    "10-20mm",
    "35℃",
    "公司",
    "企业",
    "高新技术企业",
)
SEGMENTER = Tokenizer(default_lexicon())
PHRASES = Phrases(default_lexicon().foreign, SEGMENTER.cut)
SENTENCES = st.lists(st.sampled_from((*WORDS, "的", "，", "。", "12")), max_size=12).map("".join)


CONNECTORS = re.compile(r"[/\-+ ]")  # people write them at will: gc/ms is gc-ms


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT)
@example("\ud800泵\ud800")
@example("\u202eשלום 泵")
@example("👨‍👩‍👧测试")
def test_counting_is_finding_without_the_places(text):
    occurrences = find_terms(text)
    meant = [term for reading in default_analyzer().read(text).readings for term, _, _ in reading.meant]
    assert Counter([*(occurrence.term for occurrence in occurrences), *meant]) == count_terms(text)
    places = [(occurrence.start, -occurrence.end, occurrence.term) for occurrence in occurrences]
    assert places == sorted(places)


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT, ANY_TEXT)
@example("柔轮与水泵℃ 10毫米", "水泵 10mm")
def test_the_places_of_some_terms_are_those_among_all(text, other):
    read, wanted = default_analyzer().read(text), frozenset(count_terms(other))
    assert read.places_of(wanted) == [place for place in read.places() if place[0] in wanted]
    every = frozenset(count_terms(text))
    assert read.places_of(every) == read.places()
    assert read.words <= every


def names_nothing(text):
    """Whether the text holds no name of a concept in another language, nor a synonym in other letters."""
    pieces = SEGMENTER.cut(fold(text))
    readings = default_analyzer().read(text).readings
    return not list(PHRASES.find(pieces)) and not any(reading.meant for reading in readings)


def plain_terms(text):
    """The terms of a folded text by their definition, one after the other: quantities, words outside them, n-grams."""
    tokenizer, lexicon, start = SEGMENTER, default_lexicon(), 0
    covered: set[int] = set()
    quantities = list(find_quantities(text))
    taken = {place for quantity in quantities for place in range(quantity.start, quantity.end)}
    yield from quantities
    for piece in tokenizer.cut(text):
        for word in tokenizer.words_in(piece):
            if start + word.start not in taken:
                canonical = lexicon.canonical.get(word.text)
                yield (SYNONYM_MARK + canonical if canonical else word.text), start + word.start, start + word.end
                if word.text not in lexicon.bare_words:
                    covered.update(range(start + word.start, start + word.end))
        start += len(piece)
    for run in han_runs(text):
        for place in covered.intersection(range(*run.span())):
            yield NGRAM_MARK + text[place], place, place + 1
            if place + 1 < run.end() and place + 1 in covered:
                yield NGRAM_MARK + text[place : place + 2], place, place + 2


@settings(deadline=None, max_examples=500)
@given(st.one_of(ANY_TEXT, st.lists(st.sampled_from((*WORDS, *MEASURES, "的", "，", " ", "a", "7"))).map("".join)))
@example("10毫米波公司的水泵")
def test_the_terms_are_those_of_the_plain_definition(text):
    assume(names_nothing(text))
    folded = re.sub(r"(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])", "，", fold(text))  # a blank may stand in a word
    expected = sorted(plain_terms(folded), key=lambda place: (place[1], -place[2], place[0]))
    assert find_terms(folded) == expected


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT)
def test_a_term_stands_in_the_original_text_where_it_was_found(text):
    assume(names_nothing(text))
    for occurrence in find_terms(text):
        assert 0 <= occurrence.start < occurrence.end <= len(text)
        written = fold(text[occurrence.start : occurrence.end])
        if occurrence.term.startswith("="):
            terms = [quantity.term for quantity in find_quantities(written)]
            assert (
                terms == [occurrence.term] or written[-1].isdigit()
            )  # the unit of a range or a list stands at its end
            continue
        spellings = SPELLINGS.get(occurrence.term.removeprefix(SYNONYM_MARK), [])
        if not occurrence.term.startswith(SYNONYM_MARK):
            spellings = [occurrence.term.removeprefix(NGRAM_MARK)]
        plain = CONNECTORS.sub("", written)
        assert any(spelling in written or CONNECTORS.sub("", spelling) in plain for spelling in spellings)


@settings(deadline=None)
@given(SENTENCES)
def test_traditional_and_full_width_texts_have_the_same_terms(text):
    assert count_terms(text.translate(TRADITIONAL)) == count_terms(text)
    assert count_terms(text.translate(FULL_WIDTH)) == count_terms(text)
    assert count_terms(text.upper()) == count_terms(text)


@settings(deadline=None)
@given(SENTENCES, SENTENCES)
def test_terms_of_two_sentences_add_up(first, second):
    assert count_terms(f"{first}。{second}") == count_terms(first) + count_terms(second)


@settings(deadline=None)
@given(ANY_TEXT)
def test_character_ngrams_are_marked_and_one_or_two_characters_of_a_run(text):
    assume(names_nothing(text))
    joined = re.sub(r"(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])", "", fold(text))  # a blank may stand in a word
    runs = [run.group() for whole in (fold(text), joined) for run in han_runs(whole)]
    for term in count_terms(text):
        if is_ngram(term):
            characters = term.removeprefix(NGRAM_MARK)
            assert len(characters) in (1, 2)
            assert any(characters in run for run in runs)


@pytest.mark.parametrize("text", ["", " \n\t", "，。；！？", "😀👨‍👩‍👧", "\x00\x08", "\ud800", "~", "%", "---"])
def test_a_text_without_letters_or_digits_has_no_terms(text):
    assert count_terms(text) == Counter()
    assert find_terms(text) == []


@pytest.mark.parametrize("word", ["泵", "水", "铝"])
def test_a_word_of_one_character_counts(word):
    assert count_terms(word) == {word: 1, f"{NGRAM_MARK}{word}": 1}
    assert is_ngram(f"{NGRAM_MARK}{word}")
    assert not is_ngram(word)


def test_the_character_and_the_word_are_different_terms():
    assert count_terms("水泵")["泵"] == 0
    assert count_terms("水泵")[f"{NGRAM_MARK}泵"] == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PLC", "可编程控制器"),
        ("PLC", "可编程逻辑控制器"),
        ("锂电池", "锂离子电池"),
        ("GC-MS", "气质联用"),
        ("3D打印", "增材制造"),
    ],
)
def test_synonyms_meet_in_both_directions(one, other):
    def words(text):
        return {term for term in count_terms(text) if not is_ngram(term)}

    shared = words(f"采用{one}的设备") & words(f"{other}设备")
    assert shared & words(one) & words(other)


@settings(deadline=None)
@given(st.sampled_from(sorted(default_lexicon().canonical)))
def test_every_synonym_becomes_the_term_of_its_group(word):
    assert SYNONYM_MARK + default_lexicon().canonical[word] in count_terms(word)


@pytest.mark.parametrize(("one", "other"), [("景点", "经典"), ("公式", "攻势"), ("油脂", "邮址"), ("清华", "氢化")])
def test_homophones_share_nothing(one, other):
    assert count_terms(one).keys().isdisjoint(count_terms(other))


def test_a_word_inside_a_compound_is_found():
    assert set(count_terms("测试")) <= set(count_terms("测试工具箱"))


def test_words_apart_need_both_words():
    both = set(count_terms("招商 园区"))
    assert both <= set(count_terms("园区的招商工作"))
    assert not both <= set(count_terms("招商工作"))
    assert not both <= set(count_terms("园区工作"))


def test_ngrams_do_not_cross_a_stop_word():
    assert {term for term in count_terms("泵的铝") if is_ngram(term)} == {f"{NGRAM_MARK}泵", f"{NGRAM_MARK}铝"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("3 dB", "3dB"), ("85 %", "85％"), ("1,000mm", "1000 mm"), ("20 ㎡", "20m2"), ("GC–MS", "gc-ms")],
)
def test_units_are_the_same_however_they_are_written(one, other):
    assert count_terms(one) == count_terms(other)
    assert count_terms(one)


def test_every_stop_word_that_stands_alone_is_dropped_as_a_whole():
    kept = {word: dict(count_terms(word)) for word in default_lexicon().stop_words if count_terms(word)}
    assert kept == {}


def test_a_traditional_text_is_found_by_its_own_places():
    text = "本公司研發諧波減速器及ＰＬＣ"
    places = {occurrence.term: text[occurrence.start : occurrence.end] for occurrence in find_terms(text)}
    assert places[SYNONYM_MARK + default_lexicon().canonical["谐波减速器"]] == "諧波減速器"
    assert places[SYNONYM_MARK + default_lexicon().canonical["plc"]] == "ＰＬＣ"


@pytest.mark.parametrize("word", ["尼龙66", "激光SLAM", "维生素C", "锥形束CT", "双能X射线"])
def test_a_word_of_two_scripts_is_found_in_running_text(word):
    canonical = default_lexicon().canonical.get(fold(word))
    assert (SYNONYM_MARK + canonical if canonical else fold(word)) in count_terms(f"采用{word}的设备")


def test_what_is_remembered_changes_nothing_and_is_bounded(monkeypatch):
    monkeypatch.setattr(terms, "_MAX_KNOWN_PIECES", 5)
    analyzer = Analyzer(default_lexicon())
    long = "x" * 1000
    for text in ("谐波减速器的柔轮在8000小时后齿根开裂", "水泵与电机", long, "水泵与电机", f"{long}水泵"):
        assert analyzer.count_terms(text) == count_terms(text)
        assert len(analyzer._known) <= 5
        assert long not in analyzer._known


def test_threads_may_share_an_analyzer(monkeypatch):
    monkeypatch.setattr(terms, "_MAX_KNOWN_PIECES", 500)  # small, so that the cache is cleared often
    texts = sample.PROFILES.read_text(encoding="utf-8").splitlines()[:40]
    alone = [default_analyzer().find_terms(text) for text in texts]
    analyzer = Analyzer(default_lexicon())
    with ThreadPoolExecutor(4) as pool:
        rounds = [pool.map(analyzer.find_terms, texts) for _ in range(3)]
        assert all(list(occurrences) == alone for occurrences in rounds)


@pytest.mark.parametrize(
    ("text", "term", "place"),
    [
        ("Design of harmonic drives for robots", "≈谐波减速器", "harmonic drives"),
        ("strain-wave gears", "≈谐波减速器", "strain-wave gears"),
        ("Ein Wellgetriebe für Roboter", "≈谐波减速器", "Wellgetriebe"),
        ("ロボット用波動歯車装置の寿命", "≈谐波减速器", "波動歯車装置"),
        ("расчёт волнового редуктора", "≈谐波减速器", "волнового редуктора"),
        ("하모닉 감속기 설계", "≈谐波减速器", "하모닉 감속기"),
    ],
)
def test_a_name_in_another_language_is_the_term_of_its_concept(text, term, place):
    assert (term, place) in [(o.term, text[o.start : o.end]) for o in find_terms(text)]
    assert count_terms(text).keys() >= count_terms("谐波减速器").keys()


@pytest.mark.parametrize(("short", "full"), [("PLC", "可编程逻辑控制器"), ("AI", "人工智能"), ("IoT", "物联网")])
@pytest.mark.parametrize("general", ["改造", "平台", "质检"])
def test_synonyms_are_equals(short, full, general):
    """A name shares more with its other name than with a text of the same general word, either way."""
    for query, other in ((short, full), (full, short)):
        asked = count_terms(query + general)
        with_name, with_word = count_terms(f"{other}选型"), count_terms(f"产线{general}")
        assert len(asked & with_name) > len(asked & with_word)


@pytest.mark.parametrize(
    ("text", "term"),
    [("77ghz radar", "毫米波雷达"), ("A 77GHz radar, 10 mm", "毫米波雷达"), ("24V 77ghz radars", "毫米波雷达")],
)
def test_a_name_that_begins_with_a_quantity_is_kept_beside_the_quantity(text: str, term: str):
    assert count_terms(text).keys() >= count_terms(term).keys()
    assert count_terms(text).keys() >= count_terms("77ghz").keys()
