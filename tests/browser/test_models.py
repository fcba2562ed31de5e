"""The page about models: true sizes, and commands that run as they are copied."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page

from tests.server_process import ServedProcess


def snippets(page: Page, title: str) -> dict[str, str]:
    """What the window of code holds, by language."""
    page.get_by_role("button", name=f"{title} as code").click()
    dialog = page.get_by_role("dialog")
    found = {}
    for button in dialog.get_by_role("group", name="Language").get_by_role("button").all():
        button.click()
        found[button.inner_text()] = dialog.locator("pre").inner_text()
    dialog.get_by_role("button", name="Close").click()
    return found


def posted(curl: str) -> httpx.Response:
    """Sends what a curl command would send."""
    _, url, *_, data = shlex.split(curl.replace("\\\n", " "))
    return httpx.post(url, json=json.loads(data), timeout=60)


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_commands_of_a_model_run_as_they_are_copied(
    open_page: Callable[..., Page], served: ServedProcess, check: Callable[[Page], None], phone: bool
) -> None:
    page = open_page("/models", phone=phone, dark=phone)
    for title in ("Embedding", "Masked residue"):
        assert posted(snippets(page, title)["curl"]).status_code == 200, title
    likelihood = snippets(page, "Likelihood")
    (told,) = posted(likelihood["curl"]).json()["results"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(likelihood["Python (esmkit)"], {})
    assert float(printed.getvalue()) == pytest.approx(told["log_prob"], abs=1e-3)
    row = served.cli(*shlex.split(likelihood["CLI"])[1:]).splitlines()[1]
    assert float(row.split()[2]) == pytest.approx(told["log_prob"], abs=1e-3)
    check(page)


def test_the_family_is_listed_with_what_is_served(open_page: Callable[..., Page]) -> None:
    page = open_page("/models")
    row = page.get_by_role("row", name="esm2-650m")
    cells = row.get_by_role("cell").all_inner_texts()
    assert "651,043,254" in cells[1]
    assert cells[2:7] == ["33", "1280", "20", "2.6 GB", "1.3 GB"]
    assert page.get_by_role("row", name="esm2-mini").get_by_text("served").is_visible()


def test_the_digest_of_the_weights_can_be_copied(open_page: Callable[..., Page], served: ServedProcess) -> None:
    page = open_page("/models")
    page.get_by_role("button", name="Copy the sha256").click()
    page.get_by_text("Copied.").wait_for()
    digest = page.evaluate("navigator.clipboard.readText()")
    assert digest in served.cli("models", "verify", "esm2-mini")
