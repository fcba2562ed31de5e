"""How the server does: now, and over the last 90 days. Read from the store, so it is there when the models are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from starlette.requests import Request

from esmkit.errors import EsmkitError
from esmkit.server.catalog import ServedModel
from esmkit.server.logs import SERVER
from esmkit.server.services import Services, services
from esmkit.store import MAX_DAYS, Incident, UptimeDay
from esmkit.web.page import Page

Tone = Literal["good", "warn", "bad", "none"]
REFRESH_S = 30
ALL_GOOD, MOSTLY_GOOD = 0.999, 0.98
"""Shares of a day's probes from which its bar is good, and from which it is no worse than doubtful."""
_HEADLINES: dict[str, tuple[Tone, str]] = {
    "ok": ("good", "Everything works"),
    "degraded": ("warn", "Working, with problems"),
    "down": ("bad", "Down"),
    "draining": ("warn", "Shutting down"),
}
_IMPACTS: dict[str, Tone] = {"maintenance": "none", "minor": "warn", "major": "bad", "critical": "bad"}


async def data(request: Request) -> Mapping[str, Any]:
    """Everything that the page shows, in the words that it uses."""
    server = services(request)
    try:
        known: Mapping[str, Any] | None = await server.status.page(draining=server.draining)
    except EsmkitError as error:
        SERVER.error("the status page has no history: %s", error.message)
        known = None
    models = _models(server, known)
    incidents = [_incident(each) for each in known["incidents"]] if known else []
    word = str(known["status"]) if known else _state_without_store(server)
    tone, headline = _HEADLINES[word]
    return {
        "tone": tone,
        "headline": headline,
        "sentence": _sentence(word, models, incidents, has_history=known is not None),
        "has_history": known is not None,
        "models": models,
        "open": [each for each in incidents if each["is_open"]],
        "past": [each for each in incidents if not each["is_open"]],
        "shown_at": datetime.now(UTC),
        "read_at": known["updated_at"] if known else None,
        "days": MAX_DAYS,
        "probe_interval_s": server.settings.probe_interval_s,
        "refresh_s": REFRESH_S,
    }


def _state_without_store(server: Services) -> str:
    """Never better than degraded: what counts usage and knows keys cannot be read."""
    return "draining" if server.draining else "degraded" if server.queue.ready() else "down"


def _sentence(
    word: str, models: Sequence[Mapping[str, Any]], incidents: Sequence[Mapping[str, Any]], *, has_history: bool
) -> str:
    dead = [model["title"] for model in models if model["tone"] == "bad"]
    if word == "draining":
        return "The server finishes what it has accepted and takes no new requests."
    if word == "down":
        return f"{_listed(dead) or 'A model'} cannot answer now."
    reasons = [] if has_history else ["the store of keys, usage and history cannot be read"]
    doubtful = [model["title"] for model in models if model["tone"] in ("warn", "bad")]
    reasons += [f"{_listed(doubtful)} did not answer the last probe as expected"] if doubtful else []
    concerns = [each["title"] for each in incidents if each["is_open"] and each["impact"] != "maintenance"]
    reasons += [f"open incident: {title}" for title in concerns]
    if reasons:
        text = "; ".join(reasons)
        return f"{text[0].upper()}{text[1:]}."
    loaded = [model for model in models if model["tone"] == "good"]
    return "All loaded models answer." if loaded else "No model is loaded; each one is at its first request."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _models(server: Services, known: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    history = {entry["model"]: entry for entry in known["models"]} if known else {}
    return [_model(server, model, history.get(model.slug)) for model in server.catalog.models]


def _model(server: Services, model: ServedModel, entry: Mapping[str, Any] | None) -> dict[str, Any]:
    info = server.queue.info(model.name)
    last_ok = entry["last_ok"] if entry else None
    tone, state = _state(info.state, is_down=info.is_down, last_ok=last_ok)
    return {
        "slug": model.slug,
        "title": model.title,
        "tone": tone,
        "state": state,
        "uptime": _percent(entry["uptime"]) if entry else None,
        "p50_ms": entry["p50_ms"] if entry else None,
        "p95_ms": entry["p95_ms"] if entry else None,
        "last_probe_at": entry["last_probe_at"] if entry else None,
        "bars": _bars(entry["days"] if entry else []),
    }


def _state(state: str, *, is_down: bool, last_ok: bool | None) -> tuple[Tone, str]:
    if is_down:
        return "bad", "down: its process died and is started again"
    if state == "failed":
        return "bad", "failed to load"
    if state == "loading":
        return "none", "loading"
    if state == "unloaded":
        return "none", "not loaded; it is at its first request"
    return ("warn", "loaded, but its last probe failed") if last_ok is False else ("good", "answers")


def _bars(days: Sequence[UptimeDay]) -> list[dict[str, Any]]:
    """One entry per day, oldest first, also for those of which nothing is known."""
    known = {each.day: each for each in days}
    today = datetime.now(UTC).date()
    return [_bar(day, known.get(day)) for day in (today - timedelta(days=back) for back in reversed(range(MAX_DAYS)))]


def _bar(day: date, known: UptimeDay | None) -> dict[str, Any]:
    if known is None or known.ok is None:
        return {"day": day, "tone": "none", "probes": 0, "ok": None, "failed": 0.0, "p50_ms": None, "p95_ms": None}
    tone: Tone = "good" if known.ok >= ALL_GOOD else "warn" if known.ok >= MOSTLY_GOOD else "bad"
    # What failed is drawn from the top, never so small that it cannot be seen: the picture works without colours.
    failed = 0.0 if tone == "good" else max(0.2, 1 - known.ok)
    return {
        "day": day,
        "tone": tone,
        "probes": known.probes,
        "ok": _percent(known.ok),
        "failed": failed,
        "p50_ms": known.p50_ms,
        "p95_ms": known.p95_ms,
    }


def _percent(share: float | None) -> str | None:
    """Two digits, rounded down: only what never failed shows 100 %."""
    return None if share is None else f"{math.floor(share * 10_000) / 100:.4g} %"


def _incident(incident: Incident) -> dict[str, Any]:
    entries = [(incident.opened_at, "Opened.")]
    entries += [(message.at, message.text) for message in incident.messages]
    if incident.closed_at is not None:
        entries.append((incident.closed_at, "Resolved."))
    entries.sort(key=lambda entry: entry[0])
    return {
        "id": incident.id,
        "title": incident.title,
        "impact": incident.impact,
        "tone": _IMPACTS.get(incident.impact, "warn"),
        "models": list(incident.models) if incident.models else None,
        "is_open": incident.closed_at is None,
        "opened_at": incident.opened_at,
        "closed_at": incident.closed_at,
        "entries": [{"at": at, "text": text} for at, text in reversed(entries)],
    }


PAGE = Page(
    name="status",
    path="/status",
    title="Status",
    description="Whether the models answer, and how fast they did in the last 90 days.",
    group="server",
    data=data,
    is_open=True,
)
