"""Highlights in UTF-16 code units mark what those in code points mark."""

from hypothesis import example, given
from hypothesis import strategies as st

from matching_service.shortlists.schemas import EvidenceAnswer


@given(st.text(max_size=40), st.data())
@example("𠮷野家的水泵", None)
def test_both_spans_mark_the_same_text(text: str, data: st.DataObject | None) -> None:
    start = data.draw(st.integers(0, len(text))) if data else 4
    end = data.draw(st.integers(start, len(text))) if data else 6
    evidence = EvidenceAnswer(work_id=None, field="summary", start=0, text=text, highlights=[(start, end)])
    ((first, last),) = evidence.highlights_utf16
    units = text.encode("utf-16-le", "surrogatepass")
    assert units[2 * first : 2 * last].decode("utf-16-le", "surrogatepass") == text[start:end]
