"""Records in, results out, in order, through the serving queue: what an Engine is to a command, this is to a job."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from esmkit.alphabet import MASK, num_residues
from esmkit.errors import EsmkitError, SequenceTooLongError
from esmkit.server.errors import AnswerTooLargeError, QuotaExceededError
from esmkit.server.jobs.errors import StoppedError
from esmkit.types import Column, Failure, Record, Result

IN_FLIGHT = 2
"""Groups in the queue: the one that is computed, and the next one, so that the model need not wait for it."""
T = TypeVar("T")
Compute = Callable[[list[Record]], Coroutine[None, None, list[Result | Failure]]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much goes into the queue at once; a record that exceeds one of the last three is a failure.

    Attributes:
        tokens: of a group, masked rows too.
        record_residues: of a record.
        group_bytes: of the answers of a group, as fp32.
        group_residues: of a group; None for any number.
    """

    tokens: int
    record_residues: int
    group_bytes: int
    group_residues: int | None


class BulkEngine:
    """Runs records from a thread while the event loop waits for the queue.

    Args:
        compute: answers a group of records.
        loop: where the queue lives.
        columns: of the results, for their size.
        masks: whether a record takes a row per residue.
        bounds: of groups.
    """

    def __init__(
        self,
        compute: Compute,
        loop: asyncio.AbstractEventLoop,
        *,
        columns: Sequence[Column],
        masks: bool,
        bounds: Bounds,
    ) -> None:
        self._compute, self._loop = compute, loop
        self._columns, self._masks, self._bounds = columns, masks, bounds
        self._lock = threading.Lock()
        self._futures: set[Future[Any]] = set()
        self._is_stopped = False

    def run(self, records: Iterable[Record | Failure]) -> Iterator[Result | Failure]:
        """One outcome per record, in order.

        Raises:
            StoppedError: it was told to stop.
            EsmkitError: the model does not work.
        """
        pending: deque[tuple[list[Record | Failure], Future[list[Result | Failure]]]] = deque()
        for group in self._groups(records):
            pending.append((group, self._begin([item for item in group if isinstance(item, Record)])))
            if len(pending) >= IN_FLIGHT:
                yield from self._finished(*pending.popleft())
        while pending:
            yield from self._finished(*pending.popleft())

    def stop(self) -> None:
        """Takes back what waits in the queue; the thread ends at its next step."""
        with self._lock:
            self._is_stopped = True
            pending = tuple(self._futures)
        for future in pending:
            future.cancel()

    def check(self) -> None:
        """Ends the thread if it was told to stop.

        Raises:
            StoppedError: it was.
        """
        if self._is_stopped:
            raise StoppedError

    def ask(self, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """What the event loop says.

        Raises:
            StoppedError: it was told to stop.
        """
        return self._answer(self._started(work))

    def _begin(self, records: list[Record]) -> Future[list[Result | Failure]]:
        if records:
            return self._started(lambda: self._compute(records))
        nothing: Future[list[Result | Failure]] = Future()
        nothing.set_result([])
        return nothing

    def _started(self, work: Callable[[], Coroutine[None, None, T]]) -> Future[T]:
        with self._lock:
            self.check()
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
            self._futures.add(future)
            return future

    def _answer(self, future: Future[T]) -> T:
        try:
            return future.result()
        except CancelledError:
            raise StoppedError from None
        finally:
            with self._lock:
                self._futures.discard(future)

    def _finished(
        self, group: list[Record | Failure], future: Future[list[Result | Failure]]
    ) -> Iterator[Result | Failure]:
        outcomes = self._answer(future)
        answers = iter(outcomes)
        for item in group:
            yield item if isinstance(item, Failure) else next(answers)

    def _groups(self, records: Iterable[Record | Failure]) -> Iterator[list[Record | Failure]]:
        bounds = self._bounds
        group: list[Record | Failure] = []
        tokens = size_bytes = residues = 0
        for item in records:
            item = self._judged(item)
            length = num_residues(item.sequence) if isinstance(item, Record) else 0
            cost = (length + 2) * (length if self._masks else 1)
            of_answer = self.answer_bytes(item) if isinstance(item, Record) else 0
            is_over = tokens + cost > bounds.tokens or size_bytes + of_answer > bounds.group_bytes
            if group and (is_over or residues + length > (bounds.group_residues or residues + length)):
                yield group
                group, tokens, size_bytes, residues = [], 0, 0, 0
            group.append(item)
            tokens, size_bytes, residues = tokens + cost, size_bytes + of_answer, residues + length
        if group:
            yield group

    def _judged(self, item: Record | Failure) -> Record | Failure:
        """The record, or why it is not even sent to the queue."""
        if isinstance(item, Failure):
            return item
        length, bounds = num_residues(item.sequence), self._bounds
        error: EsmkitError | None = None
        if length > bounds.record_residues:
            error = SequenceTooLongError(
                f"record {item.id!r} has {length} residues, the server takes {bounds.record_residues}",
                record_id=item.id,
                length=length,
                limit=bounds.record_residues,
            )
        elif (size_bytes := self.answer_bytes(item)) > bounds.group_bytes:
            error = AnswerTooLargeError(
                f"record {item.id!r}: the answer would hold {size_bytes / 1e6:.0f} MB of numbers, at most "
                f"{bounds.group_bytes / 1e6:.0f} MB are allowed; ask for fewer layers, heads or outputs"
            )
        elif bounds.group_residues is not None and length > bounds.group_residues:
            error = QuotaExceededError(
                f"record {item.id!r} has {length} residues, more than this key may use at all", retry_after_s=60
            )
        return item if error is None else Failure(item.index, item.id, error)

    def answer_bytes(self, record: Record) -> int:
        """What the numbers of its answer take."""
        sizes = {"L": num_residues(record.sequence), "M": record.sequence.count(MASK)}
        total = 0
        for column in self._columns:
            numbers = 1
            for size in column.shape:
                numbers *= size if isinstance(size, int) else sizes.get(size, sizes["L"])
            total += numbers
        return 4 * total
