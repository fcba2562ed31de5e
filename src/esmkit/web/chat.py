"""The chat for browsers: a message in, the events of its answer out, as they come."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from esmkit.agent.chat_settings import ChatSettings, how_to_switch_on
from esmkit.errors import InvalidConfigError, demand_module
from esmkit.server.answers import json_response
from esmkit.server.auth import Caller, address_of, check_origin, identify
from esmkit.server.calls import trace_of
from esmkit.server.errors import DrainingError
from esmkit.server.services import services
from esmkit.web.requests import read

if TYPE_CHECKING:
    from esmkit.agent.chat import Chat
    from esmkit.agent.chat_conversations import Conversation
    from esmkit.agent.results import Results
    from esmkit.agent.service import Service

router = APIRouter(prefix="/web/chat", include_in_schema=False)
_IDENTITY = ("authorization", "x-api-key", "cookie", "x-csrf-token")
"""Headers that say who asks; the tools ask the API with the same."""


class Message(BaseModel):
    """What a user says.

    Attributes:
        message: in words, with proteins.
        conversation: its id; None begins one.
        accept_notice: whether the user agrees that messages leave the server.
    """

    message: str
    conversation: str | None = Field(default=None, max_length=100)
    accept_notice: bool = False


class Ending(BaseModel):
    """Which conversation is to be forgotten."""

    conversation: str = Field(max_length=100)


@dataclass(frozen=True, slots=True)
class _Talk:
    """One application's chat, and the results of its tools."""

    chat: Chat
    results: Results = field(repr=False)


def prepare(app: FastAPI) -> None:
    """Makes the chat that the settings of an application name, if any; it is closed with the application.

    Raises:
        InvalidConfigError: the settings of the chat are wrong.
        MissingExtraError: it needs a package that is missing.
    """
    app.state.chat = None
    values = app.state.services.settings.chat()
    settings = ChatSettings.resolve(values.pop("model"), os.environ, **values)
    if settings is None:
        return
    demand_module("pydantic_ai", reason="chat_model needs the package pydantic-ai", extra="agent")
    from esmkit.agent.chat import Chat
    from esmkit.agent.results import Results

    chat = Chat(settings)
    app.state.chat = _Talk(chat, Results())
    rest = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with rest(app) as state:
            try:
                yield state
            finally:
                await chat.close()

    app.router.lifespan_context = lifespan


async def description(request: Request) -> dict[str, Any]:
    """What the page knows at load: whether there is a chat, with what, and where messages go."""
    talk: _Talk | None = request.app.state.chat
    if talk is None:
        return {"is_on": False, "how": how_to_switch_on()}
    settings = talk.chat.settings
    return {
        "is_on": True,
        "model": settings.name,
        "notice": settings.notice,
        "must_accept": settings.is_remote,
        "message_characters": settings.message_characters,
    }


@router.post("/messages")
async def answer(request: Request) -> Response:
    """Answers a message with a stream of server-sent events; the first names the conversation."""
    talk, caller = await _entered(request)
    asked = await read(request, Message)
    conversations = talk.chat.conversations
    if asked.conversation is None:
        conversation = conversations.start(caller.id)
    else:
        conversation = conversations.find(caller.id, asked.conversation)
    events = _events(request, talk, conversation, asked)
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.post("/end")
async def end(request: Request) -> Response:
    """Forgets a conversation."""
    talk, caller = await _entered(request)
    talk.chat.conversations.end(caller.id, (await read(request, Ending)).conversation)
    return json_response({"status": "ok"})


async def _entered(request: Request) -> tuple[_Talk, Caller]:
    """The chat, for who may use it."""
    server = services(request)
    check_origin(request)
    caller = await identify(request, server.store, required=server.settings.asks_for_keys)
    trace_of(request).key = caller.key.id if caller.key else None
    if server.draining:
        raise DrainingError()
    talk: _Talk | None = request.app.state.chat
    if talk is None:
        raise InvalidConfigError(how_to_switch_on(), setting="chat_model")
    return talk, caller


async def _events(
    request: Request, talk: _Talk, conversation: Conversation, asked: Message
) -> AsyncGenerator[bytes, None]:
    from esmkit.agent.tools import Session

    service = _service(request)
    session = Session(service, talk.results, conversation.owner)
    stream = talk.chat.stream(conversation, asked.message, session, accept_notice=asked.accept_notice)
    yield _written({"kind": "conversation", "id": conversation.id})
    try:
        async with aclosing(stream) as events:
            async for event in events:
                yield _written(event.to_dict())
    finally:
        await service.close()


def _service(request: Request) -> Service:
    """This server's API as who sent the request sees it: key or session, limits, usage."""
    import httpx

    from esmkit.agent.service import Service

    client = httpx.AsyncClient(
        base_url="http://127.0.0.1",
        headers={name: value for name in _IDENTITY if (value := request.headers.get(name))},
        transport=httpx.ASGITransport(request.app, raise_app_exceptions=False, client=(address_of(request), 0)),
        timeout=None,  # the server has deadlines of its own  # noqa: S113
    )
    return Service(client)


def _written(event: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
