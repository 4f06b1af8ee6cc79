"""Clauses of a demand that introduce the company or promise income.

They say nothing about the problem. Two demands of one author, or of two companies with a similar history, share such
clauses without being alike. So the words of these clauses count little in a ranking; they are never lost.
"""

import re
from collections.abc import Iterator

from matching_service.text.lexicon import default_lexicon
from matching_service.text.normalise import fold
from matching_service.text.quantities import find_quantities

_CLAUSE = re.compile(r"[^。！？!?；;，,\n]*(?:[。！？!?；;，,\n]|$)")
_INTRODUCTION = re.compile(
    r"成立于|始建于|创[建立办]于|组建于|注册资[本金]|注册地|(?:现有|拥有|共有)(?:员工|职工)|(?:员工|职工)(?:总数)?\d+"
    r"|高新技术企业|(?:龙头|骨干|上市|民营|国有|股份制|独角兽|“?专精特新”?(?:“?小巨人”?)?)企业|坐落[于在]|荣获|经营范围|主营业务"
    r"|营业收入|销售收入|年销售额|年产值|利税|纳税|总资产|固定资产|占地(?:面积)?约?\d|产品(?:远销|畅销|出口)"
)
_WITH_COMPANY = re.compile(r"位于|占地|建筑面积|专业从事|致力于|是一家|认证|专利|荣誉|客户")
_COMPANY = re.compile(r"公司|企业|集团|我司|我厂|本厂|我们?单位")
_INCOME = re.compile(r"经济效益|社会效益|利润|新增产值|投资回报|回收期|市场前景|市场份额|销售额")
_NEED = re.compile(
    r"需[要求]?|希望|要求|亟待|急需|拟|求[助购解]|寻[求找]|解决|攻克|突破|改[善进造]|如何|问题|难[题点以]|瓶颈|痛点|不[足良稳能够]|缺[陷乏]"
    r"|故障|失效|开裂|裂纹|泄?漏|磨损|变形|断裂|腐蚀|噪声|振动|超标|偏[高低差]|过[高低大]|无法"
)
"""Signs of a need. A clause that has one is about the problem, whatever else it says."""


def without_boilerplate(text: str) -> str:
    """Return the text without the clauses that are certainly about the company; empty if it has no other clause."""
    return "".join(clause for clause in _clauses(text) if not _is_boilerplate(clause))


def _clauses(text: str) -> Iterator[str]:
    return (match.group() for match in _CLAUSE.finditer(text))


def _is_boilerplate(clause: str) -> bool:
    is_about_company = (
        _INTRODUCTION.search(clause) is not None
        or _INCOME.search(clause) is not None
        or (_COMPANY.search(clause) is not None and _WITH_COMPANY.search(clause) is not None)
    )
    return is_about_company and _NEED.search(clause) is None and not _is_technical(clause)


def _is_technical(clause: str) -> bool:
    """Whether the clause names a quantity with a technical unit or a word of the technical lexicon."""
    from matching_service.text.terms import read_text  # noqa: PLC0415  # light commands need no tokenizer

    folded = fold(clause)
    if any(not quantity.term.endswith("%") for quantity in find_quantities(folded)):  # income is in per cent too
        return True
    lexicon = default_lexicon()
    words = {word.lstrip("≈") for word in read_text(clause).words}
    return any(word in lexicon.technical for word in words)
