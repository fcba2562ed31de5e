"""One model call from request to answer: who, may they, what, how much, compute, write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from esmkit.batching import LengthPolicy
from esmkit.errors import EsmkitError, OverloadedError, UserError
from esmkit.server import bodies
from esmkit.server.actions import ACTIONS, PLANNED
from esmkit.server.answers import json_response
from esmkit.server.applied import applied
from esmkit.server.auth import identify
from esmkit.server.boundary import UNTIL_SENT
from esmkit.server.catalog import ServedModel, resolve_action
from esmkit.server.errors import DrainingError, InvalidRequestError, Issue
from esmkit.server.limits import tightest
from esmkit.server.logs import Trace
from esmkit.server.presence import while_connected
from esmkit.server.services import Services, services
from esmkit.server.wire import binary, esm2, legacy
from esmkit.server.wire.base import Call, Version, parsed
from esmkit.types import Failure, Result

JSON_EXPANSION = 4
"""JSON writes about 11 bytes for the 4 of a number, and compressing holds a second, smaller copy."""
AT_ONCE_BYTES = 1 << 15
"""Answers below this size are written at once: a thread would take longer than they do."""


async def answer(request: Request, version: Version, slug: str, action: str, *, is_legacy: bool = False) -> Response:
    """Answers a call of a model.

    Args:
        request: POST, its body not read.
        version: whose shapes to use.
        slug: model in the URL.
        action: action in the URL.
        is_legacy: whether the body is that of BioLM's first API, `{"instances": [...]}`.

    Raises:
        EsmkitError: whatever is wrong; the application turns it into a response.
        ClientGoneError: the client went away.
    """
    server, trace = services(request), trace_of(request)
    if server.draining:
        raise DrainingError()
    caller = await identify(request, server.store, required=server.settings.asks_for_keys)
    trace.key, trace.version = caller.key.id if caller.key else None, version.value
    model = server.catalog.find(slug)
    action = resolve_action(action, None if is_legacy else version)
    trace.model, trace.action = model.slug, action
    caller.check(model=model.slug, action=action)
    media = None if is_legacy else binary.accepted(request.headers.get("accept", ""))
    left = await server.limiter.take_request(caller.id)
    until_sent: ExitStack = request.scope[UNTIL_SENT]
    until_sent.enter_context(server.limiter.running(caller.id))
    if action in ACTIONS:
        return await applied(request, server, model, ACTIONS[action], caller.id, left)
    call = await _planned(request, server, model, action, None if is_legacy else version)
    trace.items, trace.residues = len(call.records), call.residues
    if server.settings.log_sequences:
        trace.sequences = [record.sequence for record in call.records]
    left += await server.limiter.take_residues(caller.id, call.residues)
    size_bytes = call.answer_bytes(model.shape)
    until_sent.enter_context(server.memory.hold(size_bytes, expansion=JSON_EXPANSION if media is None else 1))
    started = time.perf_counter()
    results = await while_connected(request, _computed(server, model, call, trace))
    seconds = time.perf_counter() - started
    server.ledger.add(key_id=trace.key, model=model.slug, action=action, residues=call.residues, seconds=seconds)
    write = partial(_json_answer, request, version) if media is None else partial(_binary_answer, media)
    if size_bytes <= AT_ONCE_BYTES:
        response = write(call, results)
    else:
        response = await asyncio.to_thread(write, call, results)
    response.headers.update(tightest(left))
    return response


def trace_of(request: Request) -> Trace:
    """The notes about a request."""
    trace: Trace = request.scope["esmkit"]
    return trace


async def _planned(
    request: Request, server: Services, model: ServedModel, action: str, version: Version | None
) -> Call:
    settings, bounds = server.settings, server.bounds
    with server.memory.growing() as take:
        body = await bodies.read_json_body(
            request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s, take=take
        )
        if version is None:
            return legacy.plan(body, action, model.shape, bounds)
        if action in PLANNED:
            own = PLANNED[action]
            return own.plan(parsed(own.request(bounds), body), bounds)
        wanted = parsed(esm2.request_type(version, action, bounds), body)
        return esm2.plan(action, [item.sequence for item in wanted.items], wanted.params, model.shape, bounds)


async def _computed(server: Services, model: ServedModel, call: Call, trace: Trace) -> list[Result]:
    """The results, one per item; the whole request fails if one item does."""
    try:
        with trace.computing() as on_start:
            outcomes = await server.queue.submit(
                model.name,
                call.records,
                call.outputs,
                call.options,
                length=LengthPolicy(call.long, server.settings.max_residues),
                priority=call.priority,
                deadline_s=min(call.deadline_s or server.settings.deadline_s, server.settings.deadline_s),
                on_start=on_start,
            )
    except OverloadedError:
        if server.draining:  # the body arrived after the queue had closed
            raise DrainingError() from None
        raise
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:
        raise _failure(failures, call)
    return [outcome for outcome in outcomes if isinstance(outcome, Result)]


def _failure(failures: Sequence[Failure], call: Call) -> EsmkitError:
    """Blames the items where they are to blame; else the first thing that went wrong."""
    for failure in failures:
        if not isinstance(failure.error, UserError):
            return failure.error
    return InvalidRequestError(
        [Issue(call.field_of(failure.index), failure.error.message, failure.error.code) for failure in failures]
    )


def _json_answer(request: Request, version: Version, call: Call, results: Sequence[Result]) -> Response:
    content: dict[str, Any] = {call.results_key: call.entries(version, results)}
    if call.provenance:
        content["esmkit"] = results[0].meta.get("provenance", {})
    return json_response(content, request=request)


def _binary_answer(media: binary.MediaType, call: Call, results: Sequence[Result]) -> Response:
    provenance = results[0].meta.get("provenance", {})
    body = binary.write(media, list(call.arrays(results)), {"provenance": provenance, **call.about(results)})
    return Response(body, headers={"Vary": "Accept, Accept-Encoding"}, media_type=media.content_type)
