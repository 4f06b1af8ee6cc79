import json
import random
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking.worlds import BOTH, ENCODER, QUERIES, TEXTS, TODAY, YEARS, document, own_text, snapshot_of
from strategies import ANY_TEXT

from matching_service import sample
from matching_service.index.filters import Filters
from matching_service.ranking.explain import Explainer, MustHave, PassageText
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank
from matching_service.ranking.structured import Circumstances
from matching_service.shortlists.schemas import ExplanationAnswer, explanation_body
from matching_service.text.normalise import fold
from matching_service.text.terms import find_terms, is_ngram

EVERYONE = Filters(candidates=frozenset({"a"}))
NOW = Circumstances(TODAY)
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
few = settings(deadline=None, max_examples=60)
ELASTIC = "Reducer with an elastic wheel"
"""It means 谐波减速器 in this world, and is no name of it."""


def explain(query, passages, *, language=None):
    """Rank one profile with these passages (the first is its own text, the others w0, w1, ...) and explain it."""
    texts = ["\n".join(passage.fields.values()) for passage in passages]
    snapshot = snapshot_of(document("a", texts[0], texts[1:], language=language), document("b", "红烧肉"))
    prepared = prepare(query, ENCODER)
    (ranked,) = rank(prepared, snapshot, top_k=1, filters=EVERYONE, weights=BOTH, circumstances=NOW)
    by_work = {passage.work_id: passage for passage in passages}
    shown = [by_work[work_id] for work_id in ranked.quoted_work_ids]
    return ranked, shown, Explainer(prepared, snapshot.frequencies).explain(ranked, shown)


def lexical_part(ranked):
    return sum(part.contribution for part in ranked.parts if part.signal == "lexical")


def marked(evidence):
    return [evidence.text[start:end] for start, end in evidence.highlights]


def words_of(text):
    """The words of a text, as it writes them, folded, and as the terms they stand for."""
    found = [o for o in find_terms(text) if not is_ngram(o.term)]
    return {o.term for o in found} | {fold(text[o.start : o.end]) for o in found}


def assert_evidence_is_exact(evidence, passages, prepared):
    """The text is a slice of what is stored, and every highlight covers words of the query."""
    source = next(p for p in passages if p.work_id == evidence.work_id)
    stored = source.fields[evidence.field]
    assert stored[evidence.start : evidence.start + len(evidence.text)] == evidence.text
    assert evidence.text == evidence.text.strip() != ""
    assert len(evidence.text) <= 160
    assert evidence.work_title == (None if evidence.work_id is None else source.title)
    assert evidence.year == source.year
    places = [place for span in evidence.highlights for place in span]
    assert places == sorted(set(places))
    assert all(0 <= place <= len(evidence.text) for place in places)
    if evidence.highlights:
        shared = [o for o in find_terms(stored) if o.term in prepared.terms]
        for start, end in evidence.highlights:
            first, last = evidence.start + start, evidence.start + end
            inside = [o for o in shared if first <= o.start and o.end <= last]
            assert first == min(o.start for o in inside)
            assert last == max(o.end for o in inside)


def assert_is_sound(prepared, ranked, passages, explanation):
    """What holds for every explanation, whatever the texts."""
    assert len(explanation.terms) <= 8
    assert len(explanation.evidence) <= 3
    assert len({(e.work_id, e.field, e.start) for e in explanation.evidence}) == len(explanation.evidence)
    for evidence in explanation.evidence:
        assert_evidence_is_exact(evidence, passages, prepared)
    shares = [term.contribution for term in explanation.terms]
    assert shares == sorted(shares, reverse=True)
    assert all(share > 0 for share in shares)
    assert sum(shares) <= lexical_part(ranked) + 1e-9
    names = [term.term for term in explanation.terms]
    assert len(names) == len(set(names))
    words = words_of(prepared.query.text)
    for name in names:
        assert name in prepared.query.text
        assert len(fold(name)) > 1 or fold(name) in words
    assert explanation.reason.zh.endswith("。")
    assert explanation.reason.en.endswith(".")
    for name in sorted(names, key=lambda name: len(name) < 2)[:3]:
        assert f"『{name}』" in explanation.reason.zh
        assert f"“{name}”" in explanation.reason.en
    if ranked.score > 0:
        for topic in ranked.missing_must_have:
            assert f"『{topic}』" in explanation.reason.zh
            assert f"“{topic}”" in explanation.reason.en
        if not names:
            assert "含义相近" in explanation.reason.zh
            assert "in other words" in explanation.reason.en
    for finding, must_have in zip(ranked.must_have, explanation.must_have, strict=True):
        assert (must_have.topic, must_have.state) == (finding.topic.name, finding.state)
        if finding.state == "not_met" or not finding.topic.alternatives:
            assert must_have.evidence is None
        else:
            evidence = must_have.evidence
            assert evidence.work_id == finding.work_id
            stored = next(p for p in passages if p.work_id == evidence.work_id).fields[evidence.field]
            assert stored[evidence.start : evidence.start + len(evidence.text)] == evidence.text
            assert bool(evidence.highlights) == (finding.state == "met")
    if lexical_part(ranked) == 0:
        assert names == []
        assert all(evidence.highlights == () for evidence in explanation.evidence)


