"""One job, from its input to its result; what is finished stays finished, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from esmkit import sinks
from esmkit.alphabet import num_residues
from esmkit.engine.budget import give_back_freed, shard_residues
from esmkit.errors import InternalError, InvalidConfigError, ModelExecutionError, OverloadedError, StoreError, UserError
from esmkit.inputs import check_unique
from esmkit.outputs import OutputOptions
from esmkit.server.jobs import intake
from esmkit.server.jobs.asked import Asked
from esmkit.server.jobs.bulk import Bounds, BulkEngine
from esmkit.server.jobs.errors import RecordError, StoppedError
from esmkit.server.jobs.folder import JobFiles
from esmkit.server.logs import SERVER
from esmkit.sinks.manifest import Manifest
from esmkit.store import Job, JobProgress, JobQuotaError
from esmkit.types import Failure, ModelShape, Record, Result

if TYPE_CHECKING:
    from esmkit.server.services import Services

ACTION = "jobs"
"""What a key must be allowed, and what usage counts."""
SHARD_RECORDS = 100_000
MOST_WAIT_S = 30.0
GROUP_TOKENS = 1 << 16
GROUP_SHARE = 0.25
"""Part of a model's queue that one group of a job may fill: two are on their way, and others want some of it too."""
T = TypeVar("T")


