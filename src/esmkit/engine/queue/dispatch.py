"""From waiting requests to batches at a runner process, and from its answers back to the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from esmkit.engine.jobs import Plan
from esmkit.engine.queue.messages import Done, Work
from esmkit.engine.queue.pace import Pace
from esmkit.engine.queue.process import RunnerDiedError, RunnerProcess
from esmkit.engine.queue.schedule import Batch, Member, Request, Schedule
from esmkit.engine.queue.spec import ModelStats
from esmkit.engine.runner import RowOutcome
from esmkit.errors import EsmkitError, ModelExecutionError

IN_FLIGHT = 2
"""Batches at a runner: the one that it computes, and the next one, so that it need not wait for it."""
SEND_AT = 0.7
"""Share of a batch after which the next one is sent: late, so that it is full and nothing urgent comes behind it."""


class Dispatcher:
    """Keeps one runner process at work.

    A batch never waits to be filled while the runner is idle; while it computes, requests gather for the next one.

    Attributes:
        process: who computes; while it is None, requests wait.
        schedule: the requests.
        pace: how fast it goes.
        counts: what was done.
    """

    def __init__(self) -> None:
        self.process: RunnerProcess | None = None
        self.schedule, self.pace, self.counts = Schedule(), Pace(), ModelStats()
        self._in_flight: dict[asyncio.Task[None], Batch] = {}
        self._send_at_s = 0.0
        self._alarm: asyncio.Handle | None = None

    def add(self, request: Request) -> None:
        """Takes a request on; its `done` tells when it is over."""
        self.schedule.add(request)
        self._finish(request)  # over at once if its outputs ask for no rows
        self.wake()

    def wake(self) -> None:
        """Sends what can be sent, once all callbacks that are ready now have run: they may bring more requests."""
        self._wake_in(0.0)

    async def settle(self) -> None:
        """Waits for the batches on their way."""
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    def _wake_in(self, delay_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(delay_s, self._send_batches) if delay_s else loop.call_soon(self._send_batches)

    def _send_batches(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self.process is not None and self.schedule and self._has_room():
            if self._in_flight and now_s < self._send_at_s:
                self._wake_in(self._send_at_s - now_s)
                return
            room = self.pace.room(self.process.ready.batch_tokens)
            batch = self.schedule.take(room, now_s)
            if batch is None:
                return
            self._note_start(batch, room, now_s)
            task = asyncio.create_task(self._run(batch, self.process))
            self._in_flight[task] = batch

    def _has_room(self) -> bool:
        """A batch that was tried before is computed alone, so that it is clear what the runner dies of."""
        is_delicate = self.schedule.is_retrying or any(batch.faults for batch in self._in_flight.values())
        return len(self._in_flight) < (1 if is_delicate else IN_FLIGHT)

    def _note_start(self, batch: Batch, room: int, now_s: float) -> None:
        for request in batch.requests:
            if not request.is_started:
                request.is_started = True
                self.counts.wait_s += now_s - request.accepted_s
                if request.on_start is not None:
                    request.on_start()
        self.counts.batch_room += max(room, batch.num_tokens)
        if not self._in_flight:
            self._expect(batch, now_s)

    def _expect(self, batch: Batch, now_s: float) -> None:
        self._send_at_s = now_s + SEND_AT * self.pace.expected_s(batch.num_tokens)

    async def _run(self, batch: Batch, process: RunnerProcess) -> None:
        work = Work(
            rows=[member.row for member in batch.members],
            names=[member.job.record_id for member in batch.members],
            outputs=batch.plan.outputs,
        )
        try:
            try:
                self._take(batch, await process.run(work))
            except RunnerDiedError as error:
                self._retry_or_fail(batch, error)
        except Exception as error:  # a fault of ours must not leave anybody waiting
            self._abandon(batch, ModelExecutionError(f"esmkit failed: {error!r}"))
        finally:
            self._go_on()

    def _go_on(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        del self._in_flight[task]
        for batch in self._in_flight.values():
            self._expect(batch, asyncio.get_running_loop().time())
        self.wake()

    def _retry_or_fail(self, batch: Batch, error: RunnerDiedError) -> None:
        """Inference changes nothing, so a batch may be tried again; what a runner died of twice is given up."""
        batch.faults += error.was_computing
        if batch.faults > 1:
            names = [member.job.record_id for member in batch.members]  # of one caller: see put_back
            failure = ModelExecutionError(f"the runner died while it computed this, twice: {error}", records=names)
            self._hand_out(batch.plan, [(member, failure) for member in batch.members])
        else:
            self.schedule.put_back(batch)

    def _take(self, batch: Batch, done: Done) -> None:
        """Hands out what a batch gave; rows on which the model failed are tried again, each request alone.

        The model fails on all rows at once, so one caller's row may have spoilt it for others; and the error names
        all of them, which is nobody's business.
        """
        self.counts.batches += 1
        self.counts.batch_tokens += batch.num_tokens
        self.counts.run_s += done.seconds
        self.pace.note(batch.num_tokens, done.seconds)
        answers = list(zip(batch.members, done.outcomes, strict=True))
        suspects = Batch(batch.plan, [each for each, outcome in answers if isinstance(outcome, ModelExecutionError)], 1)
        if not batch.faults and len(suspects.requests) > 1:
            self.schedule.put_back(suspects)
            answers = [(each, outcome) for each, outcome in answers if not isinstance(outcome, ModelExecutionError)]
        self._hand_out(batch.plan, answers)

    def _hand_out(self, plan: Plan, answers: Iterable[tuple[Member, RowOutcome]]) -> None:
        for member, outcome in answers:
            if not isinstance(outcome, EsmkitError):
                self.counts.residues += member.row.num_residues
            member.request.rows_out -= 1
            member.job.accept(member.row, outcome, plan)
            self._finish(member.request)

    def _abandon(self, batch: Batch, error: EsmkitError) -> None:
        for request in batch.requests:
            self.schedule.drop(request)
            if not request.done.done():
                request.done.set_exception(error)

    def _finish(self, request: Request) -> None:
        if request.is_over and not request.done.done():
            self.counts.requests += 1
            request.done.set_result(None)