@few
@given(QUERIES, TEXTS, st.lists(st.tuples(TEXTS, YEARS), max_size=3), st.sampled_from([None, "zh", "en"]))
def test_every_explanation_is_sound(query, own, works, language):
    passages = [
        own_text(own),
        *(PassageText(f"w{n}", {"title": work}, "paper", work, year) for n, (work, year) in enumerate(works)),
    ]
    ranked, shown, explanation = explain(query, passages, language=language)
    assert_is_sound(prepare(query, ENCODER), ranked, shown, explanation)


@few
@given(ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, min_size=1, max_size=3))
def test_any_text_can_be_explained(title, topic, texts):
    passage = PassageText(None, {f"field{n}": text for n, text in enumerate(texts)})
    query = Query(title, must_have=(topic,), nice_to_have=(topic,))
    ranked, shown, explanation = explain(query, [passage])
    assert_is_sound(prepare(query, ENCODER), ranked, shown, explanation)


@few
@given(QUERIES, TEXTS, st.sampled_from(["zh", "en"]))
def test_terms_are_words_of_the_one_text_in_the_other(query, own, language):
    _, _, explanation = explain(query, [own_text(own)], language=language)
    assert {fold(term.term) for term in explanation.terms} <= words_of(query.text) | words_of(own)


@few
@given(QUERIES, TEXTS, st.sampled_from(["zh", "en"]))
def test_where_words_carried_nothing_none_is_named(query, own, language):
    ranked, _, explanation = explain(query, [own_text(own)], language=language)
    assume(lexical_part(ranked) == 0)
    assert explanation.terms == ()
    assert all(evidence.highlights == () for evidence in explanation.evidence)
    assert "相符，依据" not in explanation.reason.zh
    found_anything = ranked.score > 0
    assert ("含义相近" if found_anything else "没有发现") in explanation.reason.zh
    assert ("in other words" if found_anything else "Nothing was found") in explanation.reason.en


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
        ("铝", "再生铝的铝。", ["铝", "铝"]),
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


@pytest.mark.parametrize(
    ("query", "text", "term"),
    [
        ("諧波減速器", "谐波减速器", "諧波減速器"),
        ("ＰＬＣ", "plc控制", "ＰＬＣ"),
        ("Plc", "可编程控制器", "Plc"),
        ("１，０００ｍｍ行程", "1米", "１，０００ｍｍ"),
        ("打印機頭", "打印机", "打印機"),
        ("發動機械", "动机", "動機"),  # the text cuts a word out of the query that the query does not
    ],
)
def test_a_term_is_spelled_as_the_query_spells_it(query, text, term):
    _, _, explanation = explain(Query(query), [own_text(text)])
    assert [shown.term for shown in explanation.terms] == [term]
    assert f"『{term}』" in explanation.reason.zh


def test_a_single_character_is_a_term_only_where_the_query_has_that_word():
    for query, expected in (("铝", ["铝"]), ("铝板带", [])):
        _, _, explanation = explain(Query(query), [own_text("铝的回收")])
        assert [term.term for term in explanation.terms] == expected


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


def test_at_most_three_sentences_are_shown_and_the_best_of_each_work_first():
    works = [PassageText(f"w{n}", {"title": "谐波减速器柔轮"}, "paper", "谐波减速器柔轮", 2020 + n) for n in range(4)]
    own = own_text("谐波减速器柔轮。谐波减速器的柔轮！柔轮谐波减速器；机械。")
    ranked, _, explanation = explain(Query("谐波减速器柔轮"), [own, *works])
    assert [evidence.work_id for evidence in explanation.evidence] == list(ranked.work_ids)
    assert len(explanation.evidence) == 3
    _, _, explanation = explain(Query("谐波减速器柔轮"), [own])
    assert len(explanation.evidence) == 3
    assert all("柔轮" in evidence.text for evidence in explanation.evidence)


