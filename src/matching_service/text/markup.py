"""HTML in a field is read as a browser shows it: tags vanish, block tags break the line, entities are characters."""

import re
from html import unescape

from matching_service.text.spans import Spans, substitute

_BLOCKS = "address|article|aside|blockquote|br|dd|div|dl|dt|figcaption|figure|footer|form|h[1-6]|header|hr|li|main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"  # noqa: E501
_INLINE = "a|abbr|b|big|center|cite|code|del|dfn|em|font|i|img|input|ins|kbd|label|mark|o:p|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var"  # noqa: E501
_MARKUP = re.compile(
    rf"<!--[\s\S]{{0,100000}}?-->|<(script|style)\b[^<>]*>[\s\S]*?</\1\s*>"
    rf"|(?P<block></?(?:{_BLOCKS})(?=[\s/>])[^<>]*>)|</?(?:{_INLINE}|html|head|body|meta|link|script|style|title)(?=[\s/>])[^<>]*>"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)",
    re.IGNORECASE,
)
"""Only tags of HTML count, because people also write <5 mm and a<b."""
_MOST_LAYERS = 4
"""Some systems escape what is escaped already: &amp;nbsp; is a blank in two layers."""


def shown_text(text: str, spans: Spans | None = None) -> tuple[str, Spans | None]:
    """Return the text without markup. Returns the given objects if it has none."""
    if "<" not in text and "&" not in text:
        return text, spans
    for _ in range(_MOST_LAYERS):
        cleaned, spans = substitute(_MARKUP, _replacement, text, spans)
        if cleaned == text:
            break
        text = cleaned
    return text, spans


def _replacement(match: re.Match[str]) -> str:
    if match["entity"]:
        return unescape(match["entity"])
    return "\n" if match["block"] else ""
