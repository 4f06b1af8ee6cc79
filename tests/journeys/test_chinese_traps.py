"""Where searching in Chinese goes wrong elsewhere: asked over HTTP, answered by the running service."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import create, match, profile_ids

INTRODUCTION = (
    "佛山市某精密传动有限公司成立于2003年，注册资本5000万元，是一家专业从事家电配件的高新技术企业，"
    "拥有员工300余人。公司产品远销欧美，年销售额超过2亿元。"
)


def _texts(http: httpx.Client, source: str, *texts: str) -> dict[str, str]:
    """A profile per text, which is its summary: the texts by id."""
    return {create(http, "profiles", source=source, clusters=[source], summary=text)["id"]: text for text in texts}


def _ask(http: httpx.Client, texts: Mapping[str, str], query: str | dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The items of all these profiles by their text, best first."""
    question = {"title": query} if isinstance(query, str) else query
    items = match(http, query=question, candidates=list(texts))["items"]
    assert len(items) == len(texts)
    return {texts[item["profile"]["id"]]: item for item in items}


def _words(item: dict[str, Any]) -> float:
    """How far the words fit, in [0, 1]; 0 where they said nothing."""
    values = {part["signal"]: part["value"] for part in item["explanation"]["parts"]}
    return float(values.get("lexical", 0.0))


def _terms(item: dict[str, Any]) -> list[str]:
    return [term["term"] for term in item["explanation"]["terms"]]


def _highlighted(item: dict[str, Any]) -> list[str]:
    """What is highlighted in the evidence, which all stands in the summary."""
    return [e["text"][start:end] for e in item["explanation"]["evidence"] for start, end in e["highlights"]]


@pytest.mark.parametrize(
    ("query", "both", "first_alone", "second_alone"),
    [
        ("招商 公司", "这家公司负责招商", "这家园区负责招商", "这家公司负责采购"),
        ("轴承 润滑", "风电轴承的润滑方案", "风电轴承的选型方案", "风电齿轮的润滑方案"),
        ("激光　焊接", "铜排的激光与焊接", "铜排的激光与切割", "铜排的电弧与焊接"),
    ],
)
def test_texts_with_both_words_come_before_texts_with_one(
    server: Server, source: str, *, query: str, both: str, first_alone: str, second_alone: str
) -> None:
    with server.client() as http:
        texts = _texts(http, source, second_alone, first_alone, both, "草鱼与饲料")
        found = _ask(http, texts, query)
        listed = profile_ids(match(http, query={"title": query}, clusters=[source]))
    assert next(iter(found)) == both
    assert list(found)[-1] == "草鱼与饲料"
    assert _words(found[both]) > max(_words(found[first_alone]), _words(found[second_alone]))
    assert _words(found[first_alone]) > 0
    assert _words(found["草鱼与饲料"]) == 0
    assert texts[listed[0]] == both
    assert first_alone in [texts[profile_id] for profile_id in listed]


@pytest.mark.parametrize(
    ("query", "text", "shared"),
    [("测试", "测试工具箱", "测试"), ("测试工具箱", "测试", "测试"), ("工具箱", "测试工具箱", "工具箱")],
)
def test_a_word_inside_a_compound_is_found_and_shown(
    server: Server, source: str, query: str, text: str, shared: str
) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, text, "草鱼养殖"), query)
    item = found[text]
    assert next(iter(found)) == text
    assert item["level"] != "none"
    assert shared in _terms(item)
    assert _highlighted(item) == [shared]
    assert f"『{shared}』" in item["explanation"]["reason"]["zh"]


@pytest.mark.parametrize(
    ("query", "homophone"), [("景点", "经典"), ("经典", "景点"), ("行驶", "形式"), ("权利", "全力"), ("视觉", "试掘")]
)
def test_a_homophone_does_not_match(server: Server, source: str, query: str, homophone: str) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, homophone, f"{query}的设计"), query)
    item = found[homophone]
    assert list(found)[-1] == homophone
    assert _words(item) == 0
    assert _terms(item) == []
    assert _highlighted(item) == []
    assert f"『{query}』" not in item["explanation"]["reason"]["zh"]


