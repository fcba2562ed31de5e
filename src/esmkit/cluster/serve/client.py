"""The queue of an HTTP application on Ray: it passes requests on to model replicas, and knows how these are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from prometheus_client.core import Metric
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy
from esmkit.cluster.serve.board import REPORT_S, STALE_S
from esmkit.cluster.serve.messages import Answer, Ask, FrontReport, View
from esmkit.engine.queue import ModelInfo, ModelStats, QueueStats
from esmkit.errors import DeadlineExceededError, EsmkitError, OverloadedError, UnknownModelError
from esmkit.outputs import OutputOptions
from esmkit.server.errors import UnavailableError
from esmkit.server.logs import OnStart
from esmkit.types import Failure, Record, Result

LOG = logging.getLogger("esmkit.cluster")
ATTEMPTS = 2
"""Requests change nothing, so one whose replica died is sent to another; what two died of is given up."""
RETRY_S = 10.0
"""What a client is told to wait for a replica that is being started."""
_STATES = ("ready", "loading", "failed", "unloaded")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class ServedModel:
    """A model as the HTTP application sees it.

    Attributes:
        info: what is known without asking a replica.
        handle: Ray's way to its replicas.
        is_lasting: whether there is always a replica.
        waiting_tokens: of requests that this application has passed on and that are not answered.
        warming: the call that waits for the first replica.
    """

    info: ModelInfo
    handle: Any
    is_lasting: bool
    waiting_tokens: int = 0
    warming: asyncio.Task[None] | None = field(default=None, repr=False)

    @contextmanager
    def waiting(self, tokens: int) -> Iterator[None]:
        """Counts tokens while they wait."""
        self.waiting_tokens += tokens
        try:
            yield
        finally:
            self.waiting_tokens -= tokens


class RayQueue:
    """What the server needs of a queue, see `esmkit.server.services.Queue`.

    Args:
        models: by slug.
        names: slug by every name that the operator uses, in lower case.
        board: Ray's handle of the board.
        name: of this application on the board.
        max_queued_tokens: as in the replicas, each of which counts for itself.
        cold_start_s: how long a request may wait for a model without replica.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        names: Mapping[str, str],
        board: Any,
        *,
        name: str,
        max_queued_tokens: int,
        cold_start_s: float,
    ) -> None:
        self._models, self._names, self._board, self._name = models, names, board, name
        self._max_queued_tokens, self._cold_start_s = max_queued_tokens, cold_start_s
        self._view, self._viewed_s = View(), float("-inf")
        self._is_open = False
        self._watching: asyncio.Task[None] | None = None
        self._pending: set[asyncio.Task[Any]] = set()
        self.families: Callable[[], Sequence[Metric]] = list
        """What this application has counted."""

    async def start(self) -> None:
        """Looks at the board, then again each second."""
        self._is_open = True
        self._watching = asyncio.create_task(self._watch())

    async def submit(
        self,
        model: str,
        records: Sequence[Record],
        outputs: Sequence[str],
        options: OutputOptions,
        *,
        residues: ResiduePolicy | None = None,
        length: LengthPolicy | None = None,
        priority: Literal["interactive", "bulk"] = "interactive",
        deadline_s: float | None = None,
        on_start: OnStart | None = None,
        is_probe: bool = False,
    ) -> list[Result | Failure]:
        """Results for records, see `esmkit.engine.queue.ServingQueue.submit`.

        Raises:
            UnavailableError: no replica of the model was there in time, or two died of the request.
            EsmkitError: whatever the replica says.
        """
        served = self._model(model)
        tokens = sum(len(record.sequence) + 2 for record in records)
        self._check_room(served, tokens)
        ask = Ask(records, outputs, options, residues, length, priority, deadline_s, is_probe)
        with served.waiting(tokens):
            answer = await self._answered(served, ask)
        if answer.began_ago_s is not None and on_start is not None:
            on_start(answer.began_ago_s)
        if isinstance(answer.outcome, EsmkitError):
            raise answer.outcome
        return answer.outcome

    def info(self, model: str) -> ModelInfo:
        """What is known of a model, and how its best replica is."""
        base = self._model(model).info
        found = sorted(self._view.infos.get(base.slug, ()), key=lambda info: _STATES.index(info.state))
        if not found:
            return base
        return replace(found[0], is_down=all(info.is_down for info in found))

    def stats(self) -> QueueStats:
        """Counts over all replicas; they only ever grow, but for what is queued."""
        return QueueStats({slug: self._view.stats.get(slug, ModelStats()) for slug in self._models})

    def replicas(self) -> dict[str, int]:
        """Loaded replicas per model."""
        return {slug: sum(_is_ready(info) for info in self._view.infos.get(slug, ())) for slug in self._models}

    def ready(self) -> bool:
        """Whether requests are taken, the board is there, and so is a replica of every model that always has one."""
        is_fresh = asyncio.get_running_loop().time() - self._viewed_s < STALE_S
        return self._is_open and is_fresh and all(not each.is_lasting or self._is_warm(each) for each in self._all())

    async def fronts(self) -> list[FrontReport]:
        """What all HTTP applications have counted; of this one alone while the board is away."""
        own = FrontReport(self._name, self.families())
        try:
            async with asyncio.timeout(REPORT_S):
                others: list[FrontReport] = await self._board.fronts.remote()
        except (RayError, RayServeException, TimeoutError):
            return [own]
        return [own, *(each for each in others if each.replica != self._name)]

    async def drain(self, timeout_s: float) -> bool:
        """Nothing: Ray sends no requests to an application that stops, and waits for those that it has."""
        self._is_open = False
        return True

    async def close(self) -> None:
        """Looks no more at the board."""
        self._is_open = False
        for task in (self._watching, *(each.warming for each in self._all())):
            if task is not None:
                task.cancel()

    def _all(self) -> list[ServedModel]:
        return list(self._models.values())

    def _model(self, name: str) -> ServedModel:
        slug = self._names.get(name.casefold())
        if slug is None:
            choices = ", ".join(self._models)
            raise UnknownModelError(
                f"no model {name!r} is served here; choose from {choices}", name=name, choices=self._models
            )
        return self._models[slug]

    def _is_warm(self, served: ServedModel) -> bool:
        return any(_is_ready(info) for info in self._view.infos.get(served.info.slug, ()))

    def _check_room(self, served: ServedModel, tokens: int) -> None:
        """Each replica refuses for itself what it has no room for; this bounds what waits for the first one."""
        room = self._max_queued_tokens * max(1, self.replicas()[served.info.slug])
        if served.waiting_tokens and served.waiting_tokens + tokens > room:
            raise OverloadedError(
                f"{served.waiting_tokens} tokens wait for {served.info.slug}; try again in {RETRY_S:.0f} s",
                retry_after_s=RETRY_S,
            )

    async def _answered(self, served: ServedModel, ask: Ask) -> Answer:
        loop = asyncio.get_running_loop()
        until_s = None if ask.deadline_s is None else loop.time() + ask.deadline_s
        if not self._is_warm(served):
            await self._warmed(served, ask.deadline_s)
        try:
            async with asyncio.timeout_at(until_s):
                return await self._sent(served, ask, until_s)
        except TimeoutError:
            if self._is_warm(served):
                raise DeadlineExceededError(
                    f"the answer was not done after {ask.deadline_s:g} s; send less at once, allow more time, or try "
                    "again later"
                ) from None
            raise _cold(served, ask.deadline_s) from None

    async def _warmed(self, served: ServedModel, deadline_s: float | None) -> None:
        """Waits for the first replica. It is started even if this request does not wait for it."""
        if served.warming is None or served.warming.done():
            served.warming = asyncio.create_task(self._warm(served))
        patience_s = self._cold_start_s if deadline_s is None else min(deadline_s, self._cold_start_s)
        done, _ = await asyncio.wait([served.warming], timeout=patience_s)
        if not done:
            raise _cold(served, patience_s)

    async def _warm(self, served: ServedModel) -> None:
        with suppress(RayError, RayServeException):  # the request itself meets the same
            await served.handle.warm.remote(served.info.slug)

    async def _sent(self, served: ServedModel, ask: Ask, until_s: float | None) -> Answer:
        for attempt in range(1, ATTEMPTS + 1):
            left_s = None if until_s is None else max(0.0, until_s - asyncio.get_running_loop().time())
            response = served.handle.compute.remote(served.info.slug, replace(ask, deadline_s=left_s))
            try:
                answer: Answer = await response
                return answer
            except asyncio.CancelledError:
                response.cancel()
                raise
            except (RayError, RayServeException) as error:
                LOG.warning("attempt %d at %s failed: %s", attempt, served.info.slug, str(error).splitlines()[0])
        raise UnavailableError(
            f"{ATTEMPTS} replicas of {served.info.slug} went away while they had this request; try again in "
            f"{RETRY_S:.0f} s",
            retry_after_s=RETRY_S,
        )

    async def _watch(self) -> None:
        while True:
            with suppress(RayError, RayServeException):
                self._view = await self._board.exchange.remote(FrontReport(self._name, self.families()))
                self._viewed_s = asyncio.get_running_loop().time()
            await asyncio.sleep(REPORT_S)


def _is_ready(info: ModelInfo) -> bool:
    return info.state == "ready"


def _cold(served: ServedModel, waited_s: float | None) -> UnavailableError:
    slug = served.info.slug
    return UnavailableError(
        f"{slug} is being started, and was not there after {waited_s or 0:g} s; try again in {RETRY_S:.0f} s",
        retry_after_s=RETRY_S,
    )
