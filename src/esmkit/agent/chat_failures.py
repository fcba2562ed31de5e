"""Why there is no answer, in words for the user; a provider's own words only where they help, and never with a key."""

from __future__ import annotations

from pydantic_ai import exceptions

from esmkit.agent.chat_events import Failed
from esmkit.agent.chat_settings import ChatSettings
from esmkit.agent.text import quoted

_MOST_DETAIL = 300
_MESSAGES: tuple[tuple[tuple[type[exceptions.AgentRunError], ...], str, str], ...] = (
    (
        (exceptions.RunTimedOut,),
        "chat.timeout",
        "the answer took longer than {seconds} s and was stopped; ask for less",
    ),
    (
        (exceptions.UsageLimitExceeded,),
        "chat.limit",
        "the answer needs more than is allowed for one ({tokens} tokens, {calls} calls of tools); ask for less at "
        "once, or start a new conversation",
    ),
    (
        (exceptions.ModelAuthenticationError,),
        "chat.refused",
        "{host} refuses the key of this chat; its operator has to set another",
    ),
    (
        (exceptions.ModelNotFoundError,),
        "chat.refused",
        "{host} has no model {name!r}; the operator has to choose another",
    ),
    (
        (exceptions.ModelContextWindowExceededError,),
        "chat.limit",
        "this is more than {name} can read at once; start a new conversation",
    ),
    (
        (exceptions.ModelRateLimitError, exceptions.ModelQuotaExceededError),
        "chat.refused",
        "{host} takes no more requests for now; try again {later}",
    ),
    (
        (exceptions.ModelTimeoutError, exceptions.ModelRequestTimeout),
        "chat.timeout",
        "{host} did not answer in time; try again",
    ),
    (
        (exceptions.ModelConnectionError,),
        "chat.unreachable",
        "no language model can be reached at {host}; is it running there?",
    ),
    ((exceptions.ModelAPIError,), "chat.refused", "{host} refuses{detail}"),
    (
        (exceptions.OutputTokenLimitExceeded,),
        "chat.limit",
        "{name} reached the most that it may write at once; ask for less",
    ),
)
"""The first whose kinds fit."""


def failure(error: exceptions.AgentRunError, settings: ChatSettings) -> Failed:
    """The event for what went wrong between esmkit and a language model."""
    words = {
        "host": settings.host,
        "name": settings.name,
        "tokens": settings.tokens,
        "calls": settings.tool_calls,
        "seconds": f"{settings.answer_timeout_s:.0f}",
        "later": _later(error),
        "detail": _detail(error, settings),
    }
    for kinds, code, message in _MESSAGES:
        if isinstance(error, kinds):
            return Failed(code, message.format(**words))
    return Failed("chat.model", f"{settings.name} gave no usable answer; ask in other words, or use a larger model")


def _later(error: exceptions.AgentRunError) -> str:
    seconds = error.retry_after if isinstance(error, exceptions.ModelAPIError) else None
    return f"in {seconds:.0f} s" if seconds else "later"


def _detail(error: exceptions.AgentRunError, settings: ChatSettings) -> str:
    """What the provider says, such as that a model knows no tools."""
    status = f" ({error.status_code})" if isinstance(error, exceptions.ModelHTTPError) else ""
    body = error.body if isinstance(error, exceptions.ModelAPIError) else None
    for name in ("error", "message"):
        body = body.get(name, body) if isinstance(body, dict) else body
    if not isinstance(body, str) or not body.strip():
        return status
    text = body.replace(settings.api_key, "***") if settings.api_key else body
    return f"{status}: {quoted(text, _MOST_DETAIL)}"