class JobRun:
    """A job being worked on by this server.

    Args:
        server: the services.
        job: that this server holds.
        owner: by which name.
        files: of the job.

    Attributes:
        progress: how far it is.
        note: why it waits, if it does.
    """

    def __init__(self, server: Services, job: Job, owner: str, files: JobFiles) -> None:
        self.job, self.files, self.note = job, files, None if job.note is None else str(job.note)
        self.progress = JobProgress(job.records, job.residues, job.failures, job.size_bytes)
        self._server, self._owner = server, owner
        self._asked: Asked
        self._model_name = ""
        self._loop = asyncio.get_running_loop()
        self._engine: BulkEngine | None = None
        self._is_stopped = self._went_on = False
        # Lengths of records that were read and are not finished, index of the first of them, residues before it.
        self._lengths: deque[int] = deque()
        self._first = self._passed = 0
        self._counted = JobProgress()  # how far it was when its work was last added to usage and metrics
        self._started: tuple[float, int] | None = None

    def stop(self) -> None:
        """Has `carry_out` end soon, with what is finished kept."""
        self._is_stopped = True
        if self._engine is not None:
            self._engine.stop()

    def carry_out(self) -> None:
        """Computes what is not computed; in a thread of its own.

        Raises:
            StoppedError: it was told to stop.
            RecordError: a record has no answer, and the job shall stop then.
            UserError: the job cannot be done.
            EsmkitError: the model does not work now.
            OSError: the disk does not work now.
        """
        asked = self._asked = Asked.read(self.job.asked)
        model = self._server.catalog.find(self.job.model)
        shape, self._model_name = model.shape, model.name
        result = self.files.result(asked.format)
        if result.exists():  # and so it is whole; whoever made it could not say so any more
            self._take_over(result.with_name(f"{result.name}.manifest.json"))
            return
        outputs, columns = asked.built(shape)
        masks = any(output.masks for output in outputs)
        engine = self._engine = BulkEngine(
            self._compute, self._loop, columns=columns, masks=masks, bounds=self._bounds()
        )
        if self._is_stopped:
            raise StoppedError
        provenance = engine.ask(self._identified)
        with sinks.open_target(
            result,
            columns=columns,
            dtype=asked.dtype,
            arguments={"job": self.job.id, **{name: value for name, value in asked.stored().items() if value}},
            provenance=provenance,
            shard_records=SHARD_RECORDS,
            shard_residues=self._server.settings.jobs_shard_residues or _shard_residues(shape, provenance),
            overwrite=True,  # an unfinished run goes on if it can; what another esmkit or device began does not fit
        ) as target:
            self._demand_held()
            for shard in target.pending(self._records()):
                self._skip_to(shard.first, target.summary)
                started = time.perf_counter()
                for item in engine.run(shard.records):
                    shard.write(self._passed_by(item))
                engine.check()
                shard.commit()
                self._committed(target.summary, time.perf_counter() - started)
                give_back_freed()
            engine.check()
            done = target.finish()
        self._note_all(done.records, self._passed, done.failures)

    def _demand_held(self) -> None:
        """Nobody else writes now; but the lease may have ended before that, and the job be finished since."""
        if self._server.store.job_leases.held(self.job.id, self._owner) is None:
            raise StoppedError

    # Records on their way

    def _records(self) -> Iterator[Record | Failure]:
        asked = self._asked
        found = intake.records(
            self.files.input, asked.input, id_column=asked.id_column, sequence_column=asked.sequence_column
        )
        return check_unique(self._measured(found), on_error="skip")

    def _measured(self, found: Iterable[Record]) -> Iterator[Record]:
        for record in found:
            self._lengths.append(num_residues(record.sequence))
            yield record

    def _skip_to(self, first: int, done: sinks.Summary) -> None:
        """Records before this one were finished by an earlier run, or by this one."""
        while self._first < first:
            self._passed += self._lengths.popleft()
            self._first += 1
        if self._started is None:
            self._started = (time.perf_counter(), self._passed)
        self._note_all(first, self._passed, done.failures)
        self._counted = self.progress

    def _passed_by(self, item: Result | Failure) -> Result | Failure:
        """Counts an outcome, and gives it back as its owner may see it."""
        self._passed += self._lengths.popleft()
        self._first += 1
        now = self.progress
        self._note_all(now.records + 1, self._passed, now.failures + isinstance(item, Failure))
        if isinstance(item, Failure) and isinstance(item.error, InternalError):
            SERVER.error("job %s, record %d: %s", self.job.id, item.index, item.error.message)
            shown = ModelExecutionError(f"the model failed on record {item.id!r}, number {item.index + 1} of the input")
            item = Failure(item.index, item.id, shown)
        if isinstance(item, Failure) and self._asked.on_error == "stop":
            raise RecordError(item.error)
        return item

    def _note_all(self, records: int, residues: int, failures: int) -> None:
        started_s, from_residues = self._started or (time.perf_counter(), residues)
        computed, seconds = residues - from_residues, time.perf_counter() - started_s
        speed = computed / seconds if computed and seconds > 0 else None
        self.progress = JobProgress(records, residues, failures, self.progress.size_bytes, speed)

    def _take_over(self, path: Any) -> None:
        held = Manifest.read(path)
        failures = 0 if held is None else held.counts()["failures"]
        self._note_all(self.job.records_total, self.job.residues_total, failures)
        self.measured()

    # What is finished for good

    def _committed(self, done: sinks.Summary, seconds: float) -> None:
        self._loop.call_soon_threadsafe(self._count, self._counted, self.progress, seconds)
        self._counted = self.progress
        self.measured()
        with suppress(StoreError):  # it is for the next time; the files are there
            if not self._went_on:
                self._server.store.job_leases.went_on(self.job.id, self._owner)
                self._went_on = True
            self._check_quota()

    def _count(self, before: JobProgress, now: JobProgress, seconds: float) -> None:
        residues, metrics = now.residues - before.residues, self._server.metrics.jobs
        metrics.records.inc(now.records - before.records)
        metrics.failures.inc(now.failures - before.failures)
        self._server.ledger.add(
            key_id=self.job.key_id, model=self.job.model, action=ACTION, residues=residues, seconds=seconds
        )

    def measured(self) -> JobProgress:
        """The progress with what the files take now."""
        self.progress = replace(self.progress, size_bytes=self.files.size_bytes())
        return self.progress

    def _check_quota(self) -> None:
        most = self._server.settings.jobs_bytes_per_key
        others = self._server.store.jobs.bytes_of(self.job.key_id, but=self.job.id)
        if others + self.progress.size_bytes > most:
            raise JobQuotaError(
                f"the results take more than the {most / 1e6:.0f} MB that the jobs of this key may take; delete other "
                "jobs, ask for less, or send the input as several jobs"
            )

    # In the event loop

    async def _identified(self) -> dict[str, Any]:
        """What makes the results; asks the model once who it is, which loads it."""
        [result] = await self._submit([Record(0, "who", "M")], ("mean",), OutputOptions())
        if isinstance(result, Failure):
            raise result.error
        return dict(result.meta["provenance"])

    async def _compute(self, records: list[Record]) -> list[Result | Failure]:
        residues = sum(num_residues(record.sequence) for record in records)
        key_id = self.job.key_id or f"job:{self.job.id}"
        await self._patiently(lambda: self._server.limiter.take_residues(key_id, residues))
        try:
            results = await self._submit(records, self._asked.outputs, self._asked.options)
        except UserError as error:
            if len(records) == 1:
                return [Failure(records[0].index, records[0].id, error)]
            return [(await self._compute([record]))[0] for record in records]
        spoilt = [at for at, each in enumerate(results) if isinstance(each, Failure) and _may_be_innocent(each)]
        if len(spoilt) > 1:
            for at in spoilt:
                [results[at]] = await self._submit([records[at]], self._asked.outputs, self._asked.options)
        return results

    async def _submit(
        self, records: list[Record], outputs: tuple[str, ...], options: OutputOptions
    ) -> list[Result | Failure]:
        size_bytes = 0 if self._engine is None else sum(map(self._engine.answer_bytes, records))

        async def attempt() -> list[Result | Failure]:
            with self._server.memory.hold(size_bytes):
                return await self._server.queue.submit(
                    self._model_name,
                    records,
                    outputs,
                    options,
                    residues=self._asked.residues,
                    length=self._asked.length,
                    priority="bulk",
                )

        return await self._patiently(attempt)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until there is room for it."""
        while True:
            try:
                got = await attempt()
                self.note = None
                return got
            except OverloadedError as error:
                if self._is_stopped or self._server.draining:
                    raise StoppedError from None
                self.note = f"waiting: {error.message}"
                await asyncio.sleep(min(max(error.retry_after_s, 0.1), MOST_WAIT_S))

    def _bounds(self) -> Bounds:
        chosen = self._server.settings
        limits = [each for each in (chosen.limit_residues_per_minute, chosen.limit_residues_per_day) if each]
        return Bounds(
            tokens=min(GROUP_TOKENS, int(chosen.max_queued_tokens * GROUP_SHARE)),
            record_residues=chosen.max_long_residues,
            group_bytes=chosen.max_answer_bytes,
            group_residues=min(limits, default=None),
        )


def _may_be_innocent(failure: Failure) -> bool:
    """Whether a record may have failed for one that it was computed with.

    One that killed the model's process is not tried again: it would do so again, and that stops the server.
    """
    error = failure.error
    return isinstance(error, ModelExecutionError) and error.message.startswith("the model failed")


def _shard_residues(shape: ModelShape, provenance: dict[str, Any]) -> int:
    import torch

    try:
        device = torch.device(provenance["device"])
    except (KeyError, RuntimeError) as error:
        raise InvalidConfigError(f"unknown device: {error}", setting="device") from None
    return shard_residues(shape, device)
