"""Why there is no answer, in words for the user; a provider's own words only where they help, and never with a key."""

from __future__ import annotations

from pydantic_ai import exceptions

from esmkit.agent.chat_events import Failed
from esmkit.agent.chat_settings import ChatSettings
from esmkit.agent.text import quoted

_MOST_DETAIL = 300


def failure(error: exceptions.AgentRunError, settings: ChatSettings) -> Failed:
    """The event for what went wrong between esmkit and a language model."""
    host, name = settings.host, settings.name
    match error:
        case exceptions.RunTimedOut():
            seconds = f"{settings.answer_timeout_s:.0f}"
            return Failed("chat.timeout", f"the answer took longer than {seconds} s and was stopped; ask for less")
        case exceptions.UsageLimitExceeded():
            return Failed(
                "chat.limit",
                f"the answer needs more than is allowed for one ({settings.tokens} tokens, {settings.tool_calls} calls of "
                "tools); ask for less at once, or start a new conversation",
            )
        case exceptions.ModelAuthenticationError():
            return Failed("chat.refused", f"{host} refuses the key of this chat; its operator has to set another")
        case exceptions.ModelNotFoundError():
            return Failed("chat.refused", f"{host} has no model {name!r}; the operator has to choose another")
        case exceptions.ModelContextWindowExceededError():
            return Failed("chat.limit", f"this is more than {name} can read at once; start a new conversation")
        case exceptions.ModelRateLimitError() | exceptions.ModelQuotaExceededError():
            return Failed("chat.refused", f"{host} takes no more requests for now{_wait(error)}")
        case exceptions.ModelTimeoutError() | exceptions.ModelRequestTimeout():
            return Failed("chat.timeout", f"{host} did not answer in time; try again")
        case exceptions.ModelConnectionError():
            return Failed("chat.unreachable", f"no language model can be reached at {host}; is it running there?")
        case exceptions.ModelHTTPError():
            return Failed("chat.refused", f"{host} answers {error.status_code}{_detail(error, settings)}")
        case exceptions.ModelAPIError():
            return Failed("chat.unreachable", f"{host} broke off{_detail(error, settings)}; try again")
        case exceptions.OutputTokenLimitExceeded():
            return Failed("chat.limit", f"{name} reached the most that it may write at once; ask for less")
    return Failed("chat.model", f"{name} gave no usable answer; ask in other words, or use a larger model")


def _wait(error: exceptions.ModelAPIError) -> str:
    return f"; try again in {error.retry_after:.0f} s" if error.retry_after else "; try again later"


def _detail(error: exceptions.ModelAPIError, settings: ChatSettings) -> str:
    """What the provider says, such as that a model knows no tools."""
    body = error.body
    for name in ("error", "message"):
        body = body.get(name, body) if isinstance(body, dict) else body
    if not isinstance(body, str) or not body.strip():
        return ""
    text = body.replace(settings.api_key, "***") if settings.api_key else body
    return f": {quoted(text, _MOST_DETAIL)}"
