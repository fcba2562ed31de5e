"""One call of an action of esmkit's own, once it is clear who asks: read, check, compute in a thread, write."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from esmkit.batching import LengthPolicy
from esmkit.outputs import OutputOptions
from esmkit.server import bodies
from esmkit.server.actions.base import Action
from esmkit.server.actions.queued import QueuedEngine, queued_model
from esmkit.server.answers import json_response
from esmkit.server.boundary import UNTIL_SENT
from esmkit.server.catalog import ServedModel
from esmkit.server.errors import UnknownActionError
from esmkit.server.limits import Left, tightest
from esmkit.server.logs import Trace
from esmkit.server.presence import while_connected
from esmkit.server.services import Services
from esmkit.server.wire.base import parsed
from esmkit.server.wire.esm2 import Params
from esmkit.types import Record, Result

JSON_EXPANSION = 4
"""JSON writes about 11 bytes for the 4 of a number, and compressing holds a second, smaller copy."""


async def applied(
    request: Request, server: Services, model: ServedModel, action: Action, caller_id: str, left: Left
) -> Response:
    """Answers a call.

    Args:
        request: POST, its body not read.
        server: the services.
        model: that was named.
        action: that was named.
        caller_id: who is counted.
        left: of the caller's rates.

    Raises:
        EsmkitError: whatever is wrong; the application turns it into a response.
        ClientGoneError: the client went away.
    """
    if not action.is_served(server.resources):
        raise UnknownActionError(f"{action.name} is not offered: the operator has given this server nothing for it")
    trace: Trace = request.scope["esmkit"]
    asked = await _asked(request, server, action)
    cost = action.cost(asked, server.bounds)
    trace.items, trace.residues = cost.items, cost.residues
    if server.settings.log_sequences:
        trace.sequences = [sequence for item in asked.items for sequence in item.sequences.values()]
    left += await server.limiter.take_residues(caller_id, cost.residues)
    until_sent: ExitStack = request.scope[UNTIL_SENT]
    until_sent.enter_context(server.memory.hold(4 * cost.numbers, expansion=JSON_EXPANSION))
    started = time.perf_counter()
    with trace.computing() as on_start:
        engine = await _engine(server, model, asked.params, on_start)
        try:
            results = await while_connected(request, _computed(server, action, asked, engine))
        except BaseException:
            engine.cancel()
            raise
    seconds = time.perf_counter() - started
    server.ledger.add(key_id=trace.key, model=model.slug, action=action.name, residues=cost.residues, seconds=seconds)
    content: dict[str, Any] = {"results": results}
    if asked.params.provenance:
        content["esmkit"] = engine.provenance
    response = await asyncio.to_thread(json_response, content, request=request)
    response.headers.update(tightest(left))
    return response


async def _asked(request: Request, server: Services, action: Action) -> Any:
    settings = server.settings
    with server.memory.growing() as take:
        body = await bodies.read_json_body(
            request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s, take=take
        )
        return parsed(action.request(server.bounds), body)


async def _engine(server: Services, model: ServedModel, params: Params, on_start: Any) -> QueuedEngine:
    """The model behind the queue; asks it once who it is, which loads it."""
    ends_s = time.monotonic() + min(params.deadline_s or server.settings.deadline_s, server.settings.deadline_s)

    def submit(*asked: Any, **policies: Any) -> Any:
        left_s = max(1e-3, ends_s - time.monotonic())
        options = {"priority": params.priority, "deadline_s": left_s, "on_start": on_start, **policies}
        return server.queue.submit(model.name, *asked, **options)

    (result,) = await submit([Record(0, "who", "M")], ["mean"], OutputOptions())
    if not isinstance(result, Result):
        raise result.error
    return QueuedEngine(submit, model.shape, dict(result.meta["provenance"]), asyncio.get_running_loop())


async def _computed(server: Services, action: Action, asked: Any, engine: QueuedEngine) -> Any:
    model = queued_model(engine, LengthPolicy(asked.params.long, server.settings.max_residues))
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(server.workers, action.run, asked, model, server.resources)
