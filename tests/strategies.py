"""Hypothesis strategies that several rooms share."""

from hypothesis import strategies as st

PIECES = (
    "泵", "水泵", "研发", "技术", "的", "可编程控制器", "PLC", "ＰＬＣ控制", "plcs", "谐波减速器", "測試", "臺灣機器", "GC-MS", "HPLC-ESI-MS",
    "Low-E玻璃", "激光SLAM", "尼龙66", "0.45mm", "3 dB", "85 %", "1,000", "1,000,000元", "12", "℃", "㎡", "ﬁ", "é", "e\u0301", "ß", "Σ", "İ",
    "ｶﾞ", "가", "\u1100\u1161", "שלום", "مرحبا", "ไทย", "😀", "👨‍👩‍👧", "\x00", "\x08", "\ud800", "\udfff", "\u200b", "\u00ad",
    "\ufeff", "\u202e", "\u0301", "\u3099", "\U0002f800", "\U00020000", "-", "—", "−", "～", "~", "%", ",", ".", "/", "+", "_", " ", "\t", "\n", "\u3000",
    "。", "；", "！", "？", "!", "?", ";",
)  # fmt: skip
"""What real and hostile texts are made of, and what folding treats in its own way."""

ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=40),  # lone surrogates too
    st.lists(st.sampled_from(PIECES), max_size=20).map("".join),
)
"""Any Python string at all: no text may break anything."""
