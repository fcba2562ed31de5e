"""The OpenAPI document: FastAPI's own part, and one concrete path per version, model and action.

Concrete, because BioLM's hub clients read the served models from the paths `/api/v1/{slug}/{action}` of this document.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from esmkit.errors import DeadlineExceededError, EsmkitError, ModelExecutionError, UnknownModelError
from esmkit.server.actions import EXTENSIONS, Extension
from esmkit.server.catalog import LISTED_ACTIONS, ServedModel, resolve_action
from esmkit.server.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    ConflictError,
    DrainingError,
    ForbiddenError,
    InvalidRequestError,
    Issue,
    RangeError,
    RateLimitedError,
    UnauthorizedError,
    UnsupportedMediaError,
    answer_for,
)
from esmkit.server.jobs.shown import EXAMPLES as JOB_EXAMPLES
from esmkit.server.service_docs import EXAMPLES
from esmkit.server.services import Services
from esmkit.server.wire import binary, esm2_docs, esm2_examples, schema
from esmkit.server.wire.base import Version
from esmkit.server.wire.esm2 import ACTIONS

Document = dict[str, Any]

_DESCRIPTION = """
BioLM's API for ESM-2 on this machine, in its three versions, and extensions that never change what an unmodified client
gets. Paths may end with a slash or not, slugs and actions have any case, `HEAD` works wherever `GET` does.

`POST /api/v1/auth/login-check/` tells whether a key is valid: `{"status": "ok", "username": ...}`, or 401. It is not
listed below, because BioLM's hub clients take every `POST /api/v1/{slug}/{action}` for a model.

