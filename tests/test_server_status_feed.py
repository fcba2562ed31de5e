"""Status as a feed and as a badge, read from the store whatever the engine does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from esmkit.engine import Model, load
from esmkit.errors import ModelExecutionError
from esmkit.server.service_docs import Overall
from esmkit.server.status_feed import badge, feed
from esmkit.store import Incident, IncidentMessage
from tests.server_stand_in import SLUG, Api

ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"
NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
BASE = "https://esm.example/"
STATES: tuple[Overall, ...] = get_args(Overall)


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture
def api(model: Model, tmp_path: Path) -> Iterator[Api]:
    with Api(model, tmp_path) as running:
        yield running


def incident(**changed: Any) -> Incident:
    given: dict[str, Any] = {
        "id": 1,
        "title": "Slow disk",
        "impact": "minor",
        "models": (SLUG, "esm2-8m"),
        "opened_at": NOON,
        "closed_at": None,
        "messages": (),
    }
    return Incident(**given | changed)


def parsed(*incidents: Incident, base_url: str = BASE, read_at: datetime = NOON) -> Element:
    """The feed, if it has all that RFC 4287 asks of one."""
    root = ElementTree.fromstring(feed(incidents, base_url=base_url, read_at=read_at))
    assert root.tag == f"{ATOM}feed"
    assert root.find(f"{ATOM}author/{ATOM}name") is not None
    for element in (root, *root.iter(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1, name
            assert text(element, name)
        assert datetime.fromisoformat(text(element, "updated")).tzinfo is not None
    ids = [text(entry, "id") for entry in root.iter(f"{ATOM}entry")]
    assert len(set(ids)) == len(ids) == len(incidents)
    return root


def text(element: Element, name: str) -> str:
    return element.findtext(f"{ATOM}{name}") or ""


def entry_of(one: Incident, **options: Any) -> Element:
    found = parsed(one, **options).find(f"{ATOM}entry")
    assert found is not None
    return found


# The feed


def test_an_entry_tells_the_whole_incident_latest_first() -> None:
    said = (
        IncidentMessage(NOON + timedelta(minutes=5), "We look into it."),
        IncidentMessage(NOON + timedelta(hours=1), "Replaced."),
    )
    entry = entry_of(incident(messages=said, closed_at=NOON + timedelta(hours=1)))
    content = entry.find(f"{ATOM}content")
    assert content is not None
    assert content.get("type") == "html"
    assert re.findall(r"<p><b>([^<]*)</b> ([^<]*)</p>", content.text or "") == [
        ("2026-03-14 13:00 UTC", "Resolved."),
        ("2026-03-14 13:00 UTC", "Replaced."),
        ("2026-03-14 12:05 UTC", "We look into it."),
        ("2026-03-14 12:00 UTC", f"Opened: minor, {SLUG}, esm2-8m."),
    ]
    assert text(entry, "title") == "Resolved: Slow disk"
    assert text(entry, "published") == "2026-03-14T12:00:00+00:00"
    category, link = entry.find(f"{ATOM}category"), entry.find(f"{ATOM}link")
    assert category is not None
    assert link is not None
    assert category.get("term") == "minor"
    assert link.get("href") == "https://esm.example/status#incident-1"


def test_an_id_stays_the_same_at_every_address_and_through_all_that_happens() -> None:
    first = text(entry_of(incident()), "id")
    later = incident(messages=(IncidentMessage(NOON, "x"),), closed_at=NOON + timedelta(days=1))
    assert first == text(entry_of(later, base_url="http://127.0.0.1:8000/"), "id")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", first)
    assert first == "urn:uuid:3d9c01a1-3ff9-5a5c-bd73-834a6afc2353"
    for other in (incident(id=2), incident(opened_at=NOON + timedelta(microseconds=1))):
        assert text(entry_of(other), "id") != first


def test_a_message_and_the_end_update_the_entry_and_the_feed() -> None:
    message = IncidentMessage(NOON + timedelta(hours=1), "x")
    steps = [
        incident(),
        incident(messages=(message,)),
        incident(messages=(message,), closed_at=NOON + timedelta(hours=2)),
    ]
    old = incident(id=2, opened_at=NOON - timedelta(days=1))
    for hours, step in enumerate(steps):
        root, expected = parsed(step, old, read_at=NOON + timedelta(days=3)), NOON + timedelta(hours=hours)
        assert text(entry_of(step), "updated") == text(root, "updated") == expected.isoformat()
    assert text(parsed(read_at=NOON), "updated") == NOON.isoformat()


def test_what_people_write_is_text_and_never_markup() -> None:
    nasty = "<script>alert('&amp;')</script> ]]> \x1b[31m\x00\ud800\ufffe é 🧬"
    shown = "<script>alert('&amp;')</script> ]]> \ufffd[31m\ufffd\ufffd\ufffd é 🧬"
    entry = entry_of(
        incident(title=nasty, models=(nasty,), messages=(IncidentMessage(NOON, nasty),)), base_url='https://x"<&/'
    )
    assert text(entry, "title") == shown
    content = text(entry, "content")
    assert "<script" not in content
    assert content.count("&lt;script&gt;alert(&#x27;&amp;amp;&#x27;)&lt;/script&gt;") == 2


def test_the_feed_of_a_server_says_where_it_is_and_what_is_in_the_store(api: Api) -> None:
    api.store.incidents.open("Slow disk", message="We look into it.")
    api.store.incidents.open("Power cut", impact="critical", models=[SLUG])
    response = api.get("/status.atom")
    assert response.headers["content-type"] == "application/atom+xml"
    assert response.headers["cache-control"] == "max-age=60"
    root = ElementTree.fromstring(response.content)
    assert [text(entry, "title") for entry in root.iter(f"{ATOM}entry")] == ["Power cut", "Slow disk"]
    links = {link.get("rel"): link.get("href") for link in root.findall(f"{ATOM}link")}
    assert links == {"self": "http://esmkit.test/status.atom", "alternate": "http://esmkit.test/status"}


@pytest.mark.parametrize("host", ["[", "a b", "<x>", '"', "esm.example:99999", "é"])
def test_a_strange_host_header_harms_nobody(api: Api, host: str) -> None:
    response = api.get("/status.atom", headers={"Host": host.encode("latin-1")})
    assert response.status_code == 200
    ElementTree.fromstring(response.content)


# The badge


@pytest.mark.parametrize(
    ("state", "word"),
    [("ok", "operational"), ("degraded", "degraded"), ("down", "down"), ("draining", "shutting down")],
)
def test_a_badge_says_the_state_to_eyes_and_to_screen_readers(state: Overall, word: str) -> None:
    root = ElementTree.fromstring(badge(state))
    spoken = f"esmkit: {word}"
    assert (root.get("role"), root.get("aria-label"), root.findtext(f"{SVG}title")) == ("img", spoken, spoken)
    assert [each.text for each in root.iter(f"{SVG}text")] == ["esmkit", word]


def test_every_state_has_a_colour_of_its_own_that_white_text_can_be_read_on() -> None:
    colours = set()
    for state in STATES:
        boxes = ElementTree.fromstring(badge(state)).iter(f"{SVG}rect")
        fills = [fill for box in boxes if (fill := box.get("fill"))]
        for fill in fills:
            assert 1.05 / (luminance(fill) + 0.05) >= 4.5, fill
        colours.add(fills[0])
    assert len(colours) == len(STATES) == 4


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_badge_needs_nothing_from_elsewhere_and_no_style_sheet() -> None:
    for state in STATES:
        written = badge(state).decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"http|style|script|href|@", written)


# Whatever the engine does


def seen(api: Api) -> tuple[str, str, int]:
    """State in JSON and on the badge, and entries of the feed."""
    answers = [api.get(path) for path in ("/status.json", "/status/badge.svg", "/status.atom")]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[1].headers["content-type"] == "image/svg+xml"
    assert answers[1].headers["cache-control"] == "max-age=60"
    assert answers[1].headers["content-security-policy"].startswith("default-src 'none'")
    word = ElementTree.fromstring(answers[1].content).findtext(f"{SVG}title") or ""
    entries = list(ElementTree.fromstring(answers[2].content).iter(f"{ATOM}entry"))
    return answers[0].json()["status"], word.removeprefix("esmkit: "), len(entries)


def test_status_is_readable_when_the_engine_is_down_or_failed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esmkit.server.status._FRESH_S", 0.0)
    assert seen(api) == ("ok", "operational", 0)
    status = api.app.state.services.status
    assert api.loop.run(status.probe(SLUG, SLUG))
    api.queue.fails_with = ModelExecutionError("broken")
    assert not api.loop.run(status.probe(SLUG, SLUG))
    assert seen(api) == ("degraded", "degraded", 0)
    api.queue.gate.clear()  # nothing that is asked of the engine is ever answered
    api.queue.is_ready, api.queue.state, api.queue.is_down = False, "failed", True
    api.store.incidents.open("The runner died", impact="critical")
    started = time.monotonic()
    assert seen(api) == ("down", "down", 1)
    assert time.monotonic() - started < 5
    today = api.get("/status.json").json()["models"][0]["days"][-1]
    assert (today["probes"], today["ok"]) == (2, 0.5)
    assert 0 < today["p50_ms"] <= today["p95_ms"]
    api.app.state.services.draining = True
    assert seen(api) == ("draining", "shutting down", 1)


@pytest.mark.parametrize(
    ("impact", "expected"),
    [("maintenance", "ok"), ("minor", "degraded"), ("major", "degraded"), ("critical", "degraded")],
)
def test_an_open_incident_shows_in_the_state_until_it_is_closed(
    api: Api, monkeypatch: pytest.MonkeyPatch, impact: Any, expected: str
) -> None:
    monkeypatch.setattr("esmkit.server.status._FRESH_S", 0.0)
    opened = api.store.incidents.open("Slow disk", impact=impact)
    assert seen(api)[0] == expected
    api.store.incidents.close(opened.id)
    assert seen(api)[0] == "ok"


def test_status_needs_no_key_where_others_do(model: Model, tmp_path: Path) -> None:
    with Api(model, tmp_path, host="0.0.0.0") as api:
        assert seen(api)[0] == "ok"
        for method in ("GET", "HEAD"):
            answers = [api.request(method, path) for path in ("/status.atom", "/status/badge.svg/")]
            assert [answer.status_code for answer in answers] == [200, 200]
