"""`esmkit chat`: questions about proteins, answered by a language model with ESM-2 as its tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from esmkit.cli.agent_service import ServiceOptions, demand_packages
from esmkit.cli.options import OUT, with_options
from esmkit.errors import demand_module

_LANGUAGE = "Language model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """Which language model, and what it is told; see `with_options`."""

    chat_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ollama:NAME, openai:NAME, anthropic:NAME, or NAME with --chat-base-url; also ESMKIT_CHAT_MODEL. Its "
            "key comes from ESMKIT_CHAT_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY.",
            show_default=False,
            rich_help_panel=_LANGUAGE,
        ),
    ] = None
    chat_base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="OpenAI-compatible API (vLLM, llama.cpp, ...), such as http://127.0.0.1:8080/v1; also "
            "ESMKIT_CHAT_BASE_URL.",
            show_default=False,
            rich_help_panel=_LANGUAGE,
        ),
    ] = None
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Agree that messages leave this machine.", rich_help_panel=_LANGUAGE),
    ] = False
    proteins: Annotated[
        Path | None,
        typer.Option(
            "--proteins",
            "-p",
            help="Proteins to talk about (FASTA, CSV, ...), sent with the first message.",
            show_default=False,
        ),
    ] = None
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where pictures are saved.", show_default=False, rich_help_panel=OUT),
    ] = None


@with_options(ServiceOptions, "service")
@with_options(ChatOptions, "options")
def chat(
    options: ChatOptions,
    service: ServiceOptions,
    question: Annotated[
        str, typer.Argument(help="One question; without it, a conversation begins.", show_default=False)
    ] = "",
) -> int:
    """Ask a language model about proteins; it computes with ESM-2 as its tools.

    You choose the language model: one on this machine, or a provider's. What
    you write goes to it, with the proteins; where that is, you are told
    first. Ctrl-C stops an answer, Ctrl-D ends the conversation.

    Example: esmkit chat --proteins my.fasta "Which positions tolerate changes?"
    """
    demand_packages()
    demand_module("pydantic_ai", reason="the chat needs pydantic-ai", extra="agent")
    from esmkit.cli.chat_run import execute

    return execute(question, options, service)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("chat")(chat)
