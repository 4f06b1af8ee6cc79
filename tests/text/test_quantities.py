import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.text.normalise import fold, fold_with_spans
from matching_service.text.quantities import find_quantities
from matching_service.text.terms import count_terms, find_terms


def terms(text):
    return [quantity.term for quantity in find_quantities(fold(text))]


@pytest.mark.parametrize(
    "spellings",
    [
        ("1000mm", "1m", "1米", "100cm", "1,000 mm", "１０００ｍｍ", "100厘米", "0.001km", "1000毫米"),
        ("3 dB(A)", "3dBA", "3dB（A）"),
        ("≥85％", "85%", "85 %", "850‰"),
        ("0.2GPa", "200MPa", "200兆帕", "2000bar"),
        ("450μm", "450um", "450 µm", "0.45mm", "450微米"),
        ("35℃", "35°C", "35摄氏度"),
        ("120 r/min", "120rpm", "120转/分"),
        ("30min", "30分钟", "0.5小时", "1800000ms"),
        ("2吨", "2000kg", "2000公斤", "2000千克"),
        ("1.5kW", "1500W", "1.5千瓦"),
    ],
    ids=lambda spellings: spellings[0],
)
def test_equal_quantities_are_one_term(spellings):
    by_spelling = {spelling: terms(spelling) for spelling in spellings}
    assert len(by_spelling[spellings[0]]) == 1
    assert set(map(tuple, by_spelling.values())) == {tuple(by_spelling[spellings[0]])}
    assert all(count_terms(spelling)[by_spelling[spelling][0]] == 1 for spelling in spellings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3dB", "3dB(A)"),
        ("1mm", "1m"),
        ("5MW", "5W"),
        ("85%", "85℃"),
        ("10kV", "10V"),
        ("1Ah", "1kWh"),
        ("0.45mm", "0.5mm"),
    ],
)
def test_different_quantities_stay_apart(one, other):
    assert len(terms(one)) == len(terms(other)) == 1
    assert terms(one) != terms(other)


@pytest.mark.parametrize(
    "text",
    [
        "5G",
        "5G通信",
        "10米线",
        "10米饭",
        "3D打印",
        "6061-T6",
        "20㎡",
        "20m2",
        "Φ",
        "12",
        "mm",
        "米",
        "x3m",
        "3mmx",
        "1.2.3m",
        "3 grams",
        "50万元",
        "",
    ],
)
def test_what_only_looks_like_a_quantity_is_none(text):
    assert terms(text) == []


@pytest.mark.parametrize("text", ["工业4.0升级改造", "2.0升级版", "4升降平台", "5瓦楞纸板", "10千瓦时储能"])
def test_a_unit_that_is_the_beginning_of_a_word_is_none(text):
    assert [term for term in terms(text) if term.endswith(("l", "w"))] == []


@pytest.mark.parametrize("text", ["厚度0.45mm（公差5%）", "厚度0.45mm(max)"])
def test_a_remark_in_brackets_hides_no_quantity(text):
    assert terms(text)[:1] == terms("0.45mm")


def test_a_text_gives_its_quantities_from_left_to_right():
    text = "行程1000mm，噪声≤65dB(A)，效率85%以上，10-20mm"
    assert terms(text) == ["=1m", "=65db(a)", "=85%", "=0.01m", "=0.02m"]


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        ANY_TEXT,
        st.lists(
            st.sampled_from(
                ["1,000", "0.45", "3", " ", "mm", "毫米", "dB(A)", "%", "％", "℃", "µm", "泵", "\u200b", "(", "G"]
            )
        ).map("".join),
    )
)
@example("行程 1,000 mm，3\u200bdB(A)")
def test_a_quantity_stands_where_it_was_found(text):
    folded = fold_with_spans(text)
    ends = [0]
    for quantity in find_quantities(folded.text):
        assert ends[-1] <= quantity.start < quantity.end <= len(folded.text)
        ends.append(quantity.end)
        start, end = folded.original_span(quantity.start, quantity.end)
        assert 0 <= start < end <= len(text)
        assert terms(text[start:end]) == [quantity.term] or text[start:end].strip(" \u200b")[-1].isdigit()  # of a range
        assert quantity.term.startswith("=")


@settings(deadline=None)
@given(
    st.integers(1, 9999),
    st.sampled_from([("mm", "米", 1000), ("mg", "千克", 1_000_000), ("kPa", "Pa", 0.001), ("ms", "分钟", 60_000)]),
)
def test_the_unit_does_not_matter(number, units):
    small, large, factor = units
    assert terms(f"{number}{small}") == terms(f"{number / factor:.12f}".rstrip("0").rstrip(".") + large)


def test_a_quantity_is_found_as_it_was_written_and_its_pieces_are_no_terms():
    text = "行程 1,000 mm 以上"
    (quantity,) = [o for o in find_terms(text) if o.term.startswith("=")]
    assert text[quantity.start : quantity.end] == "1,000 mm"
    assert {"mm", "1000mm", "1000"}.isdisjoint(count_terms(text))
