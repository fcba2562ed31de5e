"""Web sessions: login, logout, and what a cookie may do that a page of somebody else made the browser send."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from starlette.responses import JSONResponse, Response

from esmkit.engine import Model, load
from esmkit.server import sessions
from esmkit.server.auth import csrf_token
from esmkit.server.wire.esm2_docs import ErrorBody
from tests.server_stand_in import SLUG, Api

CROSS = {"Sec-Fetch-Site": "cross-site"}


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


def with_login(api: Api) -> Api:
    """The application with the two routes that a web app adds."""

    @api.app.post("/login")
    async def login(request: Request) -> Response:
        begun = await sessions.begin(request, (await request.body()).decode())
        content = {"name": begun.key.name, "csrf_token": begun.csrf_token}
        return JSONResponse(content, headers={"Set-Cookie": begun.cookie})

    @api.app.post("/logout")
    async def logout(request: Request) -> Response:
        return Response(headers={"Set-Cookie": await sessions.end(request)})

    return api


@pytest.fixture
def guarded(model: Model, tmp_path: Path) -> Iterator[Api]:
    """A server that asks for keys."""
    with with_login(Api(model, tmp_path, host="0.0.0.0")) as api:
        yield api


def cookie_of(response: Any) -> Any:
    [cookie] = SimpleCookie(response.headers["set-cookie"]).values()
    return cookie


def logged_in(api: Api, secret: str) -> dict[str, str]:
    """The headers that pages of a new session send."""
    response = api.post("/login", content=secret)
    assert response.status_code == 200, response.text
    cookie = cookie_of(response)
    return {"Cookie": f"{cookie.key}={cookie.value}", "X-CSRF-Token": response.json()["csrf_token"]}


def encode(api: Api, headers: dict[str, str]) -> int:
    status: int = api.call("encode", "MKT", headers=headers).status_code
    return status


# Login and logout


def test_a_login_gives_a_cookie_that_scripts_and_other_sites_cannot_use(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    response = guarded.post("/login", content=f" {secret}\n")
    cookie = cookie_of(response)
    assert response.json() == {"name": "lab", "csrf_token": csrf_token(cookie.value)}
    assert secret not in response.headers["set-cookie"]
    attributes = {name: value for name, value in cookie.items() if value}
    assert attributes == {"path": "/", "max-age": "43200", "httponly": True, "samesite": "Strict"}


def test_under_https_the_cookie_goes_over_https_only(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    response = guarded.post("https://esmkit.test/login", content=secret)
    assert cookie_of(response)["secure"] is True


def test_a_session_may_what_its_key_may_and_counts_as_it(guarded: Api) -> None:
    key, secret = guarded.store.keys.create("lab", actions=["encode"])
    page = logged_in(guarded, secret)
    assert encode(guarded, page) == 200
    assert guarded.call("score", "MKT", headers=page).status_code == 403
    usage = guarded.get("/api/usage", headers={"Cookie": page["Cookie"]}).json()
    assert usage["key"] == "lab"
    assert {row["key_id"] for row in usage["usage"]} == {key.id}


def test_a_logout_ends_the_session_and_removes_the_cookie(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    page, other = logged_in(guarded, secret), logged_in(guarded, secret)
    response = guarded.post("/logout", headers=page)
    assert (cookie_of(response).value, cookie_of(response)["max-age"]) == ("", "0")
    assert (encode(guarded, page), encode(guarded, other)) == (401, 200)
    assert guarded.post("/logout").status_code == 200


def test_only_a_page_of_the_session_can_end_it(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    page = logged_in(guarded, secret)
    for headers in ({"Cookie": page["Cookie"]}, page | {"X-CSRF-Token": "x"}, page | CROSS):
        assert guarded.post("/logout", headers=headers).status_code == 403
    assert encode(guarded, page) == 200


def test_a_new_login_ends_the_session_that_the_browser_had(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    before = logged_in(guarded, secret)
    assert guarded.post("/login", content=secret, headers=before).status_code == 200
    assert encode(guarded, before) == 401


def test_a_page_of_another_site_cannot_log_a_browser_in(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    for site in ("cross-site", "same-site"):
        response = guarded.post("/login", content=secret, headers={"Sec-Fetch-Site": site})
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
    assert guarded.post("/login", content=secret, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_after_ten_failed_logins_an_address_has_to_wait_even_with_a_good_key(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    page = logged_in(guarded, secret)
    for wrong in ("", "esk_" + "A" * 43, "x" * 100_000, "é" * 50, *["no"] * 6):
        assert guarded.post("/login", content=wrong.encode()).status_code == 401
        assert guarded.store.keys.get("lab").name == "lab"
    for tried in ("no", secret):
        refused = guarded.post("/login", content=tried)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert "10 failed logins in 15 minutes are allowed" in refused.json()["error"]
        assert 0 < int(refused.headers["retry-after"]) <= 900
    assert encode(guarded, page) == 200  # who is in stays in


def test_good_logins_are_not_counted_as_failed(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    for _ in range(12):
        logged_in(guarded, secret)


# What a cookie may do


@pytest.mark.parametrize("token", [None, "", "wrong", "é", "other session", "other case"])
def test_a_session_changes_nothing_without_its_own_token(guarded: Api, token: str | None) -> None:
    _, secret = guarded.store.keys.create("lab")
    page, other = logged_in(guarded, secret), logged_in(guarded, secret)
    tokens = {"other session": other["X-CSRF-Token"], "other case": page["X-CSRF-Token"].upper()}
    headers: dict[str, Any] = {"Cookie": page["Cookie"]}
    if token is not None:
        headers["X-CSRF-Token"] = tokens.get(token, token).encode("latin-1")
    response = guarded.call("encode", "MKT", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "auth_failed")
    assert "X-CSRF-Token" in response.json()["error"]
    ErrorBody.model_validate_json(response.content)
    assert guarded.queue.calls == []


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something new"])
def test_what_a_page_of_another_site_sent_is_refused_with_any_cookie(guarded: Api, site: str) -> None:
    _, secret = guarded.store.keys.create("lab")
    for headers in (logged_in(guarded, secret), {"Cookie": f"access={secret}"}):
        assert encode(guarded, headers) == 200
        response = guarded.call("encode", "MKT", headers=headers | {"Sec-Fetch-Site": site})
        assert response.status_code == 403
        assert "a page of another site sent this" in response.json()["error"]
    assert encode(guarded, {"Authorization": f"Token {secret}", "Sec-Fetch-Site": site}) == 200
    assert encode(guarded, {"X-API-Key": secret, "Sec-Fetch-Site": site}) == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_needs_no_token(guarded: Api, method: str) -> None:
    _, secret = guarded.store.keys.create("lab")
    page = logged_in(guarded, secret)
    response = guarded.request(method, "/api/users/me", headers={"Cookie": page["Cookie"]} | CROSS)
    assert response.status_code == 200


def test_a_key_in_a_header_wins_over_the_cookie(guarded: Api) -> None:
    secrets = {name: guarded.store.keys.create(name)[1] for name in ("browser", "script")}
    cookie = {"Cookie": logged_in(guarded, secrets["browser"])["Cookie"]}
    for header in ({"Authorization": f"Bearer {secrets['script']}"}, {"X-API-Key": secrets["script"]}):
        answer = guarded.post("/api/v1/auth/login-check/", headers=cookie | header)
        assert answer.json() == {"status": "ok", "username": "script"}
    assert encode(guarded, cookie | {"X-API-Key": "esk_" + "A" * 43}) == 401


def test_the_session_wins_over_the_cookie_of_another_program_on_this_host(guarded: Api) -> None:
    secrets = {name: guarded.store.keys.create(name)[1] for name in ("session", "access")}
    page = logged_in(guarded, secrets["session"])
    both = page | {"Cookie": f"access={secrets['access']}; {page['Cookie']}"}
    assert guarded.get("/api/users/me", headers=both).json()["username"] == "session"
    guarded.store.keys.revoke("session")
    assert guarded.get("/api/users/me", headers=both).json()["username"] == "access"


# Sessions that have ended


def test_a_stale_session_is_refused_where_keys_are_asked_for(guarded: Api) -> None:
    _, secret = guarded.store.keys.create("lab")
    page = logged_in(guarded, secret)
    guarded.store.keys.revoke("lab")
    for headers in (page, {"Cookie": "esmkit_session=nonsense"}):
        response = guarded.call("encode", "MKT", headers=headers)
        assert response.status_code == 401
        assert "the session has ended, log in again" in response.json()["detail"]


def test_a_session_ends_after_twelve_hours(guarded: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = guarded.store.keys.create("lab")
    page = logged_in(guarded, secret)
    later = datetime.now(UTC) + timedelta(hours=12)
    monkeypatch.setattr(guarded.store.sessions._database, "now", lambda: later)
    assert encode(guarded, page) == 401


def test_a_stale_session_is_ignored_where_keys_are_off(model: Model, tmp_path: Path) -> None:
    with with_login(Api(model, tmp_path)) as api:
        _, secret = api.store.keys.create("lab")
        page = logged_in(api, secret)
        check = "/api/v1/auth/login-check/"
        assert api.post(check, headers=page).json()["username"] == "lab"
        api.store.keys.revoke("lab")
        for headers in (page, {"Cookie": page["Cookie"]} | CROSS, {"Cookie": "esmkit_session=x"}):
            assert api.post(check, headers=headers).json()["username"] == "anonymous"
            assert encode(api, headers) == 200
