"""Logging in, keys and usage: in a real browser against a server that asks for keys."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Errors
from tests.server_process import ServedProcess, items

SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQ"
HTML_NAME = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """`esmkit serve` with keys on."""
    with ServedProcess(tmp_path_factory.mktemp("guarded"), "--auth", "on") as server:
        yield server


@pytest.fixture(scope="module")
def admin_key(guarded: ServedProcess) -> str:
    return guarded.cli("keys", "create", "chief", "--admin").strip()


@pytest.fixture
def opened(open_page: Callable[..., Page], guarded: ServedProcess) -> Callable[..., Page]:
    """`open_page` on the server that asks for keys."""

    def page(path: str, **options: bool) -> Page:
        return open_page(path, url=guarded.url, **options)

    return page


def log_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)


def encode(server: ServedProcess, key: str) -> httpx.Response:
    headers = {"Authorization": f"Token {key}"}
    with server.client() as client:
        return client.post("/api/v3/esm2-mini/encode/", json=items(SEQUENCE), headers=headers)


def test_a_page_asks_for_a_key_and_comes_back_with_what_its_link_held(
    opened: Callable[..., Page], admin_key: str
) -> None:
    page = opened("/#s=anything")
    assert page.url.endswith("/login?next=/#s=anything")
    log_in(page, admin_key)
    assert page.url.endswith("/#s=anything")
    page.get_by_role("status").get_by_text("The link is incomplete").wait_for()


def test_a_wrong_key_is_refused_in_place(opened: Callable[..., Page], errors: Errors) -> None:
    page = opened("/login")
    page.get_by_label("API key").fill("esk_wrong")
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.get_by_role("alert").get_by_text("the key is unknown, revoked or expired").wait_for()
    assert page.url.endswith("/login")
    assert len(errors) == 1
    assert "401" in errors.pop()


@pytest.mark.parametrize("elsewhere", ["//example.org", "/\\example.org", "https://example.org/", "/\t/example.org"])
def test_login_never_leads_to_another_site(opened: Callable[..., Page], admin_key: str, elsewhere: str) -> None:
    page = opened(f"/login?next={httpx.QueryParams(x=elsewhere)['x']}")
    log_in(page, admin_key)
    assert httpx.URL(page.url).host == "127.0.0.1"


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_a_key_is_made_used_and_revoked(
    opened: Callable[..., Page], guarded: ServedProcess, admin_key: str, check: Callable[[Page], None], phone: bool
) -> None:
    name = f"laboratory {'phone' if phone else 'desktop'}"
    page = opened("/login?next=/account", phone=phone, dark=phone)
    log_in(page, admin_key)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Ends").select_option("90")
    page.get_by_label("all actions, also later ones").uncheck()
    page.get_by_label("encode").check()
    page.get_by_role("button", name="Make key").click()
    dialog = page.get_by_role("dialog", name=f"The key of {name}")
    secret = dialog.locator(".secret").inner_text()
    check(page)
    dialog.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    dialog.get_by_role("button", name="I have kept it").click()
    row = page.locator("tr", has_text=name)
    assert row.get_by_role("cell").nth(2).inner_text() == "encode"
    assert encode(guarded, secret).status_code == 200
    check(page)

    row.get_by_role("button", name=f"Revoke {name}").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    assert encode(guarded, secret).status_code == 200
    row.get_by_role("button", name=f"Revoke {name}").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    page.get_by_text(f"{name} is revoked.").wait_for()
    assert encode(guarded, secret).status_code == 401
    assert row.count() == 0
    page.get_by_label("show revoked ones").check()
    assert row.get_by_text("revoked", exact=True).is_visible()


def test_a_name_with_html_in_it_stays_text(opened: Callable[..., Page], guarded: ServedProcess, admin_key: str) -> None:
    guarded.cli("keys", "create", HTML_NAME)
    page = opened("/login?next=/account")
    log_in(page, admin_key)
    assert page.locator("#keys tbody b", has_text=HTML_NAME).is_visible()
    assert page.locator("#keys img").count() == 0


def test_a_taken_name_is_explained_in_place(opened: Callable[..., Page], admin_key: str, errors: Errors) -> None:
    page = opened("/login?next=/account")
    log_in(page, admin_key)
    page.get_by_label("Name").fill("chief")
    page.get_by_role("button", name="Make key").click()
    page.get_by_role("alert").get_by_text("there is a key named 'chief'").wait_for()
    assert len(errors) == 1
    assert "400" in errors.pop()


def test_usage_is_counted_shown_and_exported(
    opened: Callable[..., Page], guarded: ServedProcess, admin_key: str, tmp_path: Path, check: Callable[[Page], None]
) -> None:
    user_key = guarded.cli("keys", "create", "reader").strip()
    for _ in range(3):
        assert encode(guarded, user_key).status_code == 200
    page = opened("/login?next=/account")
    log_in(page, user_key)
    panel = page.locator("#own-usage")
    panel.locator(".totals dd", has_text=str(3 * len(SEQUENCE))).wait_for()
    assert panel.get_by_role("img", name="Residues by day").is_visible()
    assert page.locator("#keys").count() == 0
    with page.expect_download() as download:
        panel.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "usage.csv")
    (row,) = csv.DictReader((tmp_path / "usage.csv").read_text().splitlines())
    with guarded.client() as client:
        (told,) = client.get("/api/usage", headers={"X-API-Key": user_key}).json()["usage"]
    assert {name: row[name] for name in ("day", "model", "action")} == {
        name: told[name] for name in ("day", "model", "action")
    }
    assert (int(row["requests"]), int(row["residues"])) == (told["requests"], told["residues"]) == (3, 66)
    check(page)

    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login?next=/")
    page.goto("/account")
    assert page.get_by_role("heading", name="You are not logged in").is_visible()
    log_in_again = opened("/login?next=/account")
    log_in(log_in_again, admin_key)
    everybody = log_in_again.locator("#all-usage")
    everybody.locator("select").first.select_option(label="reader")
    assert everybody.locator(".totals dd").first.inner_text() == str(3 * len(SEQUENCE))
    check(log_in_again)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_request_is_tried_on_the_page_of_the_api(
    opened: Callable[..., Page], admin_key: str, check: Callable[[Page], None], dark: bool
) -> None:
    page = opened("/login?next=/docs", dark=dark, phone=dark)
    log_in(page, admin_key)
    route = page.locator(".opblock", has_text="/api/v3/esm2-mini/log_prob")
    route.locator("button.opblock-summary-control").click()
    route.get_by_role("button", name="Try it out").click()
    route.get_by_role("button", name="Execute").click()
    answer = route.locator(".live-responses-table .response")
    answer.wait_for()
    assert answer.locator(".response-col_status").inner_text().startswith("200")
    assert "log_prob" in answer.inner_text()
    check(page)
