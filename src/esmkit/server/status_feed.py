"""Status for programs that show it elsewhere: incidents as an Atom feed, the overall state as a badge."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from esmkit.server.service_docs import Overall
from esmkit.store import Incident

_BADGES: dict[Overall, tuple[str, str]] = {
    "ok": ("operational", "#1a7f37"),
    "degraded": ("degraded", "#9a6700"),
    "down": ("down", "#b42318"),
    "draining": ("shutting down", "#57606a"),
}
"""Word and colour by state; white text on each has a contrast of 4.5 and more."""
_LABEL_COLOUR = "#24292f"
_IDS = uuid.UUID("5b0f1c0e-6a3c-4c55-9a51-2d1f6a9f3f0e")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def feed(incidents: Sequence[Incident], *, base_url: str, read_at: datetime) -> bytes:
    """An Atom 1.0 feed.

    Args:
        incidents: newest first.
        base_url: of the server, with a slash at the end.
        read_at: when the incidents were read; the time of a feed without entries.
    """
    root = Element("feed", {"xmlns": "http://www.w3.org/2005/Atom", "xml:lang": "en"})
    address = f"{base_url}status.atom"
    _add(root, "id", address)
    _add(root, "title", "esmkit status")
    _add(root, "updated", max(map(_updated_at, incidents), default=read_at).isoformat())
    SubElement(root, "link", {"rel": "self", "type": "application/atom+xml", "href": _clean(address)})
    SubElement(root, "link", {"rel": "alternate", "type": "text/html", "href": _clean(f"{base_url}status")})
    _add(SubElement(root, "author"), "name", "esmkit")
    for incident in incidents:
        _add_entry(root, incident, base_url)
    return _written(root)


def badge(state: Overall) -> bytes:
    """An SVG picture with text, 20 pixels high; it needs no font of its own and no style sheet."""
    word, colour = _BADGES[state]
    spoken = f"esmkit: {word}"
    label_width, word_width = _width("esmkit"), _width(word)
    width = label_width + word_width
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": str(width),
            "height": "20",
            "viewBox": f"0 0 {width} 20",
            "role": "img",
            "aria-label": spoken,
        },
    )
    _add(root, "title", spoken)
    # Of each box only the outer corners are round: the label lies over the others of the word, a strip over its own.
    for x, box, fill, radius in (
        (label_width - 6, word_width + 6, colour, "3"),
        (0, label_width, _LABEL_COLOUR, "3"),
        (label_width - 3, 3, _LABEL_COLOUR, "0"),
    ):
        SubElement(root, "rect", {"x": str(x), "width": str(box), "height": "20", "rx": radius, "fill": fill})
    font = {"fill": "#fff", "font-family": "Verdana,DejaVu Sans,sans-serif", "font-size": "11", "text-anchor": "middle"}
    texts = SubElement(root, "g", font)
    for text, centre, box in (
        ("esmkit", label_width / 2, label_width),
        (word, label_width + word_width / 2, word_width),
    ):
        # Fitted to its box, as nobody knows which font there is.
        place = {"x": f"{centre:g}", "y": "14", "textLength": str(box - 12), "lengthAdjust": "spacingAndGlyphs"}
        SubElement(texts, "text", place).text = text
    return _written(root)


def _add_entry(root: Element, incident: Incident, base_url: str) -> None:
    entry = SubElement(root, "entry")
    # The same on every address of the server, and different from the incident of that number in another database.
    _add(entry, "id", uuid.uuid5(_IDS, f"{incident.id} {incident.opened_at.isoformat()}").urn)
    _add(entry, "title", incident.title if incident.closed_at is None else f"Resolved: {incident.title}")
    _add(entry, "published", incident.opened_at.isoformat())
    _add(entry, "updated", _updated_at(incident).isoformat())
    href = _clean(f"{base_url}status#incident-{incident.id}")
    SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": href})
    SubElement(entry, "category", {"term": incident.impact})
    _add(entry, "content", _timeline(incident)).set("type", "html")


def _timeline(incident: Incident) -> str:
    """Newest first, as who reads a feed knows what came before."""
    affected = "all models" if incident.models is None else ", ".join(incident.models)
    entries = [(incident.opened_at, f"Opened: {incident.impact}, {affected}.")]
    entries += [(message.at, message.text) for message in incident.messages]
    if incident.closed_at is not None:
        entries.append((incident.closed_at, "Resolved."))
    entries.sort(key=lambda entry: entry[0])
    return "".join(f"<p><b>{at:%Y-%m-%d %H:%M} UTC</b> {html.escape(text)}</p>" for at, text in reversed(entries))


def _updated_at(incident: Incident) -> datetime:
    times = [incident.opened_at, *(message.at for message in incident.messages)]
    return max(times if incident.closed_at is None else [*times, incident.closed_at])


def _add(parent: Element, tag: str, text: str) -> Element:
    element = SubElement(parent, tag)
    element.text = _clean(text)
    return element


def _clean(text: str) -> str:
    """Text without what no XML can hold, such as the escape codes of a terminal."""
    return _NOT_IN_XML.sub("\ufffd", text)


def _width(text: str) -> int:
    return round(6.4 * len(text)) + 12


def _written(root: Element) -> bytes:
    written: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return written
