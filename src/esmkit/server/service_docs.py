"""The answers of the service routes as types with an example each: for the OpenAPI document, checked by the tests."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from esmkit.server.wire.esm2_docs import Shown
from esmkit.server.wire.esm2_knowledge import KNOWLEDGE
from esmkit.store import Impact

State = Literal["unloaded", "loading", "ready", "failed"]
Overall = Literal["ok", "degraded", "down", "draining"]
_TIME = "2026-03-01T12:00:00+00:00"


def answered(kind: Any, *errors: int) -> dict[str, Any]:
    """What FastAPI is told about a route that answers JSON; its example is in EXAMPLES, under the route's name.

    Args:
        kind: type of the answer.
        errors: statuses of the errors that it may give, described in one place for all routes.
    """
    return {"response_model": kind, "responses": {status: {} for status in errors}}


class Root(Shown):
    """What answers here."""

    status: Literal["ok"] = Field(description="BioLM's hub clients take ok for healthy.")
    message: str = Field(description="Name and version of the server.")
    supported_models: list[str] = Field(description="Slugs of the served models.")
    links: dict[str, str] = Field(description="Paths of this server by what is there.")


class ModelEntry(Shown):
    """One model as BioLM's catalogue lists it; several fields have two names, as its clients read either."""

    model_slug: str = Field(description="Its place in URLs.")
    slug: str = Field(description="The same as model_slug.")
    model_name: str = Field(description="Name for people.")
    name: str = Field(description="The same as model_name.")
    description: str = Field(description="One line about it.")
    tags: list[str] = Field(description="Key words.")
    actions: list[str] = Field(description="What may stand after the slug in URLs.")
    encoder: bool = Field(description="It has encode.")
    predictor: bool = Field(description="It has predict.")
    generator: bool = Field(description="It has generate.")
    classifier: bool = Field(description="It has classify.")
    similarity: bool = Field(description="It has similarity.")
    api_docs_link: str = Field(description="Path of its documentation.")
    docs_link: str = Field(description="The same as api_docs_link.")


class ModelPage(ModelEntry):
    """One model with a command per action that can be copied."""

    code_examples: dict[str, str] = Field(description="A curl command per action; put your key in place of KEY.")


class ResourceSpec(Shown):
    """What one model takes, in the words of BioLM's open gateway; null is what esmkit does not set."""

    cpu: float | None = Field(description="CPU threads, where the operator set a number.")
    memory: int = Field(description="MiB while it is loaded: measured once it was, an estimate before.")
    gpu: str | None = Field(description="Device it runs on, unless that is the CPU or not known before it is loaded.")
    gpu_count: int | None = Field(description="1 with a gpu: a model is never spread over several.")
    timeout: int = Field(description="Seconds after which a request gets 504.")
    startup_timeout: int | None = Field(description="Not bounded.")
    scaledown_window: int | None = Field(description="Models are not unloaded for being idle.")
    max_containers: int | None = Field(description="1: one process per model.")


class Alive(Shown):
    """The process answers."""

    status: Literal["alive"] = Field(description="Always alive.")


class Ready(Shown):
    """Whether requests will be answered."""

    status: Literal["ready", "not ready", "draining"] = Field(description="ready with 200, the others with 503.")
    models: dict[str, State] = Field(description="State by slug; an unloaded model is loaded by its first request.")


class StatusDay(Shown):
    """The probes of one model on one day."""

    day: date = Field(description="In UTC.")
    probes: int = Field(description="How many requests were sent to see whether it works.")
    ok: float | None = Field(description="Share that succeeded, 0 to 1; null on a day without probes.")
    p50_ms: float | None = Field(description="Median time of those that succeeded.")
    p95_ms: float | None = Field(description="95th percentile of the same.")


class StatusModel(Shown):
    """How one model did."""

    model: str = Field(description="Its slug.")
    state: State = Field(description="Now.")
    uptime: float | None = Field(description="Share of probes that succeeded, 0 to 1; null without probes.")
    p50_ms: float | None = Field(description="Median time of a successful probe.")
    p95_ms: float | None = Field(description="95th percentile of the same.")
    last_probe_at: datetime | None = Field(description="When it was probed last.")
    last_ok: bool | None = Field(description="Whether that succeeded.")
    days: list[StatusDay] = Field(description="One entry per day, oldest first; empty without probes.")


class IncidentMessage(Shown):
    """One entry in the timeline of an incident."""

    at: datetime = Field(description="When it was written.")
    text: str = Field(description="What the operator wrote.")


class Incident(Shown):
    """An outage that the operator announced."""

    id: int = Field(description="Its number.")
    title: str = Field(description="One line.")
    impact: Impact = Field(description="How bad it is: maintenance, minor, major or critical.")
    models: list[str] | None = Field(description="Slugs that are affected; null for all.")
    opened_at: datetime = Field(description="When it began.")
    closed_at: datetime | None = Field(description="When it ended; null while it lasts.")
    messages: list[IncidentMessage] = Field(description="Its timeline, oldest first.")


class StatusPage(Shown):
    """Uptime, latency and incidents."""

    status: Overall = Field(
        description="The whole server, now; degraded while a model fails or an incident other than maintenance is open."
    )
    esmkit: str = Field(description="Version of the server.")
    updated_at: datetime = Field(description="When this was read from the store.")
    days: int = Field(description="How many days it covers.")
    models: list[StatusModel] = Field(description="Every served model.")
    incidents: list[Incident] = Field(description="Newest first.")


