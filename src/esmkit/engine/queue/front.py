"""Takes the requests of many callers for several models, and refuses those that there is no room for.

Every loaded model runs in a process of its own. That leaves this process free to talk to clients, survives whatever
kills a runner, and gives the memory back when a model is unloaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy
from esmkit.config import Settings
from esmkit.engine.jobs import Chunk, Intake, Plan
from esmkit.engine.model import DTYPES
from esmkit.engine.queue.cache import ResultCache
from esmkit.engine.queue.residency import Residency
from esmkit.engine.queue.service import ModelService
from esmkit.engine.queue.spec import ModelInfo, ModelSpec, QueueStats
from esmkit.errors import EsmkitError, InvalidConfigError, OverloadedError, UnknownModelError
from esmkit.models.locate import find
from esmkit.outputs import OutputOptions, build
from esmkit.types import Failure, ModelShape, Record, Result

Priority = Literal["interactive", "bulk"]
BULK_SHARE = 0.75
"""Part of a model's queue that bulk requests may fill; the rest is kept free for interactive ones."""
RESTART_S = 10.0
"""What a client is told to wait when the server stops: another one, or this one again, should be there by then."""


class ServingQueue:
    """Takes requests, answers them in batches. Belongs to the event loop in which it is started.

    Args:
        models: what can be asked for.
        memory_budget_bytes: for all loaded models together; models not used for longest are unloaded. None: no limit.
        max_queued_tokens: tokens that may wait for one model; more are refused.
        restarts: how often within ten minutes a dead runner of a model is replaced.
        settings: where weights are.
        warm: names of models that `start` loads.
        cache_bytes: memory for results that may be asked for again; 0 keeps none.
        batch_timeout_s: a batch that takes longer means that its runner hangs; the runner is killed and replaced.
        on_fatal: called once for a model whose restarts are used up; the process should end then.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: its files are not on this machine, or incomplete.
        InvalidConfigError: an argument is out of its range, or a model needs more than the whole budget.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        *,
        memory_budget_bytes: int | None,
        max_queued_tokens: int,
        restarts: int,
        settings: Settings,
        warm: Sequence[str] = (),
        cache_bytes: int = 0,
        batch_timeout_s: float = 600.0,
        on_fatal: Callable[[EsmkitError], None] | None = None,
    ) -> None:
        self.max_queued_tokens = max_queued_tokens
        self._residency = Residency(memory_budget_bytes)
        self._cache = ResultCache(cache_bytes)
        self._services: dict[str, ModelService] = {}
        self._names: dict[str, str] = {}
        self._is_open = self._is_warm = False
        for spec in models:
            if spec.dtype not in DTYPES:
                raise InvalidConfigError(f"dtype {spec.dtype!r}: choose from {', '.join(DTYPES)}", setting="dtype")
            self._add(
                ModelService(
                    spec,
                    find(spec.name, settings),
                    settings=settings,
                    residency=self._residency,
                    restarts=restarts,
                    batch_timeout_s=batch_timeout_s,
                    on_fatal=on_fatal or (lambda error: None),
                )
            )
        self._warm = [self._service(name) for name in warm]

    @property
    def models(self) -> list[str]:
        """The slugs of all models, in the order given."""
        return list(self._services)

    async def start(self) -> None:
        """Opens the queue, and loads the models that shall be warm; requests that come meanwhile wait for them.

        Raises:
            EsmkitError: one of these cannot be loaded.
        """
        self._is_open = True
        await asyncio.gather(*(service.load() for service in self._warm))
        self._is_warm = True

    async def submit(
        self,
        model: str,
        records: Sequence[Record],
        outputs: Sequence[str],
        options: OutputOptions | None = None,
        *,
        residues: ResiduePolicy | None = None,
        length: LengthPolicy | None = None,
        priority: Priority = "interactive",
        deadline_s: float | None = None,
        on_start: Callable[[], None] | None = None,
        is_probe: bool = False,
    ) -> list[Result | Failure]:
        """Results for records, one each, in their order. When the task is cancelled, its queued rows are dropped.

        Args:
            model: slug or name of a model of this queue, in any case.
            records: what to compute; a record that is not acceptable gives a Failure and costs nothing.
            outputs: names, see `esmkit.outputs.known`.
            options: for the outputs.
            residues: what may be repaired in a sequence; nothing by default.
            length: limit and policy for long sequences; by default an error above the model's `max_length`.
            priority: bulk requests run when there are no interactive ones, but are never left waiting for good.
            deadline_s: seconds from now.
            on_start: called when the first batch with a row of this request goes to the model.
            is_probe: asks whether the model works: computed although it may be known, and no use of the model that
                keeps it in memory.

        Raises:
            UnknownModelError: not a model of this queue; lists those.
            UnsupportedOutputError: the model does not give this.
            InvalidConfigError: an option is out of range, or the request is larger than the whole queue.
            OverloadedError: too much is queued, or the queue is closing; says when to try again.
            DeadlineExceededError: there was no answer in time.
            WeightsError: the model cannot be loaded.
            ModelExecutionError: the model's runner died too often and is not started again.
        """
        self._check_open()
        service = self._service(model)
        plan = _plan(tuple(outputs), service.source.shape, options or OutputOptions())
        plan.check_provided(service.source.family.provides, service.source.slug)
        length = _checked(length, service.spec)
        chunk = Chunk()
        intake = Intake(plan, residues or ResiduePolicy(), length, chunk_tokens=0, stop_at_failure=False)
        for record in records:
            intake.admit(record, chunk)
        if not is_probe:
            self._take_from_cache(chunk, service, plan, length)
        if chunk.jobs:
            self._check_room(service, chunk, plan, is_bulk=priority == "bulk")
            await service.compute(
                chunk,
                plan,
                is_bulk=priority == "bulk",
                deadline_s=deadline_s,
                on_start=on_start,
                is_probe=is_probe,
            )
        results = list(chunk.outcomes(plan, service.provenance))
        if not is_probe:
            self._put_into_cache(chunk, results, service, plan, length)
        return results

    def info(self, model: str) -> ModelInfo:
        """What is known of a model without loading it, and its state.

        Raises:
            UnknownModelError: not a model of this queue.
        """
        return self._service(model).info()

    def stats(self) -> QueueStats:
        """Counts for metrics; they only ever grow, but for what is queued."""
        models = {slug: service.stats() for slug, service in self._services.items()}
        return QueueStats(models, replace(self._cache.stats))

    def ready(self) -> bool:
        """Whether requests are taken, all models that shall be warm were loaded, and no runner is dead."""
        is_up = not any(service.is_down for service in self._services.values())
        return self._is_open and self._is_warm and is_up

    async def drain(self, timeout_s: float) -> bool:
        """Refuses new requests and waits for those that were accepted; returns whether all of them are answered."""
        self._is_open = False
        waiting = [request.done for service in self._services.values() for request in service.requests]
        late = (await asyncio.wait(waiting, timeout=timeout_s))[1] if waiting else set()
        return not late

    async def close(self) -> None:
        """Ends all runners. Requests that still wait fail."""
        self._is_open = False
        await asyncio.gather(*(service.close(_stopping()) for service in self._services.values()))

    def _add(self, service: ModelService) -> None:
        slug, budget_bytes = service.source.slug, self._residency.budget_bytes
        if slug in self._services:
            raise InvalidConfigError(f"two models are called {slug}; serve one of them", setting="models")
        if budget_bytes is not None and service.memory_bytes > budget_bytes:
            raise InvalidConfigError(
                f"{slug} needs about {service.memory_bytes / 1e9:.1f} GB, the memory budget is "
                f"{budget_bytes / 1e9:.1f} GB; raise it, or use a smaller model, a 16-bit dtype or smaller batches",
                setting="memory_budget_bytes",
            )
        self._services[slug] = service
        self._names |= dict.fromkeys((slug.casefold(), service.spec.name.casefold()), slug)

    def _service(self, name: str) -> ModelService:
        slug = self._names.get(name.casefold())
        if slug is None:
            raise UnknownModelError(
                f"no model {name!r} is served here; choose from {', '.join(self._services)}",
                name=name,
                choices=self._services,
            )
        return self._services[slug]

    def _check_open(self) -> None:
        if not self._is_open:
            raise _stopping()

    def _check_room(self, service: ModelService, chunk: Chunk, plan: Plan, *, is_bulk: bool) -> None:
        """Refuses a request before it takes memory."""
        asked = sum(job.num_tokens(plan) for job in chunk.jobs.values())
        room = int(self.max_queued_tokens * BULK_SHARE) if is_bulk else self.max_queued_tokens
        if asked > room:
            raise InvalidConfigError(
                f"the request needs {asked} tokens, at most {room} can wait at once; send fewer or shorter sequences",
                setting="max_queued_tokens",
            )
        stats = service.dispatcher.counts
        queued = service.dispatcher.schedule.num_tokens
        if queued + asked > room:
            stats.overloaded += 1
            retry_after_s = service.dispatcher.pace.retry_after_s(queued + asked - room)
            raise OverloadedError(
                f"{queued} tokens wait for {service.source.slug}, and {asked} more are over the limit of {room}; try "
                f"again in {retry_after_s:.0f} s",
                retry_after_s=retry_after_s,
            )

    def _take_from_cache(self, chunk: Chunk, service: ModelService, plan: Plan, length: LengthPolicy) -> None:
        """Puts results that are known in the places of their records."""
        for number, entry in enumerate(chunk.entries):
            if isinstance(entry, tuple):
                record, _ = entry
                result = self._cache.get(_key(service, plan, length, record), record)
                if result is not None:
                    chunk.entries[number] = result
                    chunk.jobs.pop(record.sequence, None)

    def _put_into_cache(
        self, chunk: Chunk, results: list[Result | Failure], service: ModelService, plan: Plan, length: LengthPolicy
    ) -> None:
        for entry, result in zip(chunk.entries, results, strict=True):
            if isinstance(entry, tuple) and isinstance(result, Result):
                self._cache.put(_key(service, plan, length, entry[0]), result)


@lru_cache(maxsize=1024)
def _plan(names: tuple[str, ...], shape: ModelShape, options: OutputOptions) -> Plan:
    """The outputs, once it is certain that all options suit the model."""
    plan = Plan(tuple(build(names, shape, options)))
    for output in plan.outputs:
        output.needs(), output.columns()
    return plan


def _checked(length: LengthPolicy | None, spec: ModelSpec) -> LengthPolicy:
    if length is None:
        return LengthPolicy(limit=spec.max_length)
    if length.limit > spec.max_length:
        raise InvalidConfigError(
            f"a length limit of {length.limit} residues is above the {spec.max_length} of this model", setting="limit"
        )
    return length


def _key(service: ModelService, plan: Plan, length: LengthPolicy, record: Record) -> tuple[object, ...]:
    """What an answer depends on."""
    weights = service.provenance.get("weights_sha256")
    return (service.source.slug, weights, service.spec.dtype, plan, length, record.sequence)


def _stopping() -> OverloadedError:
    return OverloadedError("the server is stopping; try again later", retry_after_s=RESTART_S)
