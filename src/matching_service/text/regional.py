"""Words of Taiwan and Hong Kong in the words of the mainland: 雷射 is 激光, 軟體 is 软件.

A word whose simplified spelling means something else on the mainland (软体, soft body) counts in traditional
characters only. The table is ``data/regional.tsv``; OpenCC's phrase tables were its source, without their entries for
general words and for programs, some of which are wrong for technical terms (循环 is not 迴圈 of a pipe).
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

_ONLY_MEANING = "+"


@cache
def mainland_words(simplify: Callable[[str], str]) -> Mapping[str, str]:
    """Return the mainland word by each spelling. ``simplify`` turns traditional characters into simplified ones."""
    words: dict[str, str] = {}
    content = (files("matching_service.text") / "data" / "regional.tsv").read_text(encoding="utf-8")
    for line in content.splitlines():
        if not line.startswith("#"):
            regional, mainland, *only_meaning = line.split("\t")
            words[regional] = mainland
            if only_meaning == [_ONLY_MEANING]:
                words.setdefault(simplify(regional), mainland)
    return words


_ACROSS_WORDS = {"雷射": "频程击", "奈米": "饭", "演算法": "则", "智慧型": "号", "附著": "作"}
"""Characters after which a spelling is no word: 防雷射频 is 防雷 and 射频."""


def pattern_of(words: Mapping[str, str]) -> re.Pattern[str]:
    """Return a pattern that finds the longest of the spellings."""
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    guards = {word: f"(?![{after}])" for word, after in _ACROSS_WORDS.items()}
    return re.compile("|".join(re.escape(word) + guards.get(word, "") for word in longest_first))
