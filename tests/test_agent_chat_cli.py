"""`esmkit chat`: what is told first, what is shown, how it is stopped."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from esmkit.server.settings import describe
from tests.chat_stand_in import Provider
from tests.cli_calls import ROOT, Esmkit, examples, in_process, start, write_fasta

NAME = "P56552"
PROTEIN = examples()[NAME]
SCAN = {"mutational_scan_summary": {"sequence": "seq1", "method": "wt_marginal", "positions": [1, 2, 3]}}
_PATIENCE_S = 60


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Esmkit:
    monkeypatch.setenv("ESMKIT_HOME", str(tmp_path / "home"))
    return in_process(monkeypatch, capsys)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


def test_one_question_is_answered_with_tools_and_pictures(esmkit: Esmkit, provider: Provider, tmp_path: Path) -> None:
    provider.replies = [SCAN, "Position 2 tolerates \x1b[31mmost."]
    proteins, folder = write_fasta(tmp_path / "p.fasta", [(f"{NAME} says hello", PROTEIN)]), tmp_path / "pictures"
    call = esmkit(
        *("chat", "Which positions tolerate changes?", "--proteins", proteins, "--pictures", folder),
        *("--chat-model", "stand-in", "--chat-base-url", provider.url),
    )
    assert (call.code, call.out) == (0, "Position 2 tolerates [31mmost. \n")
    shown = " ".join(call.err.split())
    assert shown.startswith("Your messages, with the sequences in them, and the results of tools are read by")
    assert '→ mutational_scan_summary {"sequence": "seq1", "method": "wt_marginal", "positions": [1, 2, 3]}' in shown
    (picture,) = folder.iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.name == "1-mutational_scan_summary.png"
    user = provider.asked[0].body["messages"][1]["content"]
    assert '"name": "P56552"' in user
    assert user.endswith("Which positions tolerate changes?")


def test_nothing_leaves_this_machine_without_yes(
    esmkit: Esmkit, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = esmkit("chat", "Hello", "--chat-model", "big:cloud", "--chat-base-url", provider.url)
    assert call.code == 2
    assert "leave the machine" in " ".join(call.err.split())
    assert call.err.endswith("error: say --yes if messages may leave this machine\n")
    assert provider.asked == []
    provider.replies = ["Hello."]
    monkeypatch.setenv("ESMKIT_CHAT_API_KEY", "s3cret")
    call = esmkit("chat", "Hello", "--yes", "--chat-model", "big:cloud", "--chat-base-url", provider.url)
    assert (call.code, call.out) == (0, "Hello. \n")
    assert provider.asked[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in call.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "The chat is off: no language model is chosen for it. Choose one with --chat-model"),
        (("--chat-model", "gpt"), "write openai:NAME, anthropic:NAME, ollama:NAME, or give chat_base_url"),
        (("--chat-model", "openai:gpt"), "OpenAI wants a key: set chat_api_key or OPENAI_API_KEY"),
        (("--chat-model", "ollama:x", "--proteins", "/nowhere.fasta"), "/nowhere.fasta"),
        (("--chat-model", "ollama:x", "--server", "nowhere"), "--server 'nowhere' is no address"),
    ],
)
def test_wrong_arguments_are_explained(
    esmkit: Esmkit, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    call = esmkit("chat", "Hello", *arguments)
    assert (call.code, call.out) == (2, "")
    assert message in call.err


def test_a_provider_that_is_not_there_is_an_error(esmkit: Esmkit) -> None:
    call = esmkit("chat", "Hello", "--chat-model", "x", "--chat-base-url", "http://127.0.0.1:9/v1")
    assert (call.code, call.out) == (4, "")
    assert "error: no language model can be reached at 127.0.0.1:9" in " ".join(call.err.split())


def test_a_conversation_pastes_stops_and_ends(provider: Provider, tmp_path: Path) -> None:
    provider.replies = ["One protein.", None, "Gone on."]
    keyboard, terminal = pty.openpty()
    process = start(
        *("chat", "--chat-model", "stand-in", "--chat-base-url", provider.url),
        stdin=terminal,
        env={**os.environ, "ESMKIT_HOME": str(tmp_path), "TERM": "dumb"},
    )
    os.close(terminal)
    try:
        os.write(keyboard, f">{NAME}\n{PROTEIN}\nWhat is this?\n".encode())
        _wait_for(lambda: len(provider.asked) == 1)
        time.sleep(1)  # until it asks again
        os.write(keyboard, b"Talk for ever.\n")
        _wait_for(lambda: len(provider.asked) == 2)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _wait_for(lambda: provider.left == 1)
        time.sleep(0.5)
        os.write(keyboard, b"And now?\n")
        _wait_for(lambda: len(provider.asked) == 3)
        time.sleep(0.5)
        os.write(keyboard, b"\x04")
        out, err = process.communicate(timeout=_PATIENCE_S)
    finally:
        process.kill()
        os.close(keyboard)
    assert (process.returncode, "stopped" in err) == (0, True), err
    assert out.index("One protein.") < out.index("more more") < out.index("Gone on.")
    said = [each["content"] for each in provider.asked[-1].body["messages"] if each["role"] == "user"]
    assert len(said) == 2
    assert said[0].split("\n")[1] == "What is this?"
    assert said[1] == "And now?"


def test_the_page_names_every_limit() -> None:
    page = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    limits = [(name, default) for name, default, _ in describe() if name.startswith("chat_") and default is not None]
    assert len(limits) == 7
    assert all(f"| `{name}` | {default:g} |" in page or f"| `{name}` | {default} |" in page for name, default in limits)


def _wait_for(condition: object) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)