@pytest.mark.parametrize(
    ("query", "text", "other", "named"),
    [
        ("可编程控制器的调试", "从事PLC的现场维护", "从事液压缸的现场维护", "可编程控制器"),
        ("采用PLC的装置", "从事可编程控制器的现场维护", "从事液压缸的现场维护", "PLC"),
        ("PLC装置", "从事可编程逻辑控制器的现场维护", "从事液压缸的现场维护", "PLC"),
        ("液压缸密封", "油缸的密封", "机架的密封", "液压缸"),
        ("油缸密封", "液压缸的密封", "机架的密封", "油缸"),
        ("磷酸铁锂正极材料", "LiFePO4的包覆改性", "LiCoO2的包覆改性", "磷酸铁锂"),
        ("LiFePO4正极材料", "磷酸铁锂的包覆改性", "钴酸锂的包覆改性", "LiFePO4"),
    ],
)
def test_synonyms_work_both_ways_and_are_named_as_the_query_writes_them(
    server: Server, source: str, *, query: str, text: str, other: str, named: str
) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, other, text), query)
    item = found[text]
    assert list(found) == [text, other]
    assert _words(item) > _words(found[other])
    assert named in _terms(item)
    assert named not in _terms(found[other])
    assert any(shown in text and shown not in other for shown in _highlighted(item))


@pytest.mark.parametrize(
    ("query", "text"),
    [("PLC", "从事PLC编程"), ("PLC", "可编程控制器"), ("MES", "MES系统"), ("LiFePO4", "LiFePO4正极")],
)
def test_an_abbreviation_as_the_whole_title_is_shown_where_it_stands(
    server: Server, source: str, query: str, text: str
) -> None:
    with server.client() as http:
        item = _ask(http, _texts(http, source, text), query)[text]
    assert _words(item) > 0
    assert query in _terms(item)
    assert _highlighted(item)


def test_an_abbreviation_as_the_whole_title_finds_its_synonym_before_another_abbreviation(
    server: Server, source: str
) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, "HPLC检测", "制造执行系统"), "MES")
    assert list(found) == ["制造执行系统", "HPLC检测"]


@pytest.mark.parametrize("character", ["泵", "水", "铝"])
def test_a_word_of_one_character_is_found_named_and_shown(server: Server, source: str, character: str) -> None:
    texts = {"泵": "泵的选型", "水": "水的净化", "铝": "铝的熔炼"}
    with server.client() as http:
        found = _ask(http, _texts(http, source, *texts.values()), character)
    item = found[texts[character]]
    assert next(iter(found)) == texts[character]
    assert item["level"] != "none"
    assert _terms(item) == [character]
    assert _highlighted(item) == [character]
    assert all(_words(other) == 0 for text, other in found.items() if text != texts[character])


@pytest.mark.parametrize(("character", "compound"), [("泵", "水泵"), ("水", "污水处理"), ("铝", "铝合金压铸")])
def test_a_word_of_one_character_is_found_in_a_compound(
    server: Server, source: str, character: str, compound: str
) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, compound, "茶叶种植"), character)
    assert next(iter(found)) == compound
    assert found[compound]["level"] != "none"
    assert _words(found[compound]) > 0
    assert _words(found["茶叶种植"]) == 0


@pytest.mark.parametrize(("character", "compound"), [("泵", "水泵"), ("水", "污水处理"), ("铝", "铝合金压铸")])
def test_a_word_of_one_character_is_named_where_it_stands_in_a_compound(
    server: Server, source: str, character: str, compound: str
) -> None:
    with server.client() as http:
        item = _ask(http, _texts(http, source, compound), character)[compound]
    assert _terms(item)
    assert _highlighted(item)
    assert "用词不同" not in item["explanation"]["reason"]["zh"]


@pytest.mark.parametrize(("character", "compound"), [("泵", "水泵"), ("水", "污水"), ("铝", "铝合金")])
def test_a_must_have_of_one_character_is_met_by_itself_and_in_a_compound(
    server: Server, source: str, character: str, compound: str
) -> None:
    alone, inside, without = (f"大型{name}的维护" for name in (character, compound, "风机"))
    query = {"title": "大型设备的维护", "must_have": [character]}
    with server.client() as http:
        found = _ask(http, _texts(http, source, without, inside, alone), query)
    missing = {text: item["explanation"]["missing_must_have"] for text, item in found.items()}
    assert missing == {alone: [], inside: [], without: [character]}
    assert list(found)[-1] == without
    assert character in _terms(found[alone])


