import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking.worlds import ENCODER, QUERIES, TEXTS, document, own_text, snapshot_of
from strategies import ANY_TEXT

from matching_service.ranking.explain import Explainer, PassageText
from matching_service.ranking.fusion import Weights
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import Filters, rank
from matching_service.text.normalise import fold
from matching_service.text.terms import find_terms, is_ngram

BOTH = Weights("both", {"lexical": 0.8, "semantic": 0.2})
EVERYONE = Filters(candidates=frozenset({"a"}))
few = settings(deadline=None, max_examples=60)


def explain(query, passages, *, language="zh"):
    """Rank one profile with these passages (the first is its own text, the others w0, w1, ...) and explain it."""
    texts = ["\n".join(passage.fields.values()) for passage in passages]
    snapshot = snapshot_of(document("a", texts[0], texts[1:], language=language), document("b", "红烧肉"))
    prepared = prepare(query, ENCODER)
    (ranked,) = rank(prepared, snapshot, top_k=1, filters=EVERYONE, weights=BOTH)
    by_work = {passage.work_id: passage for passage in passages}
    shown = [by_work[work_id] for work_id in ranked.work_ids]
    return ranked, shown, Explainer(prepared, snapshot.sparse).explain(ranked, shown)


def lexical_part(ranked):
    return sum(part.contribution for part in ranked.parts if part.signal == "lexical")


def marked(evidence):
    return [evidence.text[start:end] for start, end in evidence.highlights]


def assert_evidence_is_exact(evidence, passages, query):
    """The text is a slice of what is stored, and every highlight covers words of the query."""
    stored = next(p for p in passages if p.work_id == evidence.work_id).fields[evidence.field]
    assert stored[evidence.start : evidence.start + len(evidence.text)] == evidence.text
    assert len(evidence.text) <= 160
    places = [place for span in evidence.highlights for place in span]
    assert places == sorted(set(places))
    assert all(0 <= place <= len(evidence.text) for place in places)
    wanted = prepare(query, ENCODER).terms
    for start, end in evidence.highlights:
        first, last = evidence.start + start, evidence.start + end
        assert any(o.term in wanted for o in find_terms(stored) if first <= o.start and o.end <= last)


@few
@given(QUERIES, TEXTS, st.lists(TEXTS, max_size=3))
def test_evidence_is_exact(query, own, works):
    passages = [own_text(own), *(PassageText(f"w{n}", {"title": work}, "paper", work) for n, work in enumerate(works))]
    _, shown, explanation = explain(query, passages)
    assert len(explanation.evidence) <= len(shown)
    for evidence in explanation.evidence:
        assert_evidence_is_exact(evidence, shown, query)
        assert evidence.text == evidence.text.strip() != ""


@few
@given(ANY_TEXT, st.lists(ANY_TEXT, min_size=1, max_size=3))
def test_any_text_can_be_explained_and_is_quoted_exactly(title, texts):
    passage = PassageText(None, {f"field{n}": text for n, text in enumerate(texts)})
    _, shown, explanation = explain(Query(title), [passage])
    for evidence in explanation.evidence:
        assert_evidence_is_exact(evidence, shown, Query(title))


@few
@given(QUERIES, TEXTS, st.sampled_from(["zh", "en"]))
def test_terms_are_shared_words_and_share_no_more_than_the_lexical_part(query, own, language):
    ranked, _, explanation = explain(query, [own_text(own)], language=language)
    shares = [term.contribution for term in explanation.terms]
    assert shares == sorted(shares, reverse=True)
    assert all(share > 0 for share in shares)
    assert sum(shares) <= lexical_part(ranked) + 1e-6
    words = {o.term for text in (query.text, own) for o in find_terms(text) if not is_ngram(o.term)}
    words |= {
        fold(text[o.start : o.end]) for text in (query.text, own) for o in find_terms(text) if not is_ngram(o.term)
    }
    assert {fold(term.term) for term in explanation.terms} <= words
    assert all(fold(term.term) in fold(query.text) for term in explanation.terms)


@few
@given(QUERIES, TEXTS, st.sampled_from(["zh", "en"]))
def test_where_words_carried_nothing_none_is_named(query, own, language):
    ranked, _, explanation = explain(query, [own_text(own)], language=language)
    assume(lexical_part(ranked) == 0)
    assert explanation.terms == ()
    assert all(evidence.highlights == () for evidence in explanation.evidence)
    assert "『" not in explanation.reason.zh
    found_anything = ranked.score > 0
    assert ("含义相近" if found_anything else "没有发现") in explanation.reason.zh
    assert ("in other words" if found_anything else "Nothing was found") in explanation.reason.en


