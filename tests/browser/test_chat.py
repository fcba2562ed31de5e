"""The chat page: consent, question, tool call, picture, answer, stop; its language model is a stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.chat_stand_in import Provider
from tests.server_process import ServedProcess, until

SCAN = {"mutational_scan_summary": {"sequence": "seq1", "method": "wt_marginal"}}
ANSWER = (
    "It tolerates **most** changes at:\n\n- `A24`\n\n| a | b |\n|---|---|\n| <b>1</b> | ![x](http://x.test/y.png) |"
)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def chatting(tmp_path: Path, provider: Provider) -> Iterator[ServedProcess]:
    with ServedProcess(tmp_path, "--chat-model", "big:cloud", "--chat-base-url", provider.url) as server:
        yield server


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (True, True)], ids=["desktop", "phone"])
def test_a_question_is_answered_after_consent(
    open_page: Callable[..., Page],
    check: Callable[[Page], None],
    chatting: ServedProcess,
    provider: Provider,
    phone: bool,
    dark: bool,
) -> None:
    provider.replies = [SCAN, ANSWER, {"score_mutations": {"sequence": "seq1", "variants": ["W1A"]}}, "No.", None]
    page = open_page("/chat", url=chatting.url, phone=phone, dark=dark)
    page.get_by_role("button", name="Which positions tolerate mutations?").click()
    send = page.get_by_role("button", name="Send")
    assert send.is_disabled()
    page.get_by_label("I agree").check()
    send.click()
    page.get_by_text("It tolerates").wait_for()
    check(page)
    assert page.locator("strong", has_text="most").is_visible()
    assert page.locator(".text td", has_text="<b>1</b>").is_visible()
    assert page.locator(".text").get_by_role("img").count() == 0
    picture = page.get_by_role("img", name="substitutions")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 200")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save PNG").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
    page.locator("summary", has_text="Mutational scan").click()
    shown = json.loads(page.locator("details pre").last.inner_text())
    sent = json.loads(provider.asked[1].body["messages"][-1]["content"])
    assert shown == sent
    check(page)

    message = page.get_by_label("Message", exact=True)
    message.fill("and W1A?")
    message.press("Enter")
    page.get_by_text("refused").wait_for()
    page.get_by_text("No.", exact=True).wait_for()
    message.fill("Talk for ever")
    message.press("Enter")
    page.get_by_text("more more").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    until(lambda: provider.left == 1, timeout_s=30)
    assert message.input_value() == "Talk for ever"
    page.get_by_role("button", name="New conversation").click()
    assert page.get_by_role("button", name="What can I ask?").is_visible()


def test_a_provider_that_is_not_there_is_named(
    open_page: Callable[..., Page], chatting: ServedProcess, provider: Provider
) -> None:
    provider.replies = [404] * 3
    page = open_page("/chat", url=chatting.url)
    page.get_by_label("I agree").check()
    page.get_by_label("Message", exact=True).fill("Hello")
    page.get_by_role("button", name="Send").click()
    assert "has no model 'big:cloud'" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Message", exact=True).input_value() == "Hello"


def test_the_off_state_says_how_to_switch_it_on(open_page: Callable[..., Page], check: Callable[[Page], None]) -> None:
    page = open_page("/chat")
    assert page.get_by_text("--chat-model").first.is_visible()
    check(page)
