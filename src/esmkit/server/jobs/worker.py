"""Works on the jobs of the store, as many at a time as the operator allows, and cleans up after them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from esmkit.errors import EsmkitError, InternalError, InvalidConfigError, StoreError, UserError
from esmkit.server.jobs.errors import DiskError, RecordError, StoppedError
from esmkit.server.jobs.folder import JobsFolder
from esmkit.server.jobs.run import JobRun
from esmkit.server.jobs.webhooks import Webhooks
from esmkit.server.logs import SERVER
from esmkit.store import Backlog, Job, JobEnd

if TYPE_CHECKING:
    from esmkit.server.services import Services

POLL_S = 2.0
"""How often the store is asked for jobs; those that came to this server are begun at once."""
BEATS = 6
"""Times that a server renews a lease before it would end."""
SWEEP_S = 60.0
MAX_CRASHES = 5
"""Servers that may die of a job without a finished part in between."""
MAX_RETRIES = 10
FIRST_WAIT_S = 5.0
MAX_WAIT_S = 300.0
T = TypeVar("T")


class Worker:
    """The jobs of one server.

    Args:
        server: the services.
        path: folder of the files of jobs.

    Attributes:
        folder: the same.
        webhooks: tells others what has ended.

    Raises:
        InvalidConfigError: the folder cannot be written.
    """

    def __init__(self, server: Services, path: Path) -> None:
        self.folder = JobsFolder(path)
        self._server, self._leases = server, server.store.job_leases
        self.webhooks = Webhooks(server, self.folder)
        self._name, self._lease_s = secrets.token_hex(8), server.settings.jobs_lease_s
        self._runs: dict[str, tuple[JobRun, asyncio.Task[None]]] = {}
        self._threads = ThreadPoolExecutor(max(1, server.settings.jobs_at_once), "esmkit-job")
        self._woken = asyncio.Event()
        self._is_store_down = False
        self._sweep_at_s = 0.0

    def wake(self) -> None:
        """There is something new to do."""
        self._woken.set()

    def sweep_soon(self) -> None:
        """There is something to delete."""
        self._sweep_at_s = 0.0
        self.wake()

    def cancel(self, job_id: str) -> None:
        """Ends a job at once if this server works on it; the store says already that it shall end."""
        if job_id in self._runs:
            self._runs[job_id][0].stop()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            try:
                if time.monotonic() >= self._sweep_at_s:
                    self._sweep_at_s = time.monotonic() + SWEEP_S
                    await asyncio.to_thread(self._sweep)
                while not self._server.draining and len(self._runs) < self._server.settings.jobs_at_once:
                    job = await asyncio.to_thread(self._claim)
                    if job is None:
                        break
                    self._begin(job)
                self._measure(await asyncio.to_thread(self._server.store.jobs.backlog))
                self._note_store(None)
            except (EsmkitError, OSError) as error:
                self._note_store(error)
            await self._wait()

    async def close(self) -> None:
        """Stops, and leaves what is not done to the next server."""
        for run, _ in self._runs.values():
            run.stop()
        await asyncio.gather(*(task for _, task in self._runs.values()), return_exceptions=True)
        self._threads.shutdown(wait=False)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    def _claim(self) -> Job | None:
        models = [model.slug for model in self._server.catalog.models]
        return self._leases.claim(self._name, place=self.folder.place, models=models, lease_s=self._lease_s)

    def _begin(self, job: Job) -> None:
        run = JobRun(self._server, job, self._name, self.folder.of(job.id))
        task = asyncio.create_task(self._carry_out(run))
        self._runs[job.id] = run, task
        task.add_done_callback(lambda ended: self._ended(job.id, ended))

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._runs.pop(job_id, None)
        if not task.cancelled() and task.exception() is not None:  # its lease will end, and somebody takes it over
            SERVER.error("job %s was left", job_id, exc_info=task.exception())
        self.wake()

    async def _carry_out(self, run: JobRun) -> None:
        job = run.job
        SERVER.info("job %s is worked on", job.id, extra={"fields": {"job": job.id, "key": job.key_id}})
        beat = asyncio.create_task(self._beat(run))
        try:
            _demand_hope(job)
            await asyncio.get_running_loop().run_in_executor(self._threads, run.carry_out)
        except StoppedError:
            await self._stopped(run)
        except RecordError as error:
            await self._end(run, "failed", error.error)
        except OSError as error:
            await self._put_back(run, DiskError(error).message)
        except InvalidConfigError as error:
            if error.setting == "out":
                await self._put_back(run, "waiting: another server still writes to the files of this job")
            else:
                await self._end(run, "failed", error)
        except UserError as error:
            await self._end(run, "failed", error)
        except Exception as error:
            await self._failed(run, error)
        else:
            await self._end(run, "done")
        finally:
            beat.cancel()

    async def _stopped(self, run: JobRun) -> None:
        """Cancelled by its owner, else left to the next server."""
        held = await self._stored(lambda: self._leases.held(run.job.id, self._name))
        if held is not None and held.is_cancelled:
            await self._end(run, "cancelled")
        else:
            await self._stored(lambda: self._leases.put_back(run.job.id, self._name))

    async def _failed(self, run: JobRun, error: Exception) -> None:
        """The server is to blame, or its models: the job is tried again for a while."""
        SERVER.error("job %s failed: %s", run.job.id, error, exc_info=error)
        if run.job.retries < MAX_RETRIES:
            await self._put_back(run, "waiting: the server could not go on with it, and tries again")
        else:
            await self._end(run, "failed", InternalError("the server failed on this job; its log has the reason"))

    async def _put_back(self, run: JobRun, note: str) -> None:
        wait_s = min(MAX_WAIT_S, FIRST_WAIT_S * 2 ** min(run.job.retries, 10))
        SERVER.error("job %s is tried again in %.0f s: %s", run.job.id, wait_s, note)
        await self._stored(lambda: self._leases.put_back(run.job.id, self._name, note=note, retry_in_s=wait_s))

    async def _end(self, run: JobRun, state: JobEnd, error: EsmkitError | None = None) -> None:
        job, files = run.job, run.files
        progress = run.measured() if state == "done" else replace(run.progress, size_bytes=0)
        keep_s = self._server.settings.jobs_keep_s
        reason = None if error is None else error.to_dict()
        is_ours = await self._stored(
            lambda: self._leases.finish(job.id, self._name, state, progress, keep_s=keep_s, error=reason)
        )
        if is_ours:
            self._server.metrics.jobs.ended.labels(state).inc()
            await asyncio.to_thread(files.drop_input if state == "done" else files.delete)
        SERVER.info("job %s: %s", job.id, state, extra={"fields": {"job": job.id, "key": job.key_id, "state": state}})

    async def _beat(self, run: JobRun) -> None:
        """Renews the lease; while the store is away the work goes on, as nobody else can take it then."""
        while True:
            await asyncio.sleep(self._lease_s / BEATS)
            try:
                said = await asyncio.to_thread(
                    self._leases.beat, run.job.id, self._name, run.progress, lease_s=self._lease_s, note=run.note
                )
            except StoreError as error:
                self._note_store(error)
                continue
            if said != "mine":
                run.stop()

    async def _stored(self, write: Callable[[], T]) -> T | None:
        """Writes to the store, as often as it takes; what a server that stops could not write, the next one finds."""
        while True:
            try:
                return await asyncio.to_thread(write)
            except StoreError as error:
                self._note_store(error)
                if self._server.draining:
                    return None
                await asyncio.sleep(POLL_S)

    def _sweep(self) -> None:
        """Deletes what has expired, and what servers left that died while they received an input."""
        for job_id in self._leases.expired(self.folder.place):
            self.folder.of(job_id).delete()
            self._leases.forget(job_id)
        old = self.folder.sweep(older_than_s=max(SWEEP_S, self._server.settings.jobs_keep_s))
        for job_id in {*old} - self._leases.known(old):
            self.folder.of(job_id).delete()

    def _measure(self, backlog: Backlog) -> None:
        metrics = self._server.metrics.jobs
        metrics.kept.labels("queued").set(backlog.queued)
        metrics.kept.labels("running").set(backlog.running)
        metrics.residues_left.set(backlog.residues)

    def _note_store(self, error: Any) -> None:
        if error is not None and not self._is_store_down:
            SERVER.error("jobs wait for the store or the disk: %s", error)
        elif error is None and self._is_store_down:
            SERVER.info("jobs go on")
        self._is_store_down = error is not None


def _demand_hope(job: Job) -> None:
    """Refuses to begin with what its owner does not want any more, or what killed servers.

    Raises:
        StoppedError: it is cancelled.
        UserError: too many servers died of it.
    """
    if job.is_cancelled:
        raise StoppedError
    if job.crashes > MAX_CRASHES:
        raise UserError(f"the server died {job.crashes} times while it worked on this job; it is given up")