class LoginCheck(Shown):
    """The key is valid; an answer without `code` means yes to BioLM's clients."""

    status: Literal["ok"] = Field(description="ok.")
    username: str = Field(description="Name of the key, or anonymous.")


class User(Shown):
    """BioLM's user page; there is no billing here."""

    username: str = Field(description="Name of the key, or anonymous where keys are off.")
    email: str = Field(description="Empty.")
    first_name: str = Field(description="Empty.")
    api_use_count: int = Field(description="Requests answered for this key.")
    in_trial: bool = Field(description="false.")
    in_metering: bool = Field(description="false.")
    in_fixed_rate: bool = Field(description="false.")
    payment_past_due_or_canceled: bool = Field(description="false.")
    get_curr_month_dollars_billed: float = Field(description="0.")
    usage_plan: str = Field(description="esmkit.")
    workspace_budget: float | None = Field(description="null.")


class UsageTotals(Shown):
    """Sums over all rows."""

    requests: int = Field(description="Answered requests.")
    residues: int = Field(description="Residues in them, linkers included.")
    seconds: float = Field(description="From acceptance to the numbers, waiting included.")


class UsageEntry(UsageTotals):
    """One model, action and day."""

    key_id: str | None = Field(description="Id of the key; null for requests without one.")
    model: str = Field(description="Slug.")
    action: str = Field(description="encode, predict, log_prob or mutations.")
    day: date = Field(description="In UTC.")


class Usage(Shown):
    """What a key used."""

    key: str = Field(description="Name of the key, or anonymous: all requests without a key.")
    totals: UsageTotals = Field(description="Sums over `usage`.")
    usage: list[UsageEntry] = Field(description="One entry per model, action and day.")


_ENTRY = {
    "model_slug": "esm2-650m",
    "slug": "esm2-650m",
    "model_name": "ESM-2 650M",
    "name": "ESM-2 650M",
    "description": "ESM-2 protein language model, 33 layers, width 1280, 20 heads: embeddings, contacts, ...",
    "tags": ["protein", "language model", "ESM-2"],
    "actions": ["encode", "predict", "score", "log_prob"],
    "encoder": True,
    "predictor": True,
    "generator": False,
    "classifier": False,
    "similarity": False,
    "api_docs_link": "/docs",
    "docs_link": "/docs",
}
_COMMAND = "curl http://127.0.0.1:8000/api/v3/esm2-650m/encode/ -H 'Content-Type: application/json' -H ..."
_TOTALS = {"requests": 12, "residues": 3456, "seconds": 1.5}
EXAMPLES: dict[str, Any] = {
    "knowledge": KNOWLEDGE.model_dump(),
    "root": {
        "status": "ok",
        "message": "esmkit 1.0.0",
        "supported_models": ["esm2-650m"],
        "links": {"catalog": "/catalog", "docs": "/docs", "openapi": "/openapi.json"},
    },
    "models": [_ENTRY],
    "model": {**_ENTRY, "code_examples": {"encode": _COMMAND}},
    "resource_specs": {
        "esm2-650m": {
            "cpu": 8,
            "memory": 2890,
            "gpu": None,
            "gpu_count": None,
            "timeout": 1200,
            "startup_timeout": None,
            "scaledown_window": None,
            "max_containers": 1,
        }
    },
    "live": {"status": "alive"},
    "ready": {"status": "ready", "models": {"esm2-650m": "ready"}},
    "draining": {"status": "draining", "models": {"esm2-650m": "ready"}},
    "status": {
        "status": "ok",
        "esmkit": "1.0.0",
        "updated_at": _TIME,
        "days": 90,
        "models": [
            {
                "model": "esm2-650m",
                "state": "ready",
                "uptime": 0.9993,
                "p50_ms": 21.0,
                "p95_ms": 34.0,
                "last_probe_at": _TIME,
                "last_ok": True,
                "days": [{"day": "2026-03-01", "probes": 720, "ok": 1.0, "p50_ms": 21.0, "p95_ms": 34.0}],
            }
        ],
        "incidents": [
            {
                "id": 1,
                "title": "Slow disk",
                "impact": "minor",
                "models": None,
                "opened_at": _TIME,
                "closed_at": None,
                "messages": [{"at": _TIME, "text": "The disk is being replaced."}],
            }
        ],
    },
    "status_feed": '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">...</feed>',
    "status_badge": '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="esmkit: operational">...</svg>',
    "metrics": 'esmkit_http_requests_total{route="/api/v3/{slug}/{action}",status="200"} 12.0\n',
    "users_me": {
        "username": "laboratory",
        "email": "",
        "first_name": "",
        "api_use_count": 12,
        "in_trial": False,
        "in_metering": False,
        "in_fixed_rate": False,
        "payment_past_due_or_canceled": False,
        "get_curr_month_dollars_billed": 0.0,
        "usage_plan": "esmkit",
        "workspace_budget": None,
    },
    "usage": {
        "key": "laboratory",
        "totals": _TOTALS,
        "usage": [{"key_id": "k1", "model": "esm2-650m", "action": "encode", "day": "2026-03-01", **_TOTALS}],
    },
}