def test_a_second_sentence_is_shown_only_when_it_says_half_as_much():
    _, _, explanation = explain(
        Query("谐波减速器柔轮疲劳寿命"), [own_text("谐波减速器柔轮疲劳寿命。柔性的方案。寿命。")]
    )
    assert [evidence.text for evidence in explanation.evidence] == ["谐波减速器柔轮疲劳寿命。"]


def test_evidence_names_the_work_and_its_year_and_the_own_text_not():
    work = PassageText("w0", {"title": "柔轮设计", "abstract": "谐波减速器柔轮"}, "paper", "柔轮设计", 2024)
    _, _, explanation = explain(Query("谐波减速器柔轮"), [own_text("谐波减速器柔轮"), work])
    named = {evidence.work_id: (evidence.work_title, evidence.year) for evidence in explanation.evidence}
    assert named == {None: (None, None), "w0": ("柔轮设计", 2024)}


def test_a_missing_must_have_is_named_in_both_languages():
    _, _, explanation = explain(Query("水泵", must_have=("柔轮", "铝")), [own_text("红烧肉里没有水泵")])
    assert "未见必备条件『柔轮』『铝』的依据" in explanation.reason.zh
    assert "no evidence for the must-have “柔轮”, “铝”" in explanation.reason.en
    assert explanation.must_have == (MustHave("柔轮", "not_met", None), MustHave("铝", "not_met", None))


def test_one_that_is_not_verified_is_named_in_both_languages():
    _, _, explanation = explain(Query("水泵", must_have=("铝水泵",)), [own_text("水泵。")])
    assert explanation.missing_must_have == ()
    assert "必备条件『铝水泵』含义相近，未能核实" in explanation.reason.zh
    assert "not verified: the must-have “铝水泵”" in explanation.reason.en


def test_each_must_have_shows_the_sentence_of_its_passage():
    works = [
        PassageText(
            "w0", {"title": "铝的回收", "abstract": "先说别的。再说諧波減速器与水泵。"}, "paper", "铝的回收", 2020
        ),
        PassageText("w1", {"title": ELASTIC}, "paper", ELASTIC, 2021),
    ]
    query = Query("谐波减速器", must_have=("谐波减速器", "泵", "减速器结构", "机器视觉", "！"))
    _, _, explanation = explain(query, [own_text("红烧肉"), *works])
    found = {finding.topic: finding for finding in explanation.must_have}
    assert {topic: finding.state for topic, finding in found.items()} == {
        "谐波减速器": "met", "泵": "met", "减速器结构": "not_verified", "机器视觉": "not_met", "！": "met",
    }  # fmt: skip
    for topic, words in (("谐波减速器", ["諧波減速器"]), ("泵", ["泵"])):
        evidence = found[topic].evidence
        assert (evidence.work_id, evidence.field, evidence.text) == ("w0", "abstract", "再说諧波減速器与水泵。")
        assert marked(evidence) == words
    near = found["减速器结构"].evidence
    assert (near.work_id, near.text, near.highlights) == ("w1", ELASTIC, ())
    assert found["！"].evidence is None


def test_what_only_means_something_close_says_so_and_quotes():
    query = Query("谐波减速器", must_have=("铝",))
    ranked, _, explanation = explain(query, [own_text("Gear unit design. Other things.")])
    assert lexical_part(ranked) == 0
    assert explanation.terms == ()
    assert "与需求用词不同而含义相近" in explanation.reason.zh
    assert "Says it in other words but means something close" in explanation.reason.en
    assert "Gear unit" in explanation.reason.zh
    assert "Gear unit" in explanation.reason.en


def test_where_meaning_brings_more_than_a_shared_word_both_are_said():
    ranked, _, explanation = explain(
        Query("谐波减速器，谐波减速器", problem="谐波减速器", key_technology="XG7"),
        [own_text(f"{ELASTIC} and XG7 of the machine")],
    )
    assert 0 < lexical_part(ranked) < ranked.score / 2
    assert [term.term for term in explanation.terms] == ["XG7"]
    assert "含义相近，并同样写到『XG7』" in explanation.reason.zh
    assert "Means something close to the demand and shares “XG7”" in explanation.reason.en
    assert [marked(evidence) for evidence in explanation.evidence] == [["XG7"]]


def test_a_must_have_of_several_words_shows_the_sentence_that_has_them_all():
    query = Query("水泵", must_have=("招商 园区",))
    _, _, explanation = explain(query, [own_text("园区里的事。水泵。园区的招商很好。")])
    evidence = explanation.must_have[0].evidence
    assert evidence.text == "园区的招商很好。"
    assert marked(evidence) == ["园区", "招商"]


