"""A real server, and pages in a real Chromium: console errors, errors of scripts and failed requests fail a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.server_process import ServedProcess

DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder takes minutes, and comes last: from the first page on, an event loop runs in this thread."""
    items.sort(key=lambda item: HERE in item.path.parents)
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, from CHROMIUM or the PATH."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium: apt install chromium, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """`esmkit serve` with the embedded model, keys off."""
    with ServedProcess(tmp_path_factory.mktemp("served")) as server:
        yield server


class Errors(list[str]):
    """What went wrong in a page; a test that expects something takes it out."""


@pytest.fixture
def errors() -> Errors:
    return Errors()


@pytest.fixture
def open_page(browser: Browser, served: ServedProcess, errors: Errors) -> Iterator[Callable[..., Page]]:
    """Opens a path of the server: `open_page("/map", phone=True, dark=True)`; `url` for another server."""
    contexts = []

    def opened(path: str, *, phone: bool = False, dark: bool = False, url: str | None = None) -> Page:
        context = browser.new_context(
            base_url=url or served.url,
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
            reduced_motion="reduce",
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors, errors


@pytest.fixture
def check() -> Callable[[Page], None]:
    """Fails if axe-core finds something, or the page can be scrolled sideways."""

    def checked(page: Page) -> None:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"the page is {too_wide} px wider than the window"

    return checked