@few
@given(QUERIES, TEXTS)
def test_the_reason_quotes_the_first_terms(query, own):
    _, _, explanation = explain(query, [own_text(own)])
    for term in explanation.terms[:3]:
        assert f"『{term.term}』" in explanation.reason.zh
        assert f"“{term.term}”" in explanation.reason.en
    assert explanation.reason.zh.count("『") == min(3, len(explanation.terms))


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("谐波减速器", "本团队研究谐波减速器多年。", ["谐波减速器"]),
        ("谐波减速器", "本團隊研究諧波減速器多年。", ["諧波減速器"]),
        ("可编程控制器", "熟悉ＰＬＣ与变频器。", ["ＰＬＣ"]),
        ("PLC", "熟悉可编程控制器。", ["可编程控制器"]),
        ("增益3dB", "噪声降低 3 dB 以上。", ["3 dB"]),
        ("行程1000mm", "最大 1,000 mm 行程。", ["1,000 mm", "行程"]),
        ("测试", "开发测试工具箱。", ["测试"]),
        ("铝", "再生铝的铝。", ["铝"]),
        ("水泵 铝", "铝与水泵。", ["铝", "水泵"]),
    ],
)
def test_highlights_are_right_in_the_text_as_it_was_written(query, text, expected):
    _, _, explanation = explain(Query(query), [own_text(text)])
    (evidence,) = explanation.evidence
    assert evidence.text == text
    assert marked(evidence) == expected


def test_terms_are_written_as_the_query_writes_them():
    _, _, explanation = explain(Query("諧波減速器與ＰＬＣ"), [own_text("谐波减速器，可编程控制器")])
    assert {term.term for term in explanation.terms} == {"諧波減速器", "ＰＬＣ"}


def test_pieces_are_credited_to_the_word_that_holds_them():
    ranked, _, explanation = explain(Query("谐波减速器"), [own_text("谐波减速器")])
    assert [term.term for term in explanation.terms] == ["谐波减速器"]
    assert explanation.terms[0].contribution == pytest.approx(lexical_part(ranked))


@pytest.mark.parametrize("text", ["短波减震", "波减", "水离子波减"])
def test_a_stray_bigram_is_no_term(text):
    ranked, _, explanation = explain(Query("谐波减速器"), [own_text(text)])
    assert lexical_part(ranked) > 0
    assert explanation.terms == ()


def test_at_most_eight_terms_are_shown():
    words = "谐波减速器，水泵，机器视觉，缺陷检测，柔轮，可编程控制器，铝合金，锂电池，热失控，伺服电机"
    _, _, explanation = explain(Query(words), [own_text(words)])
    assert len(explanation.terms) == 8


def test_the_sentence_with_the_most_of_the_query_is_shown():
    text = "长期从事机械研究。谐波减速器柔轮的疲劳寿命预测！水泵也做过；"
    _, _, explanation = explain(Query("谐波减速器柔轮寿命"), [own_text(text)])
    (evidence,) = explanation.evidence
    assert (evidence.start, evidence.text) == (9, "谐波减速器柔轮的疲劳寿命预测！")


def test_the_field_that_says_it_is_named():
    passage = PassageText("w0", {"title": "年度报告", "abstract": "谐波减速器"}, "paper", "年度报告", 2024)
    _, _, explanation = explain(Query("谐波减速器"), [own_text("机械"), passage])
    assert [(evidence.work_id, evidence.field) for evidence in explanation.evidence] == [("w0", "abstract")]
    assert "论文《年度报告》(2024)" in explanation.reason.zh
    assert "paper “年度报告” (2024)" in explanation.reason.en


@pytest.mark.parametrize(
    ("kind", "zh", "en"),
    [
        ("patent", "专利", "patent"),
        ("project", "项目", "project"),
        ("standard", "标准", "standard"),
        ("x", "成果", "work"),
    ],
)
def test_the_reason_names_the_kind_of_work(kind, zh, en):
    passage = PassageText("w0", {"title": "水泵叶轮"}, kind, "水泵叶轮")
    _, _, explanation = explain(Query("水泵叶轮"), [own_text("机械"), passage])
    assert f"其{zh}《水泵叶轮》。" in explanation.reason.zh
    assert f"the {en} “水泵叶轮”." in explanation.reason.en


@pytest.mark.parametrize("place", [0, 1, 20, 100, 400])
def test_a_long_sentence_is_cut_around_the_first_highlight(place):
    text = "本" * place + "谐波减速器" + "，从事相关的各种工作" * 40
    _, _, explanation = explain(Query("谐波减速器"), [own_text(text)])
    (evidence,) = explanation.evidence
    assert len(evidence.text) <= 160
    assert text[evidence.start : evidence.start + len(evidence.text)] == evidence.text
    assert marked(evidence)[0] == "谐波减速器"


def test_where_no_word_is_shared_the_opening_is_shown():
    text = "Harmonic drive design. 20 years; other things"
    ranked, _, explanation = explain(Query("谐波减速器"), [own_text(text)], language="en")
    assert [part.signal for part in ranked.parts] == ["semantic"]
    (evidence,) = explanation.evidence
    assert (evidence.start, evidence.text, evidence.highlights) == (0, "Harmonic drive design. 20 years;", ())
    assert explanation.terms == ()


@pytest.mark.parametrize("fields", [{}, {"summary": ""}, {"summary": " \n \t"}])
def test_a_passage_without_a_text_has_no_evidence(fields):
    _, _, explanation = explain(Query("谐波减速器"), [PassageText(None, fields)])
    assert explanation.evidence == ()
    assert explanation.terms == ()


def test_without_passages_the_record_itself_is_named():
    prepared = prepare(Query("水泵"), ENCODER)
    snapshot = snapshot_of(document("a", "水泵"))
    (ranked,) = rank(prepared, snapshot, top_k=1)
    explanation = Explainer(prepared, snapshot.sparse).explain(ranked, [])
    assert (explanation.terms, explanation.evidence) == ((), ())
    assert explanation.reason.zh
    assert explanation.reason.en