Request bodies may be compressed, `Content-Encoding: gzip` or `zstd`. Every error has the shape `ErrorBody`.
"""
_TAGS = {
    "catalogue": "Which models there are.",
    "schemas": "JSON Schemas of requests, as BioLM's clients read them.",
    "account": "The key that asks, and what it used.",
    "jobs": "Files of proteins, computed while nobody waits.",
    "health": "How the server is doing.",
}
_SUMMARIES = {
    "encode": "embeddings, contacts, logits, attentions",
    "predict": "logits for masked residues",
    "log_prob": "likelihood of whole sequences",
}
_ERRORS: dict[str, tuple[str, EsmkitError]] = {
    "400": (
        "Something in the request is wrong, and all that is wrong is listed. Nothing was computed.",
        InvalidRequestError([Issue(("items", 1, "sequence"), "the sequence is empty", "sequence_empty")]),
    ),
    "401": ("No valid API key.", UnauthorizedError("no API key; send one as Authorization: Token KEY")),
    "403": ("The key may not do this.", ForbiddenError("the key 'laboratory' may not use predict of esm2-650m")),
    "404": (
        "There is no such thing here; the choices are named.",
        UnknownModelError("no model 'esm9' is served here; choose from esm2-650m", name="esm9", choices=["esm2-650m"]),
    ),
    "408": ("The body came too slowly.", BodyTimeoutError("the body did not arrive within 60 s")),
    "409": ("It is not in the state for this.", ConflictError("the job is running; wait until it is done")),
    "413": ("The body, or the answer, is too large.", BodyTooLargeError("the body is larger than 16777216 bytes")),
    "415": (
        "The body is neither JSON nor gzip or zstd of it.",
        UnsupportedMediaError("Content-Type is 'text/plain': send application/json"),
    ),
    "416": ("The file has no such bytes.", RangeError("the file has 1024 bytes")),
    "429": (
        "Too much at once; Retry-After says when to come back.",
        RateLimitedError("10 requests per second are allowed, 0 are left, this request needs 1", retry_after_s=1),
    ),
    "500": ("The model or the server failed; the log of the server says why.", ModelExecutionError("")),
    "503": ("Shutting down.", DrainingError()),
    "504": ("Not done in time.", DeadlineExceededError("the request was not done within 30 s")),
}
_REQUEST_ID = "0b6f3f1d2c4e4f0b9a7d5e8c1a2b3c4d"
_MODEL_ERRORS = ("400", "401", "403", "408", "413", "415", "429", "503", "504")
_BINARY = {
    binary.ARROW: "An Arrow stream, one row per item.",
    binary.NPZ: "NumPy's npz, arrays `<item>/<name>`.",
    binary.SAFETENSORS: "safetensors, arrays `<item>/<name>`.",
}
_HEADERS: dict[str, tuple[str, Document]] = {
    "X-Request-ID": ("Id of this request in the log; the one that was sent, if it was sensible.", {"type": "string"}),
    "Retry-After": ("Seconds to wait before the next try.", {"type": "integer", "minimum": 1}),
    "RateLimit-Limit": ("How much the limit that is nearest allows.", {"type": "integer"}),
    "RateLimit-Remaining": ("How much of it is left.", {"type": "integer"}),
    "RateLimit-Reset": ("Seconds until more is allowed.", {"type": "integer"}),
    "WWW-Authenticate": ("How to send a key.", {"type": "string"}),
}
_SERVICE_EXAMPLES = EXAMPLES | JOB_EXAMPLES
_SCHEMAS = "#/components/schemas"
_RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def document(app: FastAPI, server: Services) -> Document:
    """The document, made once and then kept."""
    if app.openapi_schema is None:
        known = get_openapi(
            title=app.title, version=app.version, summary=app.summary, description=_DESCRIPTION, routes=app.routes
        )
        _add_models(known, server)
        for name in ("HTTPValidationError", "ValidationError"):
            known["components"]["schemas"].pop(name, None)
        tags = {model.slug: model.description for model in server.catalog.models} | _TAGS
        known["tags"] = [{"name": name, "description": text} for name, text in tags.items()]
        for path in known["paths"].values():
            for operation in path.values():
                _complete(operation, server)
        app.openapi_schema = known
    return app.openapi_schema


def _add_models(document: Document, server: Services) -> None:
    components, paths = document["components"], document["paths"]
    components["schemas"] |= _answer_types(_served(server))
    components["responses"] = {f"Error{status}": _error(status) for status in _ERRORS}
    components["headers"] = {
        name: {"description": text, "schema": kind, "required": name in ("X-Request-ID", "Retry-After")}
        for name, (text, kind) in _HEADERS.items()
    }
    components["securitySchemes"] = _security_schemes()
    for version in Version:
        paths[f"/api/{version}/schema/{{slug}}/{{action}}"] = {"get": _schema_operation(server, version)}
    for name in LISTED_ACTIONS:
        for model in server.catalog.models:
            for version in Version:
                paths[f"/api/{version}/{model.slug}/{name}"] = {"post": _operation(server, model, version, name)}
            operation = _operation(server, model, Version.V2, name, is_legacy=True)
            paths[f"/api/v1/models/{model.slug}/{name}"] = {"post": operation}
    for model in server.catalog.models:
        for action in _served(server):
            paths[f"/api/v3/{model.slug}/{action.name}"] = {"post": _extension_operation(server, model, action)}


def _served(server: Services) -> list[Extension]:
    return [action for action in EXTENSIONS.values() if action.is_served(server.resources)]


def _answer_types(own: Iterable[Extension]) -> Document:
    """Schemas of all answers by name, with those that they refer to."""
    kinds: list[type[BaseModel]] = [esm2_docs.ErrorBody, esm2_docs.RequestSchema]
    for action in ACTIONS:
        kinds += [esm2_docs.response_type(version, action) for version in Version]
        kinds.append(esm2_docs.response_type(Version.V2, action, is_legacy=True))
    kinds += [each.answer for each in own]
    _, found = models_json_schema([(kind, "validation") for kind in kinds], ref_template=f"{_SCHEMAS}/{{model}}")
    types: Document = found["$defs"]
    return types


def _operation(
    server: Services, model: ServedModel, version: Version, name: str, *, is_legacy: bool = False
) -> Document:
    action, label = resolve_action(name), "legacy" if is_legacy else str(version)
    kind = esm2_docs.response_type(version, action, is_legacy=is_legacy)
    bounds, shape = server.bounds, model.shape
    return {
        "tags": [model.slug],
        "operationId": f"{label}_{model.slug}_{name}",
        "summary": f"{model.title} ({label}): {_SUMMARIES[action]}",
        "description": model.description,
        **_exchange(
            request={
                "schema": esm2_docs.request_schema(version, action, bounds, shape, is_legacy=is_legacy),
                "examples": esm2_examples.requests(action, is_legacy=is_legacy),
            },
            answer={
                "schema": _ref("schemas", kind.__name__),
                "examples": esm2_examples.answers(version, action, shape, bounds, is_legacy=is_legacy),
            },
            is_binary=not is_legacy,
        ),
    }


def _extension_operation(server: Services, model: ServedModel, action: Extension) -> Document:
    request, answer = action.examples(server.bounds)
    return {
        "tags": [model.slug],
        "operationId": f"v3_{model.slug}_{action.name}",
        "summary": f"{model.title} (v3): {action.title}",
        "description": f"{action.description} An extension, not one of BioLM's actions.",
        **_exchange(
            request={"schema": action.schema(server.bounds), **request},
            answer={"schema": _ref("schemas", action.answer.__name__), **answer},
            is_binary=action.is_binary,
        ),
    }


def _exchange(*, request: Document, answer: Document, is_binary: bool) -> Document:
    """Body and answers of a model call."""
    binaries: Document = {
        media: {"schema": {"type": "string", "format": "binary", "description": text}}
        for media, text in _BINARY.items()
        if is_binary
    }
    return {
        "requestBody": {
            "required": True,
            "description": "What to compute, of which sequences.",
            "content": {"application/json": request},
        },
        "responses": {
            "200": {
                "description": "One result per item, in order.",
                "headers": _refs(_RATE_HEADERS),
                "content": {"application/json": answer, **binaries},
            },
            **{status: {} for status in _MODEL_ERRORS},
        },
    }


def _schema_operation(server: Services, version: Version) -> Document:
    slugs = [model.slug for model in server.catalog.models]
    model = server.catalog.models[0]
    example = esm2_docs.request_schema(version, "log_prob", server.bounds, model.shape)
    own = [each.name for each in _served(server)] if version is Version.V3 else []
    choices = {"slug": ("Model.", slugs), "action": ("Action.", [*LISTED_ACTIONS, *own])}
    return {
        "tags": ["schemas"],
        "operationId": f"schema_{version}",
        "summary": f"JSON Schema of a request ({version})",
        "description": "BioLM's clients read from it how many items a request may hold, and how often to send one.",
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": text,
                "schema": {"type": "string", "enum": values},
                "example": values[0],
            }
            for name, (text, values) in choices.items()
        ],
        "responses": {
            "200": {
                "description": "The schema, nothing in it behind a reference.",
                "content": {
                    "application/json": {
                        "schema": _ref("schemas", "RequestSchema"),
                        "example": {**example, "throttle_rate": schema.throttle_rate(None)},
                    }
                },
            },
            "404": {},
        },
    }


def _complete(operation: Document, server: Services) -> None:
    """Adds what is the same for all operations: who may call them, how they fail, the request id."""
    responses = operation["responses"]
    # FastAPI documents its own answer for wrong parameters, which this server never gives.
    responses.pop("422", None)
    if "401" in responses:
        free: list[Document] = [] if server.settings.asks_for_keys else [{}]
        operation["security"] = [{scheme: []} for scheme in _security_schemes()] + free
    responses["500"] = {}
    if (example := _SERVICE_EXAMPLES.get(operation["operationId"])) is not None:  # FastAPI leaves out what is null
        next(iter(responses["200"]["content"].values()))["example"] = example
    for status, response in responses.items():
        if "content" in response:
            response["headers"] = {**response.get("headers", {}), **_refs(["X-Request-ID"])}
        else:
            responses[status] = _ref("responses", f"Error{status}")


def _error(status: str) -> Document:
    more = {"401": ["WWW-Authenticate"], "429": ["Retry-After", *_RATE_HEADERS], "503": ["Retry-After"]}
    text, error = _ERRORS[status]
    example = answer_for(error, request_id=_REQUEST_ID).body
    return {
        "description": text,
        "headers": _refs(["X-Request-ID", *more.get(status, [])]),
        "content": {"application/json": {"schema": _ref("schemas", "ErrorBody"), "example": example}},
    }


def _ref(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}


def _refs(headers: Iterable[str]) -> Document:
    return {name: _ref("headers", name) for name in headers}


def _security_schemes() -> dict[str, Document]:
    return {
        "token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token KEY`, as BioLM's clients send it.",
        },
        "bearer": {"type": "http", "scheme": "bearer", "description": "`Bearer KEY`."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The key alone."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "access", "description": "BioLM's cookie."},
    }