@pytest.mark.parametrize(
    ("ordinary", "other"),
    [
        ("谐波减速器柔轮疲劳开裂", "諧波減速器柔輪疲勞開裂"),
        ("PLC控制系统的3dB降噪", "ＰＬＣ控制系统的３ｄＢ降噪"),
        ("PLC控制系统的3dB降噪", "ＰＬＣ控制系統的３ｄＢ降噪"),
        ("效率大于85%的电机", "效率大于85％的電機"),
    ],
)
def test_full_width_and_traditional_forms_share_all_their_words_with_the_ordinary_form(
    server: Server, source: str, ordinary: str, other: str
) -> None:
    with server.client() as http:
        texts = _texts(http, source, ordinary, other, "草鱼养殖")
        by_ordinary, by_other = _ask(http, texts, ordinary), _ask(http, texts, other)
    values = [_words(found[text]) for found in (by_ordinary, by_other) for text in (ordinary, other)]
    assert values == pytest.approx([values[0]] * 4)
    assert values[0] > 0.5
    for found in (by_ordinary, by_other):
        assert list(found)[-1] == "草鱼养殖"
        assert {found[text]["level"] for text in (ordinary, other)} == {"strong"}
    assert len(_terms(by_ordinary[other])) == len(_terms(by_other[ordinary])) > 0
    assert all(term in ordinary for term in _terms(by_ordinary[other]))
    assert all(term in other for term in _terms(by_other[ordinary]))
    assert len("".join(_highlighted(by_ordinary[other]))) == len("".join(_highlighted(by_ordinary[ordinary])))


@pytest.mark.parametrize(
    ("ordinary", "other"),
    [
        ("PLC控制系统的3dB降噪", "ＰＬＣ控制系统的３ｄＢ降噪"),
        pytest.param(
            "谐波减速器柔轮疲劳开裂",
            "諧波減速器柔輪疲勞開裂",
        ),
        pytest.param(
            "PLC",
            "ＰＬＣ",
        ),
    ],
)
def test_full_width_and_traditional_forms_have_the_score_of_the_ordinary_form(
    server: Server, source: str, ordinary: str, other: str
) -> None:
    with server.client() as http:
        texts = _texts(http, source, ordinary, other)
        answers = [_ask(http, texts, query) for query in (ordinary, other)]
    scores = [answer[text]["score"] for answer in answers for text in (ordinary, other)]
    assert scores == pytest.approx([scores[0]] * 4, abs=1e-4)


@pytest.mark.parametrize(
    ("query", "text", "shown"),
    [
        ("谐波减速器", "😀諧波減速器　的疲勞", ["諧波減速器"]),
        ("諧波減速器", "研究：谐波减速器。", ["谐波减速器"]),
        ("PLC控制", "㎜级ＰＬＣ的控制", ["ＰＬＣ", "控制"]),
        ("降噪3dB", "﹣﹣降噪　３ ｄＢ，達標", ["降噪", "３ ｄＢ"]),
        ("谐波减速器", "谐波\u200b减速器", ["谐波\u200b减速器"]),
        ("𠮷龘焊机", "🚀𠮷龘焊机", ["𠮷龘焊机"]),
    ],
)
def test_highlights_are_right_in_the_text_as_it_was_stored(
    server: Server, source: str, query: str, text: str, shown: list[str]
) -> None:
    with server.client() as http:
        texts = _texts(http, source, text)
        item = _ask(http, texts, query)[text]
        stored = http.get(f"/v1/profiles/{item['profile']['id']}").json()["summary"]
    for evidence in item["explanation"]["evidence"]:
        start = evidence["start"]
        assert stored[start : start + len(evidence["text"])] == evidence["text"]
    assert _highlighted(item) == shown


@pytest.mark.parametrize(("query", "text"), [("佛山市", "佛山"), ("佛山", "佛山市"), ("佛山", "佛山市陶瓷产业")])
def test_a_city_is_found_with_and_without_its_suffix(server: Server, source: str, query: str, text: str) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, "广州", text), query)
    assert next(iter(found)) == text
    assert "佛山" in _terms(found[text])
    assert _words(found["广州"]) == 0


