"""One served model: its requests, and the life of its runner process."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from esmkit.config import Settings
from esmkit.engine.jobs import Chunk, Plan
from esmkit.engine.model import DTYPES
from esmkit.engine.queue.dispatch import Dispatcher
from esmkit.engine.queue.process import RunnerDiedError, RunnerProcess
from esmkit.engine.queue.residency import Residency, memory_estimate, resident_bytes
from esmkit.engine.queue.schedule import Request
from esmkit.engine.queue.spec import ModelInfo, ModelSpec, ModelStats, State
from esmkit.errors import DeadlineExceededError, EsmkitError, ModelExecutionError
from esmkit.models.locate import Source

LOG = logging.getLogger("esmkit.engine")
RESTART_WINDOW_S = 600.0
RELOAD_AFTER_S = 30.0
"""A model that could not be loaded is not tried again before."""


class ModelService:
    """Answers requests for one model, which it loads when there are any.

    Args:
        spec: what to load.
        source: where that is.
        settings: for the runner.
        residency: what else wants memory.
        restarts: deaths of the runner within RESTART_WINDOW_S that a new runner mends.
        batch_timeout_s: after which a batch means that the runner hangs.
        on_fatal: called once, when the restarts are used up.
    """

    def __init__(
        self,
        spec: ModelSpec,
        source: Source,
        *,
        settings: Settings,
        residency: Residency,
        restarts: int,
        batch_timeout_s: float,
        on_fatal: Callable[[EsmkitError], None],
    ) -> None:
        self.spec, self.source = spec, source
        self.provenance: dict[str, Any] = {}
        self.requests: set[Request] = set()
        self.dispatcher = Dispatcher()
        self.is_down = False
        self.used_s = self.ready_s = 0.0
        self.memory_bytes = memory_estimate(source.family, source.shape, DTYPES[spec.dtype], spec.batch_tokens)
        self._settings, self._residency = settings, residency
        self._restarts, self._batch_timeout_s, self._on_fatal = restarts, batch_timeout_s, on_fatal
        self._deaths_s: deque[float] = deque()
        self._loading: asyncio.Task[None] | None = None
        self._error: EsmkitError | None = None
        self._closed_until_s = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether it is loaded, and not about to go."""
        return self.dispatcher.process is not None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for its answers."""
        return not self.requests

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.is_ready:
            return "ready"
        if self._loading is not None:
            return "loading"
        return "unloaded" if self._error is None else "failed"

    def info(self) -> ModelInfo:
        """What is known of it."""
        return ModelInfo(
            slug=self.source.slug,
            shape=self.source.shape,
            provides=self.source.family.provides,
            dtype=self.spec.dtype,
            max_length=self.spec.max_length,
            state=self.state,
            memory_bytes=self.memory_bytes,
            provenance=self.provenance or None,
            is_down=self.is_down,
            error=None if self._error is None else f"{self._error.code}: {self._error.message}",
        )

    def stats(self) -> ModelStats:
        """Its counts at this moment."""
        return replace(
            self.dispatcher.counts,
            queued_tokens=self.dispatcher.schedule.num_tokens,
            queued_requests=len(self.requests),
            tokens_per_s=self.dispatcher.pace.tokens_per_s,
            is_speed_rough=self.dispatcher.pace.is_rough,
        )

    async def compute(
        self,
        chunk: Chunk,
        plan: Plan,
        *,
        is_bulk: bool,
        deadline_s: float | None,
        on_start: Callable[[], None] | None = None,
        is_probe: bool = False,
    ) -> None:
        """Computes the jobs of a chunk; calls `on_start` when it begins.

        Raises:
            DeadlineExceededError: it took longer than `deadline_s`.
            EsmkitError: the model cannot be loaded, or its runners keep dying.
        """
        self.ensure_loading()
        loop = asyncio.get_running_loop()
        request = Request(chunk, plan, is_bulk, loop.time(), loop.create_future(), on_start)
        self.requests.add(request)
        self.dispatcher.add(request)
        try:
            async with asyncio.timeout(deadline_s):
                await request.done
        except TimeoutError:
            self.dispatcher.counts.expired += 1
            begun = "was not done" if request.is_started else "had not begun"
            raise DeadlineExceededError(
                f"the answer {begun} after {deadline_s:g} s; send less at once, allow more time, or try again later"
            ) from None
        except asyncio.CancelledError:
            self.dispatcher.counts.cancelled += 1
            raise
        finally:
            self.requests.discard(request)
            self.dispatcher.schedule.drop(request)
            if not is_probe:
                self.used_s = loop.time()

    def ensure_loading(self) -> asyncio.Task[None] | None:
        """Starts to load the model unless it is loaded or being loaded; returns the task that loads.

        Raises:
            EsmkitError: that failed not long ago, or for good.
        """
        if self._error is not None:
            if asyncio.get_running_loop().time() < self._closed_until_s:
                raise self._error.with_traceback(None)
            self._error = None
        if not self.is_ready and self._loading is None:
            self._loading = asyncio.create_task(self._load())
        return self._loading

    async def load(self) -> None:
        """Loads the model and waits for it.

        Raises:
            EsmkitError: that is not possible.
        """
        loading = self.ensure_loading()
        if loading is not None:
            await loading
        if self._error is not None:
            raise self._error

    async def unload(self) -> None:
        """Finishes the batches on their way and frees the memory; requests that still wait have it loaded again."""
        process, self.dispatcher.process = self.dispatcher.process, None
        await self.dispatcher.settle()
        if process is not None:
            await process.stop()
            LOG.info("%s is unloaded", self.source.slug)
        if self.requests and self._error is None:
            self.ensure_loading()

    async def close(self, error: EsmkitError) -> None:
        """Fails all requests and ends the runner, for good."""
        self._give_up(error, until_s=float("inf"))
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        process, self.dispatcher.process = self.dispatcher.process, None
        if process is not None:
            await process.stop()
        await self.dispatcher.settle()

    async def _load(self) -> None:
        try:
            while not self.is_ready:
                await self._residency.enter(self)
                try:
                    await self._start()
                except RunnerDiedError as error:
                    if not self._may_restart(str(error)):
                        break
                finally:
                    if not self.is_ready:
                        self._residency.leave(self)
        except Exception as error:  # whatever it is, nobody must be left waiting
            failure = error if isinstance(error, EsmkitError) else ModelExecutionError(f"no runner starts: {error!r}")
            self._give_up(failure, until_s=asyncio.get_running_loop().time() + RELOAD_AFTER_S)
        finally:
            self._loading = None

    async def _start(self) -> None:
        process = await RunnerProcess.start(
            self.spec, self._settings, batch_timeout_s=self._batch_timeout_s, on_death=self._on_death
        )
        self.provenance = process.ready.provenance
        self.memory_bytes = max(self.memory_bytes, resident_bytes(process.pid))
        self.ready_s = asyncio.get_running_loop().time()
        self.is_down = False
        self.dispatcher.counts.loads += 1
        self.dispatcher.process = process
        self.dispatcher.wake()
        LOG.info("%s is loaded, runner %d", self.source.slug, process.pid)

    def _on_death(self, reason: str) -> None:
        if self.dispatcher.process is None:
            return  # it was about to be unloaded
        self.dispatcher.process = None
        self._residency.leave(self)
        if self._may_restart(reason):
            self.ensure_loading()

    def _may_restart(self, reason: str) -> bool:
        """Counts a death; after too many within the window the model is given up."""
        LOG.error("the runner of %s died: %s", self.source.slug, reason)
        self.is_down = True
        now_s = asyncio.get_running_loop().time()
        self._deaths_s.append(now_s)
        while self._deaths_s[0] < now_s - RESTART_WINDOW_S:
            self._deaths_s.popleft()
        if len(self._deaths_s) <= self._restarts:
            self.dispatcher.counts.restarts += 1
            return True
        failure = ModelExecutionError(
            f"the runner of {self.source.slug} died {len(self._deaths_s)} times within {RESTART_WINDOW_S:.0f} s and is "
            f"not started again: {reason}"
        )
        self._give_up(failure, until_s=float("inf"))
        self._on_fatal(failure)
        return False

    def _give_up(self, error: EsmkitError, *, until_s: float) -> None:
        """Nobody waits for what will not come: requests fail, and so do new ones for the time being."""
        self._error, self._closed_until_s = error, until_s
        for request in self.requests:
            if not request.done.done():
                request.done.set_exception(error)
