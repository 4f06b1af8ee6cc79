"""Remove the sentences of a demand that introduce the company or promise income.

They say nothing about the problem. Two demands of one author, or of two companies with a similar history, share such
sentences without being alike.
"""

import re

_SENTENCE = re.compile(r"[^。！？!?；;\n]*(?:[。！？!?；;\n]|$)")
_INTRODUCTION = re.compile(
    r"成立于|始建于|创[建立办]于|组建于|注册资[本金]|注册地|(?:现有|拥有|共有)(?:员工|职工)|(?:员工|职工)(?:总数)?\d+"
    r"|高新技术企业|(?:龙头|骨干|上市|民营|国有|股份制|独角兽|“?专精特新”?(?:“?小巨人”?)?)企业|坐落[于在]|荣获|经营范围|主营业务"
    r"|营业收入|销售收入|年销售额|利税|纳税|总资产|固定资产"
)
_WITH_COMPANY = re.compile(
    r"位于|占地|建筑面积|专业从事|致力于|是一家|产品(?:远销|畅销|出口)|认证|专利|荣誉|年产值|客户"
)
_COMPANY = re.compile(r"公司|企业|集团|我司|我厂|本厂|我们?单位")
_INCOME = re.compile(r"经济效益|社会效益|利润|新增产值|投资回报|回收期|市场前景|市场份额|销售额")


def without_boilerplate(text: str) -> str:
    """Return the text without its boilerplate sentences; empty if it has no other sentence."""
    sentences = (match.group() for match in _SENTENCE.finditer(text))
    return "".join(sentence for sentence in sentences if not _is_boilerplate(sentence))


def _is_boilerplate(sentence: str) -> bool:
    if _INTRODUCTION.search(sentence) or _INCOME.search(sentence):
        return True
    return _COMPANY.search(sentence) is not None and _WITH_COMPANY.search(sentence) is not None
