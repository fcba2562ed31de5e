"""The status page: green, red when a model's process is killed, green again, with history and incidents throughout."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from esmkit.store import Store
from tests.browser.conftest import Errors
from tests.server_process import ServedProcess, until

DAYS_BACK = {5: (100, 0), 6: (50, 50)}
"""Probes that succeeded and failed, by days before today."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """`esmkit serve` that probes every second, and has a past."""
    folder = tmp_path_factory.mktemp("watched")
    with ServedProcess(folder, "--probe-interval-s", "1") as server:
        store = Store.open(f"sqlite:///{folder}/esmkit.db")
        for back, (good, failed) in DAYS_BACK.items():
            at = datetime.now(UTC) - timedelta(days=back)
            for _ in range(good):
                store.probes.add("esm2-mini", at, True, 20.0)
            for _ in range(failed):
                store.probes.add("esm2-mini", at, False)
        store.close()
        yield server


@pytest.fixture
def opened(open_page: Callable[..., Page], watched: ServedProcess) -> Callable[..., Page]:
    """The status page."""

    def page(**options: bool) -> Page:
        found = open_page("/status", url=watched.url, **options)
        found.get_by_role("button", name="Refresh now").wait_for()
        return found

    return page


def headline(page: Page) -> str:
    return page.locator("#overall").inner_text()


def command(pid: int) -> bytes:
    """What a process runs."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def refreshed(page: Page) -> str:
    """The headline after a refresh, which is another element then."""
    page.evaluate("document.querySelector('#live').dataset.old = 'yes'")
    page.get_by_role("button", name="Refresh now").click()
    page.locator("#live:not([data-old])").wait_for()
    return headline(page)


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_days_can_be_looked_at_with_pointer_keyboard_and_as_a_table(
    opened: Callable[..., Page], check: Callable[[Page], None], phone: bool
) -> None:
    page = opened(phone=phone, dark=phone)
    bars = page.get_by_role("slider", name="Daily uptime of ESM-2 mini")
    groups = page.locator(".uptime g")
    assert groups.count() == 90
    assert groups.nth(89 - 5).get_attribute("class") == "good"
    assert groups.nth(89 - 6).get_attribute("class") == "bad"
    assert groups.nth(89 - 7).get_attribute("class") == "none"
    bars.focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    day = (datetime.now(UTC) - timedelta(days=6)).date()
    expected = f"{day}: 50 % of 100 probes answered, median 20 ms"
    assert page.locator(".readout").inner_text() == expected
    assert bars.get_attribute("aria-valuetext") == expected
    box = bars.bounding_box()
    assert box is not None
    bars.hover(position={"x": box["width"] * 0.5 / 90, "y": 20})
    assert page.locator(".readout").inner_text().endswith("no probes")
    page.get_by_text("Days as a table").click()
    row = page.get_by_role("row", name=str(day))
    assert row.get_by_role("cell").all_inner_texts() == [str(day), "100", "50 %", "20", "20"]
    assert page.locator(".chart canvas").is_visible()
    check(page)


def test_status_turns_red_when_the_runner_is_killed_and_green_when_it_is_back(
    opened: Callable[..., Page], watched: ServedProcess, check: Callable[[Page], None]
) -> None:
    page = opened()
    until(lambda: refreshed(page) == "Everything works")
    assert page.locator(".overall .icon.good").is_visible()
    page.get_by_text("Days as a table").click()
    (runner,) = watched.children()
    os.kill(runner, signal.SIGKILL)
    until(lambda: watched.children() not in ([], [runner]))
    (successor,) = watched.children()
    until(lambda: command(successor) != command(watched.process.pid))  # until then the server waits for it to begin
    os.kill(successor, signal.SIGSTOP)  # it would be back too soon to be looked at
    try:
        assert refreshed(page) == "Down"
        assert page.locator(".overall .icon.bad").is_visible()
        assert page.get_by_text("ESM-2 mini cannot answer now.").is_visible()
        assert page.get_by_text("its process died").is_visible()
        assert page.get_by_role("row", name="50 %").is_visible()  # still open, still read from the store
        check(page)
        page.reload()
        assert headline(page) == "Down"
        with watched.client() as client:
            assert client.get("/status.json").json()["status"] == "down"
    finally:
        os.kill(successor, signal.SIGCONT)
    until(lambda: refreshed(page) == "Everything works")


def test_an_incident_is_shown_from_opening_to_closing(opened: Callable[..., Page], watched: ServedProcess) -> None:
    watched.cli("incident", "open", "Slow <disk>", "--impact", "major", "--message", "It is being replaced.")
    page = opened()
    until(lambda: refreshed(page) == "Working, with problems")
    assert page.get_by_text("Open incident: Slow <disk>.").is_visible()
    incident = page.get_by_role("article").filter(has_text="Slow <disk>")
    assert incident.get_by_text("It is being replaced.").is_visible()
    watched.cli("incident", "close", "1", "--message", "Done.")
    until(lambda: refreshed(page) == "Everything works")
    entries = incident.get_by_role("listitem").locator("p").all_inner_texts()
    assert entries == ["Resolved.", "Done.", "It is being replaced.", "Opened."]


def test_a_server_that_is_gone_is_said_to_be_and_the_page_stays(
    open_page: Callable[..., Page], tmp_path: Path, errors: Errors
) -> None:
    with ServedProcess(tmp_path, "--lazy") as server:
        page = open_page("/status", url=server.url)
        page.get_by_role("button", name="Refresh now").wait_for()
    page.get_by_role("button", name="Refresh now").click()
    page.get_by_text("The server cannot be reached; what is shown is from").wait_for()
    assert page.get_by_text("No model is loaded; each one is at its first request.").is_visible()
    assert errors
    assert all("ERR_CONNECTION" in error for error in errors)
    errors.clear()


def test_the_page_is_readable_without_scripts(open_page: Callable[..., Page], watched: ServedProcess) -> None:
    page = open_page("/status", url=watched.url)
    context = page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    plain = context.new_page()
    plain.goto(f"{watched.url}/status")
    assert plain.locator(".overall").is_visible()
    assert plain.locator(".uptime g").count() == 90
    context.close()


def test_a_day_is_still_chosen_after_a_refresh(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    before = page.locator(".readout").inner_text()
    page.evaluate("document.querySelector('#live').dataset.old = 'yes'")
    page.evaluate("document.querySelector('#refresh').click()")  # a click with the pointer would take the focus
    page.locator("#live:not([data-old])").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"
    assert page.locator(".readout").inner_text() == before
