"""A language model that answers with the tools: one message in, a stream of events out."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from pydantic_ai import Agent, AgentRunResultEvent, RunContext, ToolFailed, UsageLimits
from pydantic_ai import Tool as ModelTool
from pydantic_ai.exceptions import AgentRunError, UsageLimitExceeded
from pydantic_ai.messages import (
    AgentStreamEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessagesTypeAdapter,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import Model

from esmkit.agent.chat_conversations import Conversation, Conversations
from esmkit.agent.chat_events import Done, Event, Failed, Notice, Text, ToolCall, ToolResult
from esmkit.agent.chat_failures import failure
from esmkit.agent.chat_instructions import INSTRUCTIONS
from esmkit.agent.chat_models import client_for, model_for
from esmkit.agent.chat_settings import ChatSettings
from esmkit.agent.tools import TOOLS, Picture, Session, Tool, ToolError, use

MOST_HISTORY_BYTES = 2**20
"""Of one conversation; more than language models read well."""
RETRIES = 3
"""How often in a row a model may write a call that is no JSON."""
_LOG = logging.getLogger("esmkit.chat")


@dataclass(slots=True)
class _Turn:
    """One answer while it is made."""

    session: Session
    conversation: Conversation
    calls_left: int
    pictures: dict[str, Picture] = field(default_factory=dict)
    calls: int = 0


class Chat:
    """A language model with tools, and its conversations.

    Args:
        settings: which model, and how much it may do.
        tools: what it may use.
        model: in place of the one that the settings name, for tests.
    """

    def __init__(self, settings: ChatSettings, *, tools: Sequence[Tool] = TOOLS, model: Model | None = None) -> None:
        self.settings = settings
        self.conversations = Conversations(most=settings.conversations, expiry_s=settings.expiry_s)
        self._titles = {tool.name: tool.title for tool in tools}
        self._client = client_for(settings)
        self._rate = RateLimitItemPerMinute(settings.messages_per_minute)
        self._counted = MovingWindowRateLimiter(MemoryStorage())
        self._agent: Agent[_Turn, str] = Agent(
            model or model_for(settings, self._client),
            name="esmkit",
            deps_type=_Turn,
            instructions=INSTRUCTIONS,
            tools=[_for_model(tool) for tool in tools],
            retries=RETRIES,
        )

    async def close(self) -> None:
        """Closes the connections to the provider."""
        await self._client.aclose()

    async def stream(
        self, conversation: Conversation, message: str, session: Session, *, accept_notice: bool = False
    ) -> AsyncGenerator[Event, None]:
        """Answers a message.

        Closing the stream, or cancelling who reads it, stops the request to the provider and the tools.

        Args:
            conversation: what was said before; holds the answer too once that is whole.
            message: of the user.
            session: what tools work with.
            accept_notice: whether the user has read the notice and agrees that messages leave this machine. Until
                then nothing is sent anywhere: the stream is one Notice.

        Yields:
            Events; the last is Done or Failed, or a Notice that must be accepted.
        """
        conversation.notice_accepted |= accept_notice
        if self.settings.is_remote and not conversation.notice_accepted:
            yield Notice(self.settings.notice, must_accept=True)
            return
        refusal = await self._refusal(conversation, message)
        if refusal is not None:
            yield refusal
            return
        conversation.is_busy = True
        try:
            if not conversation.notice_shown and not self.settings.is_remote:
                yield Notice(self.settings.notice, must_accept=False)
            conversation.notice_shown = True
            async with aclosing(self._answer(conversation, message, session)) as events:
                async for event in events:
                    yield event
        finally:
            conversation.is_busy = False

    async def _refusal(self, conversation: Conversation, message: str) -> Failed | None:
        chosen = self.settings
        if not message.strip():
            return Failed("chat.message", "the message is empty")
        if len(message) > chosen.message_characters:
            return Failed(
                "chat.limit", f"a message may have {chosen.message_characters} characters, this has {len(message)}"
            )
        if conversation.is_busy:
            return Failed("chat.busy", "an answer is still being written in this conversation; stop it or wait")
        if conversation.size_bytes > MOST_HISTORY_BYTES:
            return Failed("chat.limit", "this conversation is as long as it may be; start a new one")
        if not await self._counted.hit(self._rate, conversation.owner):
            return Failed("chat.limit", f"{chosen.messages_per_minute} messages per minute are allowed; wait a little")
        return None

    async def _answer(self, conversation: Conversation, message: str, session: Session) -> AsyncGenerator[Event, None]:
        chosen = self.settings
        turn = _Turn(session, conversation, chosen.tool_calls)
        run = self._agent.run_stream_events(
            conversation.pasted.quote(message),
            deps=turn,
            message_history=conversation.messages,
            usage_limits=UsageLimits(request_limit=chosen.tool_calls + RETRIES),
            timeout=chosen.answer_timeout_s,
        )
        try:
            async with run as events:
                async for event in events:
                    if isinstance(event, AgentRunResultEvent):
                        conversation.messages = event.result.all_messages()
                        new = ModelMessagesTypeAdapter.dump_json(event.result.new_messages())
                        conversation.size_bytes += len(new)
                        used = event.result.usage
                        yield Done(used.input_tokens, used.output_tokens, used.requests, turn.calls)
                    elif events.usage.total_tokens > chosen.tokens:
                        raise UsageLimitExceeded("tokens")
                    elif (shown := self._shown(event, turn)) is not None:
                        yield shown
        except AgentRunError as error:
            yield failure(error, chosen)

    def _shown(self, event: AgentStreamEvent, turn: _Turn) -> Event | None:
        match event:
            case PartStartEvent(part=TextPart(content=text)) if text:
                return Text(text)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                return Text(text)
            case FunctionToolCallEvent(part=part):
                return ToolCall(part.tool_call_id, part.tool_name, self._title(part), _arguments(part))
            case FunctionToolResultEvent(part=part):
                return _result(part, turn.pictures.pop(part.tool_call_id, None))
        return None

    def _title(self, part: ToolCallPart) -> str:
        return self._titles.get(part.tool_name, part.tool_name)


def _for_model(tool: Tool) -> ModelTool[_Turn]:
    """The tool as the framework calls it; every refusal is a result that the model reads."""

    async def run(context: RunContext[_Turn], **arguments: Any) -> dict[str, Any]:
        turn = context.deps
        if turn.calls_left <= 0:
            raise ToolFailed("no calls of tools are left for this answer; answer with what you have")
        turn.calls_left -= 1
        turn.calls += 1
        try:
            answer = await use(tool, turn.conversation.pasted.resolved(arguments), turn.session)
        except ToolError as error:
            raise ToolFailed(error.message) from None
        except Exception:
            _LOG.exception("the tool %s failed", tool.name)
            raise ToolFailed("the tool failed; the log of the server has the reason") from None
        if answer.picture is not None and context.tool_call_id is not None:
            turn.pictures[context.tool_call_id] = answer.picture
        return answer.content

    return ModelTool.from_schema(run, tool.name, tool.description, tool.schema, takes_ctx=True)


def _arguments(part: ToolCallPart) -> dict[str, Any]:
    try:
        return part.args_as_dict()
    except (ValueError, AssertionError):
        return {"unreadable": str(part.args)[:200]}


def _result(part: ToolReturnPart, picture: Picture | None) -> ToolResult:
    is_error = part.outcome != "success"
    content = part.content
    if is_error or not isinstance(content, dict):
        content = {"error": content if isinstance(content, str) else json.dumps(content, default=str)}
    return ToolResult(part.tool_call_id, part.tool_name, content, is_error, picture)
