"""What an operator says about the chat: which language model, where it is, and how much it may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

from esmkit.errors import InvalidConfigError


@dataclass(frozen=True, slots=True)
class Provider:
    """Who runs language models.

    Attributes:
        title: for people.
        base_url: where its API is, unless the operator names another place.
        variable: the environment variable that usually holds a key for it; None where no key is needed.
    """

    title: str
    base_url: str
    variable: str | None


PROVIDERS = {
    "openai": Provider("OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": Provider("Anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "ollama": Provider("Ollama", "http://127.0.0.1:11434/v1", None),
}
"""By what stands before the colon of a model's name; anything else is a name at an OpenAI-compatible base URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """A language model for the chat, and its limits; made by `resolve`.

    Attributes:
        provider: a name of PROVIDERS, or `compatible`.
        name: of the model, for its provider.
        base_url: of the provider's API.
        api_key: never shown.
        messages_per_minute: of one caller.
        message_characters: of one message.
        tool_calls: for one answer.
        tokens: for one answer, all that its requests send and receive.
        answer_timeout_s: for one answer.
        conversations: kept at the same time; where there are more, the longest unused go.
        expiry_s: a conversation unused for so long is forgotten.
    """

    provider: str
    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    messages_per_minute: int = 20
    message_characters: int = 32_768
    tool_calls: int = 20
    tokens: int = 200_000
    answer_timeout_s: float = 600.0
    conversations: int = 1000
    expiry_s: float = 3600.0

    @classmethod
    def resolve(
        cls,
        model: str | None,
        environment: Mapping[str, str],
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        **limits: Any,
    ) -> Self | None:
        """The settings that an operator's words stand for; None, and so no chat, where no model is named.

        A key in the environment is sent to nobody but the provider whose variable it is: with a base URL of
        one's own, only `api_key` is.

        Args:
            model: `openai:NAME`, `anthropic:NAME`, `ollama:NAME`, or the name of a model at `base_url`.
            environment: may hold the provider's usual variable.
            base_url: of an OpenAI-compatible API, such as `http://127.0.0.1:8080/v1`.
            api_key: the provider's key.
            **limits: the other attributes by name.

        Raises:
            InvalidConfigError: no such provider, no key, or no URL.

        Example:
            >>> ChatSettings.resolve("ollama:qwen3:8b", {}).base_url
            'http://127.0.0.1:11434/v1'
            >>> ChatSettings.resolve(None, {"OPENAI_API_KEY": "sk-..."}) is None
            True
        """
        if not model:
            if base_url or api_key:
                raise InvalidConfigError(
                    "chat_model names the language model; without it there is no chat", setting="chat_model"
                )
            return None
        named, _, name = model.partition(":")
        known = PROVIDERS.get(named) if name else None
        if known is None and base_url is None:
            choices = ", ".join(f"{each}:NAME" for each in PROVIDERS)
            raise InvalidConfigError(
                f"chat_model={model!r}: write {choices}, or give chat_base_url, where an OpenAI-compatible API is",
                setting="chat_model",
            )
        key = api_key
        if known and known.variable and not base_url and not key:
            key = environment.get(known.variable)
            if not key:
                raise InvalidConfigError(
                    f"{known.title} wants a key: set chat_api_key or {known.variable}", setting="chat_api_key"
                )
        return cls(
            provider=named if known else "compatible",
            name=name if known else model,
            base_url=_checked(base_url or (known.base_url if known else "")),
            api_key=key or None,
            **limits,
        )

    @property
    def host(self) -> str:
        """Host and port that messages are sent to."""
        parts = urlsplit(self.base_url)
        shown = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        return f"{shown}:{parts.port}" if parts.port else shown

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on the machine that esmkit runs on."""
        name = urlsplit(self.base_url).hostname or ""
        try:
            return name == "localhost" or ip_address(name).is_loopback
        except ValueError:
            return False

    @property
    def is_remote(self) -> bool:
        """Whether messages leave the machine that esmkit runs on, as through Ollama to one of its cloud models."""
        return not self.is_loopback or self.name.endswith(("-cloud", ":cloud"))

    @property
    def notice(self) -> str:
        """What a user has to know before the first message."""
        if not self.is_remote:
            return (
                f"Your messages, with the sequences in them, and the results of tools are read by the language model "
                f"{self.name} at {self.host}, on the machine where this esmkit runs. They are sent nowhere else."
            )
        place = f"Ollama's cloud, through {self.host}" if self.is_loopback else self.host
        is_open = not self.is_loopback and self.base_url.startswith("http://")
        return (
            f"Your messages, with all sequences in them, and the results of tools leave the machine where this esmkit "
            f"runs: they are sent to {place}, where the language model {self.name} reads them."
            f"{' The connection is not encrypted.' if is_open else ''} Send nothing that must not leave."
        )


def how_to_switch_on() -> str:
    """What an operator does for a chat."""
    return (
        "The chat is off: no language model is chosen for it. Choose one with --chat-model (or ESMKIT_CHAT_MODEL) of "
        "'esmkit serve' or 'esmkit chat': ollama:NAME for a model of Ollama on this machine, NAME with --chat-base-url "
        "for an OpenAI-compatible server such as vLLM or llama.cpp, or openai:NAME or anthropic:NAME with a key in "
        "ESMKIT_CHAT_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY."
    )


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.username or parts.password:
        raise InvalidConfigError("chat_base_url holds a password; put it into chat_api_key", setting="chat_base_url")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidConfigError(
            f"chat_base_url={url!r} is no address; write one such as http://127.0.0.1:8080/v1", setting="chat_base_url"
        )
    return url.rstrip("/")
