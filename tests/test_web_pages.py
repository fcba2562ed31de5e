"""The pages of the web app as they are sent: headers, escaping, who is let in, and what their scripts may ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from esmkit.engine import load
from esmkit.errors import StoreError
from esmkit.server import sessions
from esmkit.server.auth import csrf_token
from esmkit.store import UsageRow
from esmkit.web import assets
from esmkit.web.pages import PAGES
from tests.server_stand_in import SLUG, Api

PATHS = [page.path for page in PAGES]
OPEN_PATHS = [page.path for page in PAGES if page.is_open]
HTML = {"Accept": "text/html"}
HTML_NAME = '</script><script>alert("&")</script>'
DOCUMENT_START = "<!doctype html>"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Keys off."""
    with Api(load(SLUG), tmp_path) as running:
        yield running


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Api]:
    """Keys on."""
    with Api(load(SLUG), tmp_path, auth="on") as running:
        yield running


class Tags(HTMLParser):
    """Start tags with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes it."""
        self.found.append((tag, dict(attrs)))


def session(api: Api, name: str, *, admin: bool = False) -> dict[str, str]:
    """Headers of a browser that is logged in with a new key, for what changes something."""
    key, _ = api.store.keys.create(name, admin=admin)
    secret = api.store.sessions.create(key.id, sessions.LIFETIME_S)
    return {"Cookie": f"esmkit_session={secret}", "X-CSRF-Token": csrf_token(secret)}


def frame(page: httpx.Response) -> Any:
    """What a page gives its script."""
    found = re.search(r'<script type="application/json" id="frame">(.*?)</script>', page.text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_strict_headers_and_nothing_inline(api: Api, path: str) -> None:
    page = api.get(path, headers=HTML)
    assert page.status_code == 200
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["style-src"] == "'self'" or path == "/docs"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    tags = Tags(page.text).found
    for tag, attributes in tags:
        assert tag != "style"
        assert tag != "script" or "src" in attributes or attributes["type"] == "application/json"
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag


@pytest.mark.parametrize("path", PATHS)
def test_everything_that_a_page_loads_is_here(api: Api, path: str) -> None:
    loaded = [
        attributes.get("src") or attributes.get("href")
        for tag, attributes in Tags(api.get(path, headers=HTML).text).found
        if tag in ("script", "img", "link")
    ]
    addresses = [address for address in loaded if address]
    assert addresses
    for address in addresses:
        assert address.startswith("/"), address
        assert api.get(address).status_code == 200, address


@pytest.mark.parametrize("path", sorted(set(PATHS) - set(OPEN_PATHS)))
def test_a_page_leads_to_the_login_where_keys_are_asked(guarded: Api, path: str) -> None:
    moved = guarded.get(path, headers=HTML)
    assert (moved.status_code, moved.headers["location"]) == (303, f"/login?next={path}")
    assert guarded.get(path, headers=HTML | session(guarded, "reader")).status_code == 200


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_an_open_page_needs_no_key_and_holds_no_token(guarded: Api, path: str) -> None:
    page = guarded.get(path, headers=HTML)
    assert page.status_code == 200
    assert frame(page)["csrf"] is None


def test_a_page_of_a_session_holds_its_token_but_not_its_secret(guarded: Api) -> None:
    headers = session(guarded, "reader")
    page = guarded.get("/account", headers=HTML | headers)
    assert frame(page)["csrf"] == headers["X-CSRF-Token"]
    assert headers["Cookie"].partition("=")[2] not in page.text


def test_a_name_with_html_in_it_stays_text(guarded: Api) -> None:
    page = guarded.get("/account", headers=HTML | session(guarded, HTML_NAME, admin=True))
    assert HTML_NAME not in page.text
    assert "&lt;/script&gt;&lt;script&gt;" in page.text
    assert frame(page)["page"]["key"]["name"] == HTML_NAME
    assert len([tag for tag, attributes in Tags(page.text).found if tag == "script" and not attributes]) == 0


def test_the_home_page_is_for_browsers_and_the_api_for_others(api: Api) -> None:
    assert api.get("/", headers=HTML).text.startswith(DOCUMENT_START)
    assert api.get("/", headers={"Accept": "application/json"}).json()["status"] == "ok"
    assert api.get("/").json()["status"] == "ok"


def test_static_files_are_kept_by_browsers_and_cannot_be_left(api: Api) -> None:
    file = api.get(assets.address("core/base.css"))
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert file.headers["x-content-type-options"] == "nosniff"
    missing = api.get(assets.address("core/nothing.js"))
    assert missing.status_code == 404
    assert "immutable" not in missing.headers["cache-control"]
    for outside in ("../page.py", "%2e%2e/page.py", "..%2fpage.py", "core/../../page.py", "/etc/passwd", "..\\page.py"):
        assert api.get(assets.address(outside)).status_code == 404, outside
    assert api.get("/static/other/core/base.css").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/web/keys"), ("POST", "/web/keys"), ("POST", "/web/keys/key_1/revoke"), ("GET", "/web/usage")],
)
def test_keys_and_usage_of_everybody_are_for_admins_even_where_keys_are_off(api: Api, method: str, path: str) -> None:
    assert api.request(method, path).status_code == 401
    assert api.request(method, path, headers=session(api, "reader")).status_code == 403
    without_token = {"Cookie": session(api, "chief", admin=True)["Cookie"]}
    answer = api.request(method, path, headers=without_token)
    assert answer.status_code == (403 if method == "POST" else 200)


