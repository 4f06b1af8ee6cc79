"""HTML in a field is read as a browser shows it: tags vanish, block tags break the line, entities are characters."""

import re
from html import unescape

from matching_service.text.spans import Spans, cut_out, substitute

_BLOCKS = "address|article|aside|blockquote|br|dd|div|dl|dt|figcaption|figure|footer|form|h[1-6]|header|hr|li|main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"  # noqa: E501
_INLINE = "a|abbr|b|big|center|cite|code|del|dfn|em|font|i|img|input|ins|kbd|label|mark|o:p|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var"  # noqa: E501
_MARKUP = re.compile(
    rf"(?P<block></?(?:{_BLOCKS})(?=[\s/>])[^<>]*>)|</?(?:{_INLINE}|html|head|body|meta|link|script|style|title)(?=[\s/>])[^<>]*>"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)",
    re.IGNORECASE,
)
"""Only tags of HTML count, because people also write <5 mm."""
_MOST_LAYERS = 4
"""Some systems escape what is escaped already: &amp;nbsp; is a blank in two layers."""


_OPENS_UNSEEN = re.compile(r"<!--|<(script|style)\b[^<>]*>", re.IGNORECASE)
_CLOSES_UNSEEN = {
    None: re.compile("-->"),
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
}


def shown_text(text: str, spans: Spans | None = None) -> tuple[str, Spans | None]:
    """Return the text without markup. Returns the given objects if it has none."""
    if "<" not in text and "&" not in text:
        return text, spans
    for _ in range(_MOST_LAYERS):
        seen, spans = cut_out(_unseen(text), text, spans)
        cleaned, spans = substitute(_MARKUP, _replacement, seen, spans)
        if cleaned == text:
            break
        text = cleaned
    return text, spans


def _replacement(match: re.Match[str]) -> str:
    if match["entity"]:
        return unescape(match["entity"])
    return "\n" if match["block"] else ""


def _unseen(text: str) -> list[tuple[int, int]]:
    """Return the spans of comments, scripts and styles that are closed. Linear in the length of the text."""
    spans: list[tuple[int, int]] = []
    never_closed: set[str | None] = set()
    end = 0
    for opening in _OPENS_UNSEEN.finditer(text):
        kind = opening[1].lower() if opening[1] else None
        if opening.start() < end or kind in never_closed:
            continue
        closing = _CLOSES_UNSEEN[kind].search(text, opening.end())
        if closing is None:
            never_closed.add(kind)
        else:
            end = closing.end()
            spans.append((opening.start(), end))
    return spans
