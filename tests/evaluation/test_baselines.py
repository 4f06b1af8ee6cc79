"""The baselines compute the published formulas they are named after."""

import logging
import math
from functools import cache

import bm25s
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching_service.evaluation.baselines import bm25_scorer, naive_scorer, plain_tokenizer

logging.getLogger("bm25s").setLevel(logging.WARNING)  # its import sets DEBUG

PROFILES = {
    "a": "谐波减速器柔轮，疲劳寿命与柔轮齿形",
    "b": "陶瓷窑炉烟气余热回收",
    "c": "",
    "d": "减速器装配，PLC 控制",
    "e": "PLC 与窑炉温度控制，PLC 编程",
}


tokenizer = cache(plain_tokenizer)  # reading its dictionary takes a second


def lucene_bm25(demand: str, profiles: dict[str, str], *, k1: float = 1.5, b: float = 0.75) -> dict[str, float]:
    """BM25 "Lucene (accurate)" of Kamphuis et al. 2020 (ECIR), in plain loops."""
    cut = tokenizer().lcut
    words = {profile_id: cut(text.lower()) for profile_id, text in profiles.items()}
    mean_length = sum(map(len, words.values())) / len(words)
    scores = dict.fromkeys(profiles, 0.0)
    for word in cut(demand.lower()):
        df = sum(word in of_profile for of_profile in words.values())
        idf = math.log(1 + (len(words) - df + 0.5) / (df + 0.5))
        for profile_id, of_profile in words.items():
            tf = of_profile.count(word)
            scores[profile_id] += idf * tf / (tf + k1 * (1 - b + b * len(of_profile) / mean_length))
    return scores


def test_the_naive_baseline_finds_equal_words() -> None:
    score = naive_scorer({"d": "谐波减速器"}, {"a": "谐波减速器柔轮", "b": "陶瓷窑炉", "c": ""})
    scores = score("d", ["c", "b", "a"])
    assert scores["a"] > scores["b"] == scores["c"] == 0.0


@pytest.mark.parametrize("demand", ["谐波减速器柔轮开裂", "窑炉余热，窑炉烟气", "plc 编程", "从未见过的词 PLC"])
def test_bm25_is_the_formula_of_lucene(demand: str) -> None:
    scores = bm25_scorer({"d": demand}, PROFILES)("d", list(PROFILES))
    assert scores == pytest.approx(lucene_bm25(demand, PROFILES), abs=1e-4)
    assert max(scores.values()) > 0.1
    assert scores["c"] == 0.0


def test_bm25_scores_the_wanted_profiles_and_no_others() -> None:
    score = bm25_scorer({"d": "减速器"}, PROFILES)
    assert score("d", ["e", "a"]) == {profile_id: score("d", list(PROFILES))[profile_id] for profile_id in "ea"}


@pytest.mark.parametrize("demand", ["", "zzzqqq", "鼯鼱"])
def test_bm25_of_unknown_words_is_0(demand: str) -> None:
    assert bm25_scorer({"d": demand}, PROFILES)("d", ["a", "c"]) == {"a": 0.0, "c": 0.0}


@pytest.mark.parametrize("profiles", [{"a": "", "b": ""}, {"a": "PLC", "b": ""}])
def test_bm25_accepts_profiles_without_words(profiles: dict[str, str]) -> None:
    assert bm25_scorer({"d": "减速器"}, profiles)("d", ["a", "b"]) == {"a": 0.0, "b": 0.0}


@settings(deadline=None)
@given(
    st.lists(st.text("柔轮减速器窑炉 plcPLC", max_size=12), min_size=1, max_size=8), st.text("柔轮窑炉 plc", max_size=8)
)
def test_bm25_agrees_with_the_package_bm25s(profiles: list[str], demand: str) -> None:
    texts = {str(number): text for number, text in enumerate(profiles)}
    corpus = [tokenizer().lcut(text.lower()) for text in profiles]
    expected = dict.fromkeys(texts, 0.0)
    if any(corpus):  # bm25s divides by the mean length
        index = bm25s.BM25(method="lucene")
        index.index(corpus, show_progress=False)
        if words := index.get_tokens_ids(tokenizer().lcut(demand.lower())):
            expected = dict(zip(texts, index.get_scores(words).tolist(), strict=True))
    assert bm25_scorer({"d": demand}, texts)("d", list(texts)) == pytest.approx(expected, abs=1e-5)


def test_bm25_says_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        bm25_scorer({"d": "减速器"}, PROFILES)("d", ["a"])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
