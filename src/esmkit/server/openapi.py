"""The OpenAPI document: FastAPI's own part, and one concrete path per version, model and action.

Concrete, because BioLM's hub clients read the served models from the paths `/api/v1/{slug}/{action}` of this document.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from esmkit.server.catalog import LISTED_ACTIONS, ServedModel, resolve_action
from esmkit.server.services import Services
from esmkit.server.wire import binary, esm2, schema
from esmkit.server.wire.base import Bounds, Version
from esmkit.server.wire.esm2_docs import ErrorBody, response_type

_SUMMARIES = {
    "encode": "embeddings, contacts, logits, attentions",
    "predict": "logits for masked residues",
    "log_prob": "likelihood of whole sequences",
}
_ERRORS = {
    "400": "Something in the request is wrong; every item is refused together.",
    "401": "No valid API key.",
    "403": "The key may not use this.",
    "408": "The body came too slowly.",
    "413": "The body, or the answer, is too large.",
    "415": "The body is neither JSON nor gzip or zstd of it.",
    "429": "Too much at once; Retry-After says when to come back.",
    "500": "The model or the server failed.",
    "503": "Shutting down.",
    "504": "Not done in time.",
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "encode": {
        "mean": {"items": [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}]},
        "several": {
            "items": [{"sequence": "MKTAYIAKQR"}, {"sequence": "GSHMSLFDFFKNKGSAA"}],
            "params": {"repr_layers": [0, -1], "include": ["mean", "bos", "contacts"]},
        },
    },
    "predict": {"mask": {"items": [{"sequence": "MKTAYIAK<mask>RQISFVKSHFSRQ"}]}},
    "log_prob": {"sequence": {"items": [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}]}},
}


def document(app: FastAPI, server: Services) -> dict[str, Any]:
    """The document, made once and then kept."""
    if app.openapi_schema is None:
        known = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = known.setdefault("components", {})
        components.setdefault("schemas", {})["Error"] = schema.inlined(ErrorBody)
        components["securitySchemes"] = _security_schemes()
        for model in server.catalog.models:
            for version in Version:
                for name in LISTED_ACTIONS:
                    path = f"/api/{version}/{model.slug}/{name}"
                    known["paths"][path] = {"post": _operation(server, model, version, name)}
        _describe_errors(known)
        app.openapi_schema = known
    return app.openapi_schema


def _describe_errors(document: dict[str, Any]) -> None:
    """FastAPI documents its own answer for wrong query parameters, which this server never gives."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path in document["paths"].values():
        for operation in path.values():
            if operation["responses"].pop("422", None):
                operation["responses"]["400"] = {"description": _ERRORS["400"], "content": error}
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _operation(server: Services, model: ServedModel, version: Version, name: str) -> dict[str, Any]:
    settings, action = server.settings, resolve_action(name)
    bounds = Bounds(settings.max_items, settings.max_residues, settings.max_long_residues)
    examples = {title: {"value": value} for title, value in _EXAMPLES[action].items()}
    answer = {"application/json": {"schema": schema.inlined(response_type(version, action))}}
    for media in (binary.ARROW, binary.NPZ, binary.SAFETENSORS):
        answer[media] = {"schema": {"type": "string", "format": "binary"}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "tags": [model.slug],
        "operationId": f"{version}_{model.slug}_{name}",
        "summary": f"{model.title} ({version}): {_SUMMARIES[action]}",
        "description": f"{model.description} With or without a final slash.",
        "security": [{scheme: []} for scheme in _security_schemes()] + ([] if settings.asks_for_keys else [{}]),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schema.inlined(esm2.request_type(version, action, bounds)),
                    "examples": examples,
                }
            },
        },
        "responses": {
            "200": {"description": "One result per item, in order.", "content": answer},
            **{status: {"description": text, "content": error} for status, text in _ERRORS.items()},
        },
    }


def _security_schemes() -> dict[str, dict[str, str]]:
    return {
        "token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token KEY`, as BioLM's clients send it.",
        },
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "access"},
    }
