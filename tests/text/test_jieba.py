"""The tokenizer cuts Chinese exactly like jieba with the same dictionary and without the hidden Markov model."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import jieba
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching_service import sample
from matching_service.evaluation.baselines import plain_tokenizer
from matching_service.text.lexicon import default_lexicon
from matching_service.text.normalise import fold
from matching_service.text.tokenizer import Tokenizer, han_runs, is_chinese

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

LEXICON = replace(default_lexicon(), stop_words=frozenset())
"""Without stop words: they are dropped after cutting, which would leave less to compare."""
WORDS = sorted(word for word in {*LEXICON.user_words, *LEXICON.canonical} if is_chinese(word))
CHINESE = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.builds(lambda word, end: word[:end], st.sampled_from(WORDS), st.integers(1, 3)),
        st.sampled_from(
            ("的", "研究", "研究生", "生命", "命", "起源", "测试工具箱", "南京市", "长江大桥", "市长", "江大桥")
        ),
        st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=3),
        st.sampled_from("〇㐀䶵\u9fd5\u9fd6\u9fff"),  # at the borders of the range that jieba treats as Chinese
    ),
    max_size=20,
).map("".join)
FEW_CHARACTERS = st.text(st.sampled_from("研究生命大学㐀\u9fd6"), min_size=1, max_size=5)


@cache
def jiebas_own():
    """Load jieba's dictionary once; it takes a second."""
    return plain_tokenizer()


def jieba_with(lexicon):
    """A jieba with its own dictionary and the lexicon's words, added by jieba's own code."""
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total, tokenizer.initialized = dict(jiebas_own().FREQ), jiebas_own().total, True
    for word, frequency in lexicon.user_words.items():
        if is_chinese(word):
            tokenizer.total -= tokenizer.FREQ.get(word, 0)  # add_word would count the old frequency as well
            tokenizer.add_word(word, frequency)
    for word in sorted(lexicon.canonical):
        if is_chinese(word) and not tokenizer.FREQ.get(word):
            tokenizer.add_word(word, max(3, tokenizer.suggest_freq(word)))
    return tokenizer


@pytest.fixture(scope="module")
def ours():
    return Tokenizer(LEXICON)


@pytest.fixture(scope="module")
def theirs():
    return jieba_with(LEXICON)


def tokens_of_ours(tokenizer, text):
    """The tokens in the order of jieba's search mode: inner words first, each with its span."""
    start = 0
    for piece in tokenizer.cut(text):
        yield from ((word.text, start + word.start, start + word.end) for word in tokenizer.words_in(piece))
        start += len(piece)


def runs_cut_differently(texts, ours, theirs):
    runs = {run.group() for text in texts for run in han_runs(fold(text))}
    assert runs
    return [
        run
        for run in runs
        if ours.cut(run) != theirs.lcut(run, HMM=False)
        or list(tokens_of_ours(ours, run)) != list(theirs.tokenize(run, mode="search", HMM=False))
    ]


def strings(value):
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


@pytest.mark.parametrize("file", [sample.DEMANDS, sample.PROFILES], ids=lambda file: file.stem)
def test_the_sample_city_is_cut_as_jieba_cuts_it(file, ours, theirs):
    texts = strings([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])
    assert runs_cut_differently(texts, ours, theirs) == []


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is absent: the real texts are not compared")
@pytest.mark.parametrize("name", ["demands", "achievements", "papers"])
def test_real_texts_are_cut_as_jieba_cuts_them(name, ours, theirs):
    lines = (SHARED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    titles = ["".join(row.get("title_words", ())) for row in rows]  # the titles of achievements come segmented
    assert runs_cut_differently([*strings(rows), *titles], ours, theirs) == []


@settings(deadline=None, max_examples=500)
@given(CHINESE)
def test_any_chinese_is_cut_as_jieba_cuts_it(ours, theirs, text):
    assert ours.cut(text) == theirs.lcut(text, HMM=False)
    assert list(tokens_of_ours(ours, text)) == list(theirs.tokenize(text, mode="search", HMM=False))


@settings(deadline=None, max_examples=15)
@given(st.dictionaries(FEW_CHARACTERS, st.integers(1, 10**6), max_size=8), st.lists(FEW_CHARACTERS, min_size=5))
@example({"\u9fd6研": 1000, "㐀研": 1000, "生命": 1}, ["\u9fd6研", "㐀研", "生命"])
def test_words_that_jieba_knows_may_be_given_other_frequencies(user_words, texts):
    lexicon = replace(LEXICON, user_words=user_words, canonical={})
    ours, theirs = Tokenizer(lexicon), jieba_with(lexicon)
    assert [ours.cut(text) for text in texts] == [theirs.lcut(text, HMM=False) for text in texts]
