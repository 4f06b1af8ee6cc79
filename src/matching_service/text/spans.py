"""Edit a text and keep, per character of the result, the half-open span of the original text behind it.

``spans`` is None as long as every character stands where it stood.
"""

import re
from collections.abc import Callable, Sequence

Spans = list[tuple[int, int]]


def spans_or_identity(text: str, spans: Spans | None) -> Spans:
    return spans if spans is not None else [(i, i + 1) for i in range(len(text))]


def substitute(
    pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str], text: str, spans: Spans | None
) -> tuple[str, Spans | None]:
    """Do what ``pattern.sub`` does. Each character of a replacement stands for the whole match.

    Returns the given objects if there is no match. The matches must not be empty.
    """
    matches = list(pattern.finditer(text))
    if not matches:
        return text, spans
    before = spans_or_identity(text, spans)
    parts: list[str] = []
    after: Spans = []
    position = 0
    for match in matches:
        start, end = match.span()
        replaced = replacement(match)
        parts += (text[position:start], replaced)
        after += before[position:start]
        after += [(before[start][0], before[end - 1][1])] * len(replaced) if replaced != match[0] else before[start:end]
        position = end
    return "".join([*parts, text[position:]]), after + before[position:]


def cut_out(parts: Sequence[tuple[int, int]], text: str, spans: Spans | None) -> tuple[str, Spans | None]:
    """Delete parts of the text, given as rising half-open spans. Returns the given objects if there are none."""
    if not parts:
        return text, spans
    before = spans_or_identity(text, spans)
    bounds = [0, *(bound for part in parts for bound in part), len(text)]
    kept = list(zip(bounds[::2], bounds[1::2], strict=True))
    return "".join(text[start:end] for start, end in kept), [span for start, end in kept for span in before[start:end]]
