"""Detect the language of a text from its script. Where the script does not decide, the declared language does."""

import re
import unicodedata

_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HANGUL = re.compile("[\uac00-\ud7af\u1100-\u11ff]")
_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_LATIN_WORD = re.compile("(?<![A-Za-z0-9\u00c0-\u024f])[A-Z]?[a-z\u00df-\u024f]{3,}(?![A-Za-z0-9])")
"""A word of prose. Excludes PLC, MES, LiFePO4 and HPLC-MS, which look the same in every language."""
_OTHER_LATIN = frozenset({"de", "fr", "es", "it", "pt"})
_MIN_SHARE_OF_HAN = 0.1
_MIN_LETTERS = 6
"""Fewer letters than this in Latin words do not decide the language."""


def language_of(text: str, declared: str = "zh") -> str:
    """Return the ISO 639-1 code of the text's main language.

    Kana means Japanese, Hangul Korean, Cyrillic Russian, Chinese characters Chinese. Latin letters mean English unless
    ``declared`` is another language with Latin letters. A Chinese text stays Chinese when it holds abbreviations,
    formulas or model numbers; a Latin text stays Latin when it holds a Chinese name. A text without words (PLC alone,
    a number) has the declared language.
    """
    text = unicodedata.normalize("NFKC", text)
    if _KANA.search(text):
        return "ja"
    if len(_HANGUL.findall(text)) > len(_HAN.findall(text)):
        return "ko"
    n_han = len(_HAN.findall(text))
    n_letters = sum(len(word) for word in _LATIN_WORD.findall(text))
    if n_han and n_han >= _MIN_SHARE_OF_HAN * n_letters:
        return "zh"
    if len(_CYRILLIC.findall(text)) > n_letters:
        return "ru"
    if n_letters >= _MIN_LETTERS:
        return declared if declared in _OTHER_LATIN else "en"
    return "zh" if n_han else declared


def has_prose(text: str) -> bool:
    """Tell whether the text holds a word of some language, beside names that all languages write alike (PLC, 7075)."""
    text = unicodedata.normalize("NFKC", text)
    scripts = (_HAN, _KANA, _HANGUL, _CYRILLIC, _LATIN_WORD)
    return any(script.search(text) is not None for script in scripts)
