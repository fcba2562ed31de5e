"""A stand-in for providers of language models: OpenAI's chat completions and Anthropic's messages on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

Reply = str | dict[str, Any] | list[dict[str, Any]] | int | None
"""Text; a call of a tool `{name: arguments}` or several; a status to refuse with; None for a text that never ends."""


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    headers: dict[str, str]
    body: dict[str, Any]
    text: str


@dataclass
class Provider:
    """Answers requests with `replies`, in order.

    Attributes:
        replies: what is still to say.
        asked: requests, oldest first.
        left: how often a client went away before the end.
        counts_tokens: whether it sends usage; some servers do not.
        redirect: where it sends clients on to.
        refusal: the body of a refusal.
    """

    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    left: int = 0
    counts_tokens: bool = True
    redirect: str | None = None
    refusal: Any = field(default_factory=lambda: {"error": {"message": "not for you"}})

    def __enter__(self) -> Self:
        paths = ("/v1/chat/completions", "/v1/messages")
        app = Starlette(routes=[Route(path, self._answer, methods=["POST"]) for path in paths])
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        self.asked.append(Asked(dict(request.headers), json.loads(body), body.decode()))
        if self.redirect is not None:
            return RedirectResponse(self.redirect, status_code=307)
        reply = self.replies.pop(0)
        if isinstance(reply, int):
            return JSONResponse(self.refusal, status_code=reply)
        if request.url.path == "/v1/messages":
            return StreamingResponse(_anthropic(reply), media_type="text/event-stream")
        return StreamingResponse(self._chunks(reply), media_type="text/event-stream")

    async def _chunks(self, reply: str | dict[str, Any] | list[dict[str, Any]] | None) -> AsyncIterator[str]:
        try:
            if reply is None:
                while True:
                    yield _event({"content": "more "})
                    await asyncio.sleep(0.02)
            if isinstance(reply, str):
                for word in reply.split(" "):
                    yield _event({"content": f"{word} "})
            else:
                for chunk in _calls(reply if isinstance(reply, list) else [reply]):
                    yield chunk
            yield _event({}, "stop" if isinstance(reply, str) else "tool_calls")
            if self.counts_tokens:
                used = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
                yield f"data: {json.dumps({**_HEAD, 'choices': [], 'usage': used})}\n\n"
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left += 1
            raise


_HEAD = {"id": "answer-1", "object": "chat.completion.chunk", "created": 1, "model": "stand-in"}


def _event(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish}
    return f"data: {json.dumps({**_HEAD, 'choices': [choice]})}\n\n"


def _calls(calls: list[dict[str, Any]]) -> list[str]:
    """Name first, then the arguments in two pieces, as providers stream them."""
    chunks = []
    for index, call in enumerate(calls):
        ((name, arguments),) = call.items()
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        half = len(written) // 2
        head = {"index": index, "id": f"call-{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        chunks.append(_event({"tool_calls": [head]}))
        chunks += [
            _event({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
            for part in (written[:half], written[half:])
        ]
    return chunks


async def _anthropic(reply: Reply) -> AsyncIterator[str]:
    """Text, or one call of a tool, as Anthropic streams them."""
    usage = {"input_tokens": 100, "output_tokens": 1}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "stand-in", "content": [], "usage": usage}
    if isinstance(reply, dict):
        ((name, arguments),) = reply.items()
        block = {"type": "tool_use", "id": "call-0", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
    else:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": str(reply)}
    stop = "tool_use" if isinstance(reply, dict) else "end_turn"
    for event in (
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 10}},
        {"type": "message_stop"},
    ):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
