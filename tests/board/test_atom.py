"""The feed is well-formed Atom for any text."""

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from matching_service.board.feed import MAX_ENTRIES, atom_feed
from matching_service.board.schemas import BoardDemand

ATOM = {"a": "http://www.w3.org/2005/Atom"}
URL = "http://localhost/v1/board"
ALLOWED = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=60)


def demand(n: int, **fields: Any) -> BoardDemand:
    values: dict[str, Any] = dict.fromkeys(BoardDemand.model_fields)
    lists: dict[str, list[str]] = {"keywords": [], "must_have": [], "nice_to_have": [], "wanted_partners": []}
    made = {"id": f"id-{n}", "status": "published", "title": f"难题{n}"}
    return BoardDemand(**(values | lists | made | {"published_at": datetime(2026, 11, n + 1, tzinfo=UTC)} | fields))


@settings(deadline=None)
@given(title=ALLOWED, problem=ALLOWED, keyword=ALLOWED)
def test_any_text_comes_out_as_it_was(title: str, problem: str, keyword: str) -> None:
    feed = ET.fromstring(atom_feed([demand(0, title=title, problem=problem, keywords=[keyword])], url=URL))
    assert (feed.findtext("a:entry/a:title", namespaces=ATOM) or "") == title
    assert (feed.findtext("a:entry/a:summary", namespaces=ATOM) or "") == (problem or title)
    assert [category.get("term") for category in feed.findall("a:entry/a:category", ATOM)] == (
        [keyword] if keyword else []
    )


def test_without_an_address_of_its_own_the_feed_has_an_id_all_the_same() -> None:
    ids = [
        ET.fromstring(atom_feed([demand(1)], url="/v1/board", query=query)).findtext("a:id", namespaces=ATOM)
        for query in ("", "", "q=a")
    ]
    assert ids[0] == ids[1] != ids[2]
    assert all(one is not None and one.startswith("urn:uuid:") for one in ids)


def test_entries_have_what_readers_need() -> None:
    feed = ET.fromstring(atom_feed([demand(5, cluster="新材料"), demand(2)], url=URL))
    assert feed.findtext("a:id", namespaces=ATOM) == f"{URL}.atom"
    assert feed.findtext("a:updated", namespaces=ATOM) == "2026-11-06T00:00:00Z"
    assert feed.findtext("a:author/a:name", namespaces=ATOM)
    assert [entry.text for entry in feed.findall("a:entry/a:id", ATOM)] == ["urn:uuid:id-5", "urn:uuid:id-2"]
    link = feed.find("a:entry/a:link", ATOM)
    assert link is not None
    assert link.get("href") == f"{URL}/id-5"


def test_a_feed_is_short_and_may_be_empty() -> None:
    many = ET.fromstring(atom_feed([demand(1)] * 60, url=URL))
    assert len(many.findall("a:entry", ATOM)) == MAX_ENTRIES
    assert ET.fromstring(atom_feed([], url=URL)).findtext("a:updated", namespaces=ATOM) == "1970-01-01T00:00:00Z"
