"""A model replica: the serving queue of one process, asked through Ray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from esmkit.cluster.serve.autoscaling import WANTED, wanted_replicas
from esmkit.cluster.serve.board import REPORT_S
from esmkit.cluster.serve.messages import Answer, Ask, ModelReport, ReplicaReport, total
from esmkit.config import Settings
from esmkit.engine.queue import ModelSpec, ModelStats, ServingQueue
from esmkit.errors import EsmkitError


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """What every replica of a deployment does: its models by slug, and how their queues are bounded."""

    specs: Mapping[str, ModelSpec]
    home: Settings
    max_queued_tokens: int
    restarts: int
    cache_bytes: int
    target_tokens: int
    drain_timeout_s: float


class Resident:
    """One model in a replica, with a queue and a runner process of its own."""

    def __init__(
        self, slug: str, queue: ServingQueue, past: ModelStats, *, leave: Callable[[], Awaitable[None]]
    ) -> None:
        self.slug, self.queue, self._past = slug, queue, past
        # Ray awaits this when another model takes the place. On the class, Python would call it too, and not await it.
        self.__dict__["__del__"] = leave

    def report(self) -> ModelReport:
        """How it is; its counts go on from those of the last time that the model was here."""
        now = self.queue.stats().models[self.slug]
        return ModelReport(self.queue.info(self.slug), total([(self._past, False), (now, True)]))


class ModelReplica:
    """Ray Serve deployment of one model, loaded before the first request comes."""

    async def __init__(self, plan: ReplicaPlan, board: Any) -> None:  # type: ignore[misc]  # Ray awaits it
        self._plan, self._board = plan, board
        self._name = serve.get_replica_context().replica_id.unique_id
        self._residents: dict[str, Resident] = {}
        self._past: dict[str, ModelStats] = {}
        self._failure: EsmkitError | None = None
        self._num_asked, self._is_used = 0, False
        self._run_s, self._noted_s = 0.0, time.monotonic()
        self._reporting = asyncio.create_task(self._report())
        await self._load_first()

    async def compute(self, slug: str, ask: Ask) -> Answer:
        """Answers a request; one that is cancelled is dropped."""
        began_s: list[float] = []
        counted = not ask.is_probe
        self._num_asked += counted
        self._is_used |= counted
        try:
            resident = await self.resident(slug)
            outcome: Any = await resident.queue.submit(
                slug,
                ask.records,
                ask.outputs,
                ask.options,
                residues=ask.residues,
                length=ask.length,
                priority=ask.priority,
                deadline_s=ask.deadline_s,
                on_start=lambda: began_s.append(time.monotonic()),
                is_probe=ask.is_probe,
            )
        except EsmkitError as error:
            outcome = error.with_traceback(None)
        finally:
            self._num_asked -= counted
        return Answer(outcome, time.monotonic() - began_s[0] if began_s else None)

    async def warm(self, slug: str) -> None:
        """Answers once the model is loaded."""
        with suppress(EsmkitError):  # whoever asks it for something is told
            await self.resident(slug)

    async def resident(self, slug: str) -> Resident:
        """The model with its queue."""
        return self._residents[slug]

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For Ray's controller, from time to time."""
        stats = [each.queue.stats() for each in self._residents.values()]
        run_s, now_s = sum(model.run_s for each in stats for model in each.models.values()), time.monotonic()
        busy = max(0.0, run_s - self._run_s) / (now_s - self._noted_s)
        is_used, self._is_used = self._is_used or self._num_asked > 0, False
        self._run_s, self._noted_s = run_s, now_s
        queued_tokens = sum(each.queued_tokens for each in stats)
        return {WANTED: wanted_replicas(queued_tokens, self._plan.target_tokens, busy, is_used=is_used)}

    async def check_health(self) -> None:
        """For Ray's controller, which puts another replica in the place of one that fails here."""
        if self._failure is not None:
            raise RuntimeError(self._failure.message)

    async def __del__(self) -> None:
        """Ray calls it when the replica has answered all requests."""
        self._reporting.cancel()
        last = self._own_report()
        await asyncio.gather(*(each.queue.close() for each in self._residents.values()))
        with suppress(RayError, RayServeException, TimeoutError):  # the board may be gone before
            async with asyncio.timeout(REPORT_S):
                await self._board.report.remote(last, is_last=True)

    async def _load_first(self) -> None:
        (slug,) = self._plan.specs
        try:
            await self.opened(slug)
        except EsmkitError as error:  # Ray shows the message of what it can wrap
            raise RuntimeError(f"{slug} cannot be served: {error.message}") from None

    async def opened(self, slug: str) -> Resident:
        """A model that was not here, once it is loaded.

        Raises:
            EsmkitError: it cannot be loaded.
        """
        queue = ServingQueue(
            [self._plan.specs[slug]],
            memory_budget_bytes=None,
            max_queued_tokens=self._plan.max_queued_tokens,
            restarts=self._plan.restarts,
            settings=self._plan.home,
            warm=[slug],
            cache_bytes=self._plan.cache_bytes,
            on_fatal=self._fail,
        )

        async def leave() -> None:
            """Answers what was accepted, and frees the memory."""
            await queue.drain(self._plan.drain_timeout_s)
            self._past[slug] = self._residents.pop(slug).report().stats
            await queue.close()

        resident = Resident(slug, queue, self._past.get(slug, ModelStats()), leave=leave)
        self._residents[slug] = resident
        try:
            await queue.start()
        except EsmkitError:
            del self._residents[slug]
            await queue.close()
            raise
        return resident

    def _fail(self, error: EsmkitError) -> None:
        self._failure = error

    def _own_report(self) -> ReplicaReport:
        past = {slug: ModelReport(None, stats) for slug, stats in self._past.items()}
        return ReplicaReport(self._name, past | {slug: each.report() for slug, each in self._residents.items()})

    async def _report(self) -> None:
        while True:
            with suppress(RayError, RayServeException):  # the board is away, and will be back
                await self._board.report.remote(self._own_report())
            await asyncio.sleep(REPORT_S)


def shared_replica(models_at_once: int) -> type[ModelReplica]:
    """The deployment of several models that take turns; Ray sends a request where its model is, if it is anywhere."""

    class SharedReplica(ModelReplica):
        @serve.multiplexed(max_num_models_per_replica=models_at_once)  # type: ignore[untyped-decorator]
        async def resident(self, slug: str) -> Resident:
            return await self.opened(slug)

        async def _load_first(self) -> None:
            """Nothing, as nobody has asked for anything."""

    return SharedReplica
