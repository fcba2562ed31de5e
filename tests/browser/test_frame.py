"""Every page: opens without errors, accessible, at both sizes and in both themes, and at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from esmkit.web.pages import PAGES


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_page_opens_clean(
    open_page: Callable[..., Page], check: Callable[[Page], None], path: str, dark: bool, phone: bool
) -> None:
    page = open_page(path, phone=phone, dark=dark)
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").count() == 1
    check(page)


def test_first_paint_comes_within_a_second_and_nothing_jumps(open_page: Callable[..., Page]) -> None:
    page = open_page("/")
    page.wait_for_load_state("networkidle")
    painted_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    shift = page.evaluate(
        """() => new Promise((resolve) => {
             let sum = 0;
             new PerformanceObserver((list) => { for (const each of list.getEntries()) sum += each.value; })
               .observe({type: 'layout-shift', buffered: true});
             setTimeout(() => resolve(sum), 300);
           })"""
    )
    assert painted_ms < 1000
    assert shift < 0.05


def test_theme_is_kept(open_page: Callable[..., Page]) -> None:
    page = open_page("/")
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    page.reload()
    assert page.get_by_role("button", name="Theme: dark").is_visible()


def test_menu_opens_on_a_phone(open_page: Callable[..., Page]) -> None:
    page = open_page("/", phone=True)
    assert not page.get_by_role("link", name="Models").is_visible()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Models").click()
    page.wait_for_url("**/models")