@pytest.mark.parametrize(
    ("alike", "unlike"),
    [
        (["噪声3 dB(A)", "噪声3dB(A)", "噪声３ｄＢ（Ａ）", "噪声 3dB（A）"], "噪声5 dB(A)"),
        (["效率≥85%", "效率85％以上", "效率 85 %"], "效率≥95%"),
        (["行程1000mm", "行程1m", "行程1 米", "行程1000 毫米", "行程100厘米", "行程1,000mm"], "行程1000m"),
        (["强度300MPa", "强度300兆帕", "强度0.3GPa", "强度３００ＭＰａ"], "强度300kPa"),
    ],
)
def test_the_same_quantity_is_one_word_however_it_is_written(
    server: Server, source: str, alike: list[str], unlike: str
) -> None:
    with server.client() as http:
        texts = _texts(http, source, *alike, unlike)
        for query in alike:
            found = _ask(http, texts, query)
            values = [_words(found[text]) for text in alike]
            assert values == pytest.approx([values[0]] * len(alike))
            assert _words(found[unlike]) < values[0] - 0.001
            for text in alike:
                assert len(_terms(found[text])) == 2, (query, text)
                assert "".join(_highlighted(found[text])) not in {"噪声", "效率", "行程", "强度"}
            assert len(_terms(found[unlike])) == 1
            assert _highlighted(found[unlike]) in (["噪声"], ["效率"], ["行程"], ["强度"])


@pytest.mark.parametrize(
    ("query", "text", "other", "shared"),
    [
        ("AI视觉质检", "AI视觉的部署", "机器视觉的部署", ["AI", "视觉"]),
        ("建设5G+工业互联网", "5G+工业互联网的组网", "云+工业互联网的组网", ["5G", "工业互联网"]),
        ("引入MES系统", "MES系统的实施", "ERP系统的实施", ["MES", "系统"]),
        ("用HPLC-MS检测农药", "HPLC-MS检测的流程", "GC-FID检测的流程", ["HPLC", "MS", "检测"]),
        ("Al2O3/LiFePO4复合", "Al2O3/LiFePO4涂层", "TiO2/LiFePO4涂层", ["Al2O3", "LiFePO4"]),
        ("Al2O3涂层", "Al₂O₃的沉积", "TiO₂的沉积", ["Al2O3"]),
        ("6061-T6铝合金焊接", "6061-T6铝合金的挤压", "6061-T4铝合金的挤压", ["6061-T6", "铝合金"]),
    ],
)
def test_words_of_mixed_scripts_are_found_whole_and_told_apart(
    server: Server, source: str, *, query: str, text: str, other: str, shared: list[str]
) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, other, text, "草鱼养殖"), query)
    assert list(found) == [text, other, "草鱼养殖"]
    assert set(shared) <= set(_terms(found[text]))
    assert not set(shared) <= set(_terms(found[other]))
    assert _words(found[text]) > _words(found[other])


@pytest.mark.parametrize("title", ["😀", "🚀🚀", "𠮷", "龘", "㊙️", "👨‍👩‍👧", "﷽", "\u0301", "？！"])
def test_emoji_and_rare_characters_are_asked_stored_and_found_without_harm(
    server: Server, source: str, title: str
) -> None:
    with server.client() as http:
        texts = _texts(http, source, f"望远镜{title}的镜筒", "望远镜的镜筒", title)
        alone = _ask(http, texts, title)
        found = _ask(http, texts, f"望远镜{title}的镜筒")
        stored = match(http, demand_id=create(http, "demands", source=source, title=title)["id"], candidates=[*texts])
    assert {item["profile"]["id"] for item in stored["items"]} == set(texts)
    assert all(0 <= item["score"] <= 1 for item in (*alone.values(), *found.values()))
    both = [f"望远镜{title}的镜筒", "望远镜的镜筒"]
    assert next(iter(found)) in both  # without a letter in the title both are the same words
    for text in both:
        assert found[text]["level"] in {"strong", "related"}
        assert "望远镜" in _terms(found[text])
        assert all(shown in text for shown in _highlighted(found[text]))


@pytest.mark.parametrize("character", ["𠮷", "龘"])
def test_a_rare_character_is_a_word(server: Server, source: str, character: str) -> None:
    with server.client() as http:
        found = _ask(http, _texts(http, source, "谐波减速器", f"谐波减速器😀{character}"), character)
    text = f"谐波减速器😀{character}"
    assert next(iter(found)) == text
    assert _terms(found[text]) == [character]
    assert _highlighted(found[text]) == [character]


def _similar(http: httpx.Client, demand_id: str) -> dict[str, dict[str, Any]]:
    answer = http.get(f"/v1/demands/{demand_id}/similar", params={"top_k": 1_000}).raise_for_status().json()
    return {item["demand"]["id"]: item for item in answer["items"]}