def test_an_admin_makes_lists_and_revokes_keys(guarded: Api) -> None:
    chief = session(guarded, "chief", admin=True)
    asked = {"name": "laboratory", "models": ["ESM2-mini"], "actions": ["encode", "score"], "lifetime_days": 30}
    made = guarded.post("/web/keys", json=asked, headers=chief)
    assert made.status_code == 201
    key, secret = made.json()["key"], made.json()["secret"]
    assert key["models"] == [SLUG]
    assert key["actions"] == ["encode", "log_prob"]
    ends_in = datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < ends_in <= timedelta(days=30)
    headers = {"X-API-Key": secret}
    assert guarded.call("score", "MKTAY", headers=headers).status_code == 200
    assert guarded.call("predict", "MK<mask>AY", headers=headers).status_code == 403
    listed = guarded.get("/web/keys", headers=chief)
    assert {each["name"]: each["state"] for each in listed.json()["keys"]} == {"chief": "live", "laboratory": "live"}
    assert "sha256" not in listed.text
    assert guarded.post(f"/web/keys/{key['id']}/revoke", json={}, headers=chief).json()["key"]["state"] == "revoked"
    assert guarded.call("score", "MKTAY", headers=headers).status_code == 401
    again = guarded.post(f"/web/keys/{key['id']}/revoke", json={}, headers=chief)
    assert again.status_code == 400
    assert "was revoked on" in again.json()["detail"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, None),
        ({"name": " spaced "}, None),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"models": []}, "models"),
        ({"models": ["esm3"]}, "models__0"),
        ({"actions": ["encode", "delete"]}, "actions__1"),
        ({"lifetime_days": 0}, "lifetime_days"),
        ({"lifetime_days": 4000}, "lifetime_days"),
        ({"lifetime_days": "30"}, "lifetime_days"),
        ({"admin": "yes"}, "admin"),
    ],
)
def test_a_wrong_field_of_a_new_key_is_named(guarded: Api, wrong: dict[str, Any], field: str | None) -> None:
    chief = session(guarded, "chief", admin=True)
    refused = guarded.post("/web/keys", json={"name": "fine"} | wrong, headers=chief)
    assert refused.status_code == 400
    if field is None:
        assert "cannot be the name of a key" in refused.json()["detail"]
    else:
        assert list(refused.json()["error"]) == [field]
    assert len(guarded.store.keys.list()) == 1


def test_usage_of_everybody_is_that_of_the_days_asked_for(guarded: Api) -> None:
    chief = session(guarded, "chief", admin=True)
    today = datetime.now(UTC).date()
    rows = [UsageRow(None, SLUG, "encode", today - timedelta(days=back), 1, 10 + back, 0.5) for back in (0, 6, 7)]
    guarded.store.usage.add(rows)
    found = guarded.get("/web/usage?days=7", headers=chief).json()["usage"]
    assert [row["residues"] for row in found] == [16, 10]
    assert guarded.get("/web/usage?days=400", headers=chief).status_code == 400


def test_a_state_is_saved_and_found_again(api: Api) -> None:
    state = {"text": ">a\nMKTAY\n", "options": {"view": [1, 2.5, None]}}
    saved = api.post("/web/saved", json={"state": state})
    assert saved.status_code == 201
    assert datetime.fromisoformat(saved.json()["expires_at"]) > datetime.now(UTC) + timedelta(days=29)
    found = api.get(f"/web/saved/{saved.json()['id']}")
    assert found.json() == state
    assert found.headers["content-type"] == "application/json"
    assert found.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert api.get(f"/web/saved/{'A' * 22}").status_code == 404
    assert api.get("/web/saved/..").status_code == 404