def test_where_no_word_is_shared_the_opening_is_shown():
    text = "Gear unit design. 20 years; other things"
    ranked, _, explanation = explain(Query("谐波减速器"), [own_text(text)], language="en")
    assert [part.signal for part in ranked.parts] == ["semantic"]
    (evidence,) = explanation.evidence
    assert (evidence.start, evidence.text, evidence.highlights) == (0, "Gear unit design. 20 years;", ())
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
    explanation = Explainer(prepared, snapshot.frequencies).explain(ranked, [])
    assert (explanation.terms, explanation.evidence) == ((), ())
    assert explanation.reason.zh
    assert explanation.reason.en


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sample_city():
    """Queries and profiles, each a list of passages, of the invented city."""
    demands = [
        Query(
            row["title"],
            problem=row.get("problem") or "",
            key_technology=row.get("key_technology") or "",
            expected_goal=row.get("expected_goal") or "",
            keywords=tuple(row.get("keywords", ())),
            must_have=tuple(row.get("must_have", ())),
            nice_to_have=tuple(row.get("nice_to_have", ())),
        )
        for row in lines(sample.DEMANDS)
    ]
    profiles = [
        [
            PassageText(None, {"summary": row.get("summary") or "", "keywords": "；".join(row.get("keywords", ()))}),
            *(
                PassageText(
                    work["external_id"],
                    {"title": work["title"], "abstract": work.get("abstract") or ""},
                    work["kind"],
                    work["title"],
                    work.get("year"),
                )
                for work in row.get("works", ())
            ),
        ]
        for row in lines(sample.PROFILES)
    ]
    return demands, profiles


def real_texts():
    """Queries and profiles of one passage each, from real demands, achievements and papers."""
    demands = [Query(row["title"], problem=row["content"]) for row in lines(SHARED / "demands.jsonl")]
    titles = ["".join(row["title_words"]) for row in lines(SHARED / "achievements.jsonl")]
    profiles = [[PassageText("w0", {"title": title}, "achievement", title)] for title in titles]
    papers = lines(SHARED / "papers.jsonl")
    papers = [
        [PassageText("w0", {"title": row["title"], "abstract": row["abstract"] or ""}, "paper", row["title"], 2020)]
        for row in papers
    ]
    return demands, drawn(profiles, 300) + drawn(papers, 200)


def drawn(things, n):
    return random.Random(20250601).sample(things, min(n, len(things)))


@pytest.mark.parametrize("texts", [sample_city, real_texts], ids=["sample city", "real texts"])
def test_every_explanation_of_texts_that_people_wrote_is_sound(texts):
    if texts is real_texts and not SHARED.exists():
        pytest.skip(f"no real texts at {SHARED}")
    demands, profiles = texts()
    documents, passages_of = [], {}
    for number, passages in enumerate(profiles):
        profile_id = f"p{number:04}"
        own, *works = passages if passages[0].work_id is None else [own_text(""), *passages]
        joined = [" \n".join(passage.fields.values()) for passage in (own, *works)]
        documents.append(document(profile_id, joined[0], joined[1:]))
        by_work = {None: own} | {f"w{n}": work for n, work in enumerate(works)}
        passages_of[profile_id] = {
            work_id: PassageText(work_id, passage.fields, passage.kind, passage.title, passage.year)
            for work_id, passage in by_work.items()
        }
    snapshot = snapshot_of(*documents)
    n_with_terms = 0
    for query in drawn(demands, 25):
        prepared = prepare(query, ENCODER)
        explainer = Explainer(prepared, snapshot.frequencies)
        for ranked in rank(prepared, snapshot, top_k=10, circumstances=NOW):
            shown = [passages_of[ranked.profile_id][work_id] for work_id in ranked.quoted_work_ids]
            explanation = explainer.explain(ranked, shown)
            assert_is_sound(prepared, ranked, shown, explanation)
            n_with_terms += bool(explanation.terms)
    assert n_with_terms > 100


@few
@given(QUERIES, st.lists(TEXTS, min_size=1, max_size=3))
def test_what_is_stored_is_the_whole_answer(query, texts):
    passages = [own_text(texts[0]), *(PassageText(f"w{n}", {"title": text}) for n, text in enumerate(texts[1:]))]
    _, _, found = explain(query, passages)
    stored = json.loads(json.dumps(explanation_body(found)))
    answer = ExplanationAnswer.model_validate(stored).model_dump(mode="json")
    for evidence in [*answer["evidence"], *(finding["evidence"] or {} for finding in answer["must_have"])]:
        evidence.pop("highlights_utf16", None)  # computed from the rest
    assert answer == stored
