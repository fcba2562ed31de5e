"""Links: a small state stands in the address, a large one is kept by the server if asked."""

from __future__ import annotations

import random
from collections.abc import Callable

from playwright.sync_api import Page

from tests.browser.conftest import Errors

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def large_fasta() -> str:
    """Eight proteins that do not compress well."""
    chosen = random.Random(7)
    return "".join(f">protein_{n}\n{''.join(chosen.choices(RESIDUES, k=1500))}\n" for n in range(8))


def copied_link(page: Page, answer: str | None = None) -> str:
    page.get_by_role("button", name="Copy link").click()
    if answer:
        page.get_by_role("dialog").get_by_role("button", name=answer).click()
    page.get_by_text("Copied.").wait_for()
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_a_small_state_stands_in_the_link(open_page: Callable[..., Page]) -> None:
    page = open_page("/")
    page.get_by_role("textbox").fill(">mine\nMKTAYIAKQR\n")
    link = copied_link(page)
    assert "#s=" in link
    other = open_page(link)
    other.get_by_role("tab").first.wait_for()
    assert other.get_by_role("textbox").input_value() == ">mine\nMKTAYIAKQR\n"


def test_a_large_state_is_kept_by_the_server_only_when_asked(
    open_page: Callable[..., Page], check: Callable[[Page], None]
) -> None:
    fasta = large_fasta()
    page = open_page("/")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/web/saved" in request.url else None)
    page.get_by_role("textbox").fill(fasta)
    page.get_by_role("button", name="Copy link").click()
    check(page)
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert sent == []
    link = copied_link(page, "Save on this server")
    assert len(sent) == 1
    assert len(link.partition("#saved=")[2]) == 22
    other = open_page(link, phone=True)
    other.wait_for_function("text => document.querySelector('textarea').value === text", arg=fasta)


def test_a_large_state_can_be_copied_without_the_server(open_page: Callable[..., Page]) -> None:
    page = open_page("/")
    page.get_by_role("textbox").fill(large_fasta())
    link = copied_link(page, "Copy the long link")
    assert len(link) > 6000
    assert "#s=" in link


def test_a_link_to_nothing_says_so(open_page: Callable[..., Page], errors: Errors) -> None:
    page = open_page(f"/#saved={'A' * 22}")
    page.get_by_text("Nothing is saved under this link, or its 30 days have passed.").wait_for()
    assert len(errors) == 1
    assert "404" in errors.pop()
