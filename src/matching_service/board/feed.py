"""The board as an Atom feed (RFC 4287). Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from matching_service.board.schemas import BoardDemand

MAX_ENTRIES = 50
_SUMMARY_CHARACTERS = 500
_ATOM = "http://www.w3.org/2005/Atom"


def atom_feed(demands: Sequence[BoardDemand], *, url: str) -> bytes:
    """Write the feed in the order of ``demands``. ``url``: address of the board; each demand is below it."""
    ET.register_namespace("", _ATOM)
    feed = ET.Element(f"{{{_ATOM}}}feed")
    updated = max((demand.published_at for demand in demands), default=datetime(1970, 1, 1, tzinfo=UTC))
    _add(feed, "id", f"{url}.atom")
    _add(feed, "title", "企业创新瓶颈问题需求榜")
    _add(feed, "updated", _moment(updated))
    _add(feed, "link", rel="self", href=f"{url}.atom")
    _add(_add(feed, "author"), "name", "需求榜")
    for demand in demands[:MAX_ENTRIES]:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:uuid:{demand.id}")
        _add(entry, "title", demand.title)
        _add(entry, "updated", _moment(demand.published_at))
        _add(entry, "link", href=f"{url}/{demand.id}")
        _add(entry, "summary", (demand.problem or demand.title)[:_SUMMARY_CHARACTERS])
        for term in (demand.cluster, *demand.keywords):
            if term:
                _add(entry, "category", term=term)
    written: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return written


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    child.text = text
    return child


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