def test_demands_that_share_only_their_introduction_are_not_similar(server: Server, source: str) -> None:
    silk = "蚕丝被在储存中易生螨虫，希望找到长效的防螨整理方法。"
    boiler = "脱硝催化剂中毒失活，希望恢复其活性。"
    with server.client() as http:
        bodies = {
            "silk": ("蚕丝被防螨整理", INTRODUCTION + silk),
            "boiler": ("锅炉烟气脱硝催化剂再生", INTRODUCTION + boiler),
            "twin": ("丝绸家纺抑制螨虫", "被褥中螨虫滋生，求防螨整理助剂。"),
        }
        ids = {
            name: create(http, "demands", source=source, title=title, problem=problem)["id"]
            for name, (title, problem) in bodies.items()
        }
        by_silk, by_boiler = _similar(http, ids["silk"]), _similar(http, ids["boiler"])
    mine = [demand_id for demand_id in by_silk if demand_id in ids.values()]
    assert mine[0] == ids["twin"]
    assert by_silk[ids["twin"]]["level"] in {"strong", "related"}
    for found, other in ((by_silk, "boiler"), (by_boiler, "silk")):
        assert ids[other] not in found or found[ids[other]]["level"] == "none"


def test_an_expert_who_shares_only_the_introduction_is_not_above_one_who_fits_the_problem(
    server: Server, source: str
) -> None:
    fit = "研究丝织物的防螨整理，以及驱避螨虫的微胶囊。"
    problem = INTRODUCTION + "蚕丝被在储存中易生螨虫，希望找到长效的防螨整理方法。"
    with server.client() as http:
        texts = _texts(http, source, INTRODUCTION, fit)
        demand = create(http, "demands", source=source, title="蚕丝被防螨整理", problem=problem)["id"]
        items = match(http, demand_id=demand, candidates=list(texts))["items"]
    assert [texts[item["profile"]["id"]] for item in items] == [fit, INTRODUCTION]
    assert items[0]["level"] == "strong"
    assert items[1]["level"] in {"none", "weak"}


@pytest.mark.parametrize("body", [{}, {"problem": None}, {"problem": ""}, {"problem": " \n　"}, {"keywords": []}])
def test_a_demand_without_a_body_ranks_by_its_title(server: Server, source: str, body: dict[str, Any]) -> None:
    with server.client() as http:
        texts = _texts(http, source, "草鱼养殖", "丝织物的防螨整理")
        demand = create(http, "demands", source=source, title="蚕丝被防螨整理", **body)["id"]
        items = match(http, demand_id=demand, candidates=list(texts))["items"]
        asked = match(http, query={"title": "蚕丝被防螨整理"}, candidates=list(texts))["items"]
        similar = _similar(http, demand)
    assert items == asked
    assert texts[items[0]["profile"]["id"]] == "丝织物的防螨整理"
    assert items[0]["level"] in {"strong", "related"}
    assert items[1]["level"] == "none"
    assert demand not in similar


def test_a_demand_whose_body_only_introduces_the_company_ranks_by_its_title_among_others(
    server: Server, source: str
) -> None:
    with server.client() as http:
        texts = _texts(http, source, "草鱼养殖与饲料配方。", "研究丝织物的防螨整理，以及驱避螨虫的微胶囊。")
        demand = create(http, "demands", source=source, title="蚕丝被防螨整理", problem=INTRODUCTION)["id"]
        items = match(http, demand_id=demand, candidates=list(texts))["items"]
    assert texts[items[0]["profile"]["id"]].startswith("研究丝织物")
    assert items[0]["level"] in {"strong", "related"}
    assert items[1]["level"] == "none"


def test_a_demand_whose_body_only_introduces_the_company_does_not_rank_who_shares_the_introduction_first(
    server: Server, source: str
) -> None:
    with server.client() as http:
        texts = _texts(http, source, INTRODUCTION, "研究丝织物的防螨整理，以及驱避螨虫的微胶囊。")
        demand = create(http, "demands", source=source, title="蚕丝被防螨整理", problem=INTRODUCTION)["id"]
        items = match(http, demand_id=demand, candidates=list(texts))["items"]
    assert texts[items[0]["profile"]["id"]] != INTRODUCTION


def test_demands_whose_bodies_only_introduce_one_company_are_not_similar(server: Server, source: str) -> None:
    with server.client() as http:
        silk, boiler = (
            create(http, "demands", source=source, title=title, problem=INTRODUCTION)["id"]
            for title in ("蚕丝被防螨整理", "锅炉烟气脱硝催化剂再生")
        )
        found = _similar(http, silk)
    assert boiler not in found or found[boiler]["level"] == "none"