def test_what_is_no_state_of_a_page_is_not_saved(api: Api) -> None:
    assert api.post("/web/saved", json={"state": "text"}).status_code == 400
    assert api.post("/web/saved", json=[]).status_code == 400
    assert api.post("/web/saved", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    too_large = api.post("/web/saved", json={"state": {"text": "A" * (1 << 20)}})
    assert too_large.status_code == 400
    assert "can be saved" in too_large.json()["detail"]
    foreign = api.post("/web/saved", json={"state": {}}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403


def test_saved_states_are_for_those_who_may_use_the_server_and_are_counted_as_requests(tmp_path: Path) -> None:
    with Api(load(SLUG), tmp_path, auth="on", limit_requests_per_s=2) as api:
        assert api.post("/web/saved", json={"state": {}}).status_code == 401
        assert api.get(f"/web/saved/{'A' * 22}").status_code == 401
        reader = session(api, "reader")
        answers = [api.post("/web/saved", json={"state": {}}, headers=reader).status_code for _ in range(4)]
        assert answers[:2] == [201, 201]
        assert 429 in answers


@pytest.mark.parametrize(
    ("state", "is_down", "is_ready", "headline"),
    [
        ("ready", False, True, "Everything works"),
        ("failed", False, True, "Working, with problems"),
        ("loading", True, False, "Down"),
        ("unloaded", False, True, "Everything works"),
    ],
)
def test_the_status_page_says_how_the_models_are(
    api: Api, state: str, is_down: bool, is_ready: bool, headline: str
) -> None:
    api.queue.state, api.queue.is_down, api.queue.is_ready = state, is_down, is_ready
    page = api.get("/status", headers=HTML)
    assert page.status_code == 200
    assert frame(page)["page"]["headline"] == headline
    assert f'<h2 id="overall">{headline}</h2>' in page.text


def test_the_status_page_is_there_when_the_store_is_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = session(api, "reader")

    def broken(self: Any, *args: Any, **options: Any) -> Any:
        raise StoreError("the database /srv/secret/esmkit.db is damaged")

    monkeypatch.setattr(type(api.store.probes), "uptime", broken)
    monkeypatch.setattr(type(api.store.sessions), "find", broken)
    page = api.get("/status", headers=HTML | reader)
    assert page.status_code == 200
    assert frame(page)["page"]["headline"] == "Working, with problems"
    assert "The history cannot be read at the moment" in page.text
    assert "/srv/secret" not in page.text
    api.queue.is_ready = False
    assert frame(api.get("/status", headers=HTML))["page"]["headline"] == "Down"


def test_the_status_page_tells_days_without_probes_from_bad_ones(api: Api) -> None:
    now = datetime.now(UTC)
    for ok in (True, True, False):
        api.store.probes.add(SLUG, now - timedelta(days=1), ok, 12.0 if ok else None)
    bars = frame(api.get("/status", headers=HTML))["page"]["models"][0]["bars"]
    assert len(bars) == 90
    assert [bar["tone"] for bar in bars[-3:]] == ["none", "bad", "none"]
    assert bars[-2]["ok"] == "66.66 %"
    assert {bar["day"] for bar in bars[-2:]} == {str(now.date()), str((now - timedelta(days=1)).date())}


def test_the_models_page_has_the_true_sizes(api: Api) -> None:
    page = frame(api.get("/models", headers=HTML))["page"]
    (mini,) = page["served"]
    assert (mini["slug"], mini["layers"], mini["parameters"], mini["licence"]) == (SLUG, 6, 1_887_454, "Apache-2.0")
    sizes = {row["slug"]: (row["layers"], row["parameters"], row["float16_bytes"]) for row in page["family"]}
    assert sizes["esm2-650m"] == (33, 651_043_254, 1_302_086_508)
    assert [row["slug"] for row in page["family"] if row["is_served"]] == [SLUG]
    assert len(sizes) == 7


def test_a_revoked_key_ends_what_its_session_may(guarded: Api) -> None:
    chief = session(guarded, "chief", admin=True)
    key = guarded.store.keys.get("chief")
    assert guarded.post(f"/web/keys/{key.id}/revoke", json={}, headers=chief).status_code == 200
    assert guarded.get("/web/keys", headers=chief).status_code == 401
