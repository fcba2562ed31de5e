"""A server for tests, in this process: the real application and store over the real Engine with esm2-mini."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from esmkit.engine import Model
from esmkit.engine.queue import ModelInfo, ModelStats, QueueStats
from esmkit.errors import EsmkitError
from esmkit.outputs import OutputOptions, build
from esmkit.server.app import create_app
from esmkit.server.settings import ServerSettings
from esmkit.store import Store
from esmkit.types import Failure, Record, Result
from esmkit.web import add_to

SLUG = "esm2-mini"


class EngineQueue:
    """Stands for the serving queue; runs one request at a time, without processes.

    Attributes:
        gate: cleared by a test that wants requests to wait.
        fails_with: raised instead of computing.
        breaks: put in place of the results of these items.
        cancelled: requests whose caller went away.
        calls: what was asked, per request.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails_with: BaseException | None = None
        self.breaks: dict[int, EsmkitError] = {}
        self.is_ready = True
        self.state: Any = "ready"
        self.is_down = False
        self.waiting = 0
        self.cancelled = 0
        self.calls: list[dict[str, Any]] = []

    async def start(self) -> None:
        """Nothing to start."""

    async def drain(self, timeout_s: float) -> bool:
        """Nothing to wait for."""
        return True

    async def close(self) -> None:
        """Nothing to close."""

    async def submit(
        self,
        model: str,
        records: Sequence[Record],
        outputs: Sequence[str],
        options: OutputOptions,
        *,
        length: Any = None,
        **rest: Any,
    ) -> list[Result | Failure]:
        """Results in order."""
        self.calls.append({"model": model, "records": list(records), "outputs": tuple(outputs), **rest})
        self.waiting += 1
        try:
            await self.gate.wait()
            if self.fails_with is not None:
                raise self.fails_with
            return await asyncio.to_thread(self._run, records, outputs, options, length)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1

    def _run(
        self, records: Sequence[Record], names: Sequence[str], options: OutputOptions, length: Any
    ) -> list[Result | Failure]:
        outputs = build(names, self.model.shape, options)
        return [
            Failure(each.index, each.id, self.breaks[each.index]) if each.index in self.breaks else each
            for each in self.model.engine.run(records, outputs, length=length, on_error="skip")
        ]

    def info(self, model: str) -> ModelInfo:
        """Under the name esm2-8m it answers to more names; the numbers stay those of esm2-mini."""
        return ModelInfo(
            slug=model,
            shape=self.model.shape,
            provides=frozenset({"representations", "logits", "contacts", "attentions"}),
            dtype="float32",
            max_length=2048,
            state=self.state,
            memory_bytes=1,
            provenance=None,
            error=None,
            is_down=self.is_down,
        )

    def stats(self) -> QueueStats:
        """Counts that differ from each other."""
        return QueueStats({SLUG: ModelStats(queued_tokens=3, queued_requests=self.waiting, batches=5, residues=7)})

    def ready(self) -> bool:
        """As the test says."""
        return self.is_ready


class Api:
    """A running application, called without sockets.

    Attributes:
        app: the ASGI application.
        queue: what it computes with.
        store: its store.
    """

    def __init__(self, model: Model, folder: Path, **settings: Any) -> None:
        self.queue = EngineQueue(model)
        self.store = Store.open(f"sqlite:///{folder}/esmkit.db")
        self.app = create_app(ServerSettings(**settings), self.queue, self.store)
        add_to(self.app)
        self.loop = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.close()
        self.store.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, followed by no redirect."""

        async def send() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **options)

        return self.loop.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **options)

    def call(self, action: str, *sequences: str, version: str = "v3", headers: Any = None, **params: Any) -> Any:
        """A model call as BioLM's clients make it."""
        body: dict[str, Any] = {"items": [{"sequence": sequence} for sequence in sequences]}
        body |= {"params": params} if params else {}
        return self.post(f"/api/{version}/{SLUG}/{action}/", json=body, headers=headers)

    def client(self) -> httpx.AsyncClient:
        """For tests that need several requests at a time; use it inside `loop`."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://esmkit.test")
