"""What `esmkit chat` does: one answer after another, in the terminal."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from esmkit.agent.chat import Chat
from esmkit.agent.chat_conversations import Conversation
from esmkit.agent.chat_events import Done, Event, Failed, Notice, Text, ToolCall, ToolResult
from esmkit.agent.chat_settings import ChatSettings, how_to_switch_on
from esmkit.agent.results import Results
from esmkit.agent.tools import Session
from esmkit.cli.agent_service import ServiceOptions, opened
from esmkit.cli.chat import ChatOptions
from esmkit.errors import InvalidConfigError
from esmkit.inputs import open_records
from esmkit.server.settings import ServerSettings

_PASTED_S = 0.05
"""Lines that come so quickly after another were pasted with it."""
_MOST_SHOWN = 100


def execute(question: str, options: ChatOptions, service: ServiceOptions) -> int:
    """Answers one question, or all until the end of input; the exit code."""
    settings = _settings(options, service)
    told = _Told(Console(highlight=False), Console(stderr=True, highlight=False), options.pictures)
    proteins = _fasta(options.proteins) if options.proteins else ""
    if not _agreed(settings, service, told, is_agreed=options.yes):
        return 2
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            talk = runner.run(_begun(settings, service, stack, told))
            if question:
                last = runner.run(talk.answer(f"{proteins}{question}"))
                return 0 if isinstance(last, Done) else 2 if last.code in ("chat.limit", "chat.message") else 4
            _converse(runner, talk, proteins)
        except KeyboardInterrupt:
            told.aside("stopped")
            return 130
        finally:
            runner.run(stack.aclose())
    return 0


def _settings(options: ChatOptions, service: ServiceOptions) -> ChatSettings:
    given = {"chat_model": options.chat_model, "chat_base_url": options.chat_base_url}
    values = ServerSettings.resolve(given, os.environ, path=service.config).chat()
    settings = ChatSettings.resolve(values.pop("model"), os.environ, **values)
    if settings is None:
        raise InvalidConfigError(how_to_switch_on(), setting="chat_model")
    return settings


def _fasta(path: Path) -> str:
    return "".join(f">{record.id}\n{record.sequence}\n" for record in open_records(path)) + "\n"


def _agreed(settings: ChatSettings, service: ServiceOptions, told: _Told, *, is_agreed: bool) -> bool:
    """Says where messages go, and asks where they leave this machine."""
    told.aside(settings.notice)
    if service.server:
        host = escape(urlsplit(service.server).netloc.rpartition("@")[2])
        told.aside(f"Tools are computed by the esmkit server at {host}, which gets the sequences for them.")
    if not settings.is_remote or is_agreed:
        return True
    if not sys.stdin.isatty():
        raise InvalidConfigError("say --yes if messages may leave this machine", setting="yes")
    try:
        return told.notes.input("Go on? \\[y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


async def _begun(settings: ChatSettings, service: ServiceOptions, stack: AsyncExitStack, told: _Told) -> _Talk:
    chat = Chat(settings)
    stack.push_async_callback(chat.close)
    session = Session(await stack.enter_async_context(opened(service)), Results())
    conversation = chat.conversations.start(session.owner)
    conversation.notice_shown = conversation.notice_accepted = True  # `_agreed` came first
    return _Talk(chat, conversation, session, told)


def _converse(runner: asyncio.Runner, talk: _Talk, proteins: str) -> None:
    for message in _messages(talk.told):
        try:
            runner.run(talk.answer(f"{proteins}{message}"))
            proteins = ""
        except KeyboardInterrupt:
            talk.told.aside("stopped")


def _messages(told: _Told) -> Iterator[str]:
    """What the user types; lines pasted together are one message, and so is all that comes through a pipe."""
    if not sys.stdin.isatty():
        yield from filter(str.strip, [sys.stdin.read()])
        return
    with suppress(ImportError):
        import readline  # noqa: F401 (gives `input` arrow keys)
    while True:
        try:
            lines = [told.answers.input("\n[bold]> [/]")]
            while select.select([sys.stdin], [], [], _PASTED_S)[0]:
                lines.append(input())
        except EOFError:
            return
        except KeyboardInterrupt:
            told.aside("\nCtrl-D ends.")
            continue
        if message := "\n".join(lines).strip():
            yield message


@dataclass(slots=True)
class _Talk:
    """A conversation and what it is shown on."""

    chat: Chat
    conversation: Conversation
    session: Session
    told: _Told

    async def answer(self, message: str) -> Done | Failed:
        """Shows the answer to a message as it comes; its last event."""
        async with aclosing(self.chat.stream(self.conversation, message, self.session)) as events:
            async for event in events:
                self.told.event(event)
                if isinstance(event, Done | Failed):
                    return event
        raise AssertionError("a stream ends with an answer or an error")


@dataclass(slots=True)
class _Told:
    """Answers go to standard output, everything else to standard error."""

    answers: Console
    notes: Console
    pictures: Path | None
    count: int = 0
    is_open: bool = False

    def aside(self, text: str) -> None:
        """A line that is no answer."""
        self.end_line()
        self.notes.print(text, style="dim", markup=False)

    def end_line(self) -> None:
        """Ends a line of the answer that is still open."""
        if self.is_open:
            self.answers.print()
        self.is_open = False

    def event(self, event: Event) -> None:
        """One event."""
        match event:
            case Text(text):
                shown = _visible(text)
                self.answers.print(shown, end="", markup=False, soft_wrap=True)
                self.is_open = not shown.endswith("\n")
            case ToolCall(name=name, arguments=arguments):
                self.aside(f"→ {name} {_short(arguments)}")
            case ToolResult(content=content, is_error=True):
                self.aside(f"  it refuses: {_short(content.get('error'))}")
            case ToolResult(picture=picture, name=name) if picture is not None:
                self.aside(f"  picture: {self._saved(picture.png, name)} ({picture.alt})")
            case Notice(text=text):
                self.aside(text)
            case Done():
                self.end_line()
            case Failed(message=message):
                self.end_line()
                self.notes.print(f"esmkit: error: {message}", style="red", markup=False)

    def _saved(self, png: bytes, name: str) -> str:
        if self.pictures is None:
            return "not saved; --pictures FOLDER saves them"
        self.pictures.mkdir(parents=True, exist_ok=True)
        while True:
            self.count += 1
            path = self.pictures / f"{self.count}-{re.sub(r'[^a-z_]', '', name)}.png"
            try:
                with path.open("xb") as file:
                    file.write(png)
            except FileExistsError:
                continue
            return str(path)


def _visible(text: str) -> str:
    """Without what a terminal would obey: escapes, and characters that hide or turn text."""
    return "".join(each for each in text if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cf", "Cs"))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(_visible(text).split())
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"
