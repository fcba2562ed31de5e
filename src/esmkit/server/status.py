"""Status: a real tiny request to every loaded model each minute, and what came of those over 90 days."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from esmkit import __version__
from esmkit.errors import EsmkitError
from esmkit.outputs import OutputOptions
from esmkit.server.catalog import Catalog, ServedModel
from esmkit.server.logs import SERVER
from esmkit.server.services import Queue
from esmkit.store import MAX_DAYS, Store
from esmkit.types import Record, Result

PROBE = "MKTAYIAKQRQISFVKSHFSRQ"
_DEADLINE_S = 30.0
_FRESH_S = 5.0


class Status:
    """Probes models, and tells what the store knows about them."""

    def __init__(self, queue: Queue, store: Store, catalog: Catalog) -> None:
        self._queue, self._store, self._catalog = queue, store, catalog
        self._page: dict[str, Any] = {}
        self._page_until = 0.0
        self._lock = asyncio.Lock()

    async def run(self, interval_s: float) -> None:
        """Probes until cancelled."""
        while True:
            started = time.monotonic()
            try:
                await asyncio.gather(*(self.probe(each.name, each.slug) for each in self._due()))
            except Exception:  # a fault of ours must not end what watches the others
                SERVER.exception("a round of probes failed")
            await asyncio.sleep(max(0.0, started + interval_s - time.monotonic()))

    def _due(self) -> list[ServedModel]:
        """A model that is not loaded is left alone: loading it for a probe could push out one that works."""
        infos = {model: self._queue.info(model.name) for model in self._catalog.models}
        return [model for model, info in infos.items() if info.state in ("ready", "failed") or info.is_down]

    async def probe(self, name: str, slug: str) -> bool:
        """Sends one request to a model and writes down how it went."""
        at, started = datetime.now(UTC), time.perf_counter()
        try:
            results = await self._queue.submit(
                name,
                [Record(0, "probe", PROBE)],
                ["mean"],
                OutputOptions(),
                deadline_s=_DEADLINE_S,
                is_probe=True,
            )
            ok = isinstance(results[0], Result)
        except EsmkitError as error:
            SERVER.warning("probe of %s failed: %s", slug, error.message)
            ok = False
        latency_ms = (time.perf_counter() - started) * 1000
        try:
            await asyncio.to_thread(self._store.probes.add, slug, at, ok, latency_ms)
        except EsmkitError as error:
            SERVER.error("probe not written: %s", error.message)
        return ok

    async def page(self, *, draining: bool) -> dict[str, Any]:
        """What /status.json shows; read from the store at most every few seconds."""
        async with self._lock:
            if time.monotonic() >= self._page_until:
                self._page = await asyncio.to_thread(self._read)
                self._page_until = time.monotonic() + _FRESH_S
        models = [
            {**entry, "state": self._queue.info(model.name).state}
            for model, entry in zip(self._catalog.models, self._page["models"], strict=True)
        ]
        healthy = self._queue.ready() and not draining
        failing = any(model["state"] == "failed" or model["last_ok"] is False for model in models) or any(
            incident.closed_at is None and incident.impact != "maintenance" for incident in self._page["incidents"]
        )
        word = "draining" if draining else "down" if not healthy else "degraded" if failing else "ok"
        return {"status": word, "esmkit": __version__, **self._page, "models": models}

    def _read(self) -> dict[str, Any]:
        known = {uptime.model: uptime for uptime in self._store.probes.uptime(MAX_DAYS)}
        since = datetime.now(UTC) - timedelta(days=MAX_DAYS)
        models = []
        for model in self._catalog.models:
            uptime = known.get(model.slug)
            models.append(
                {
                    "model": model.slug,
                    "uptime": uptime.ok if uptime else None,
                    "p50_ms": uptime.p50_ms if uptime else None,
                    "p95_ms": uptime.p95_ms if uptime else None,
                    "last_probe_at": uptime.last_at if uptime else None,
                    "last_ok": uptime.last_ok if uptime else None,
                    "days": list(uptime.days) if uptime else [],
                }
            )
        incidents = list(self._store.incidents.list(since=since))
        return {"updated_at": datetime.now(UTC), "days": MAX_DAYS, "models": models, "incidents": incidents}
