"""The board as an Atom feed (RFC 4287). Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree as ET

from matching_service.board.schemas import BoardDemand

MAX_ENTRIES = 50
_SUMMARY_CHARACTERS = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ATOM = "http://www.w3.org/2005/Atom"


def atom_feed(demands: Sequence[BoardDemand], *, url: str, query: str = "", changed_at: datetime = _EPOCH) -> bytes:
    """Write the feed in the order of ``demands``.

    url : address of the board, or its path where the operator has named none; each demand is below it.
    query : the filters, which make it a feed of its own.
    changed_at : when any demand changed last, also one that has left the board: the feed is never older than that.
    """
    ET.register_namespace("", _ATOM)
    feed = ET.Element(f"{{{_ATOM}}}feed")
    updated = max([changed_at, *map(_changed, demands)])
    address = f"{url}.atom?{query}" if query else f"{url}.atom"
    _add(feed, "id", address if url.startswith("http") else f"urn:uuid:{uuid5(NAMESPACE_URL, address)}")
    _add(feed, "title", "企业创新瓶颈问题需求榜")
    _add(feed, "updated", _moment(updated))
    _add(feed, "link", rel="self", href=address)
    _add(_add(feed, "author"), "name", "需求榜")
    for demand in demands[:MAX_ENTRIES]:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:uuid:{demand.id}")
        _add(entry, "title", demand.title)
        _add(entry, "updated", _moment(_changed(demand)))
        _add(entry, "published", _moment(demand.published_at))
        _add(entry, "link", href=f"{url}/{demand.id}")
        _add(entry, "summary", (demand.problem or demand.title)[:_SUMMARY_CHARACTERS])
        for term in (demand.cluster, *demand.keywords):
            if term:
                _add(entry, "category", term=term)
    written: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return written


def _changed(demand: BoardDemand) -> datetime:
    return max(demand.published_at, demand.updated_at or demand.published_at)


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    child.text = text
    return child


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
