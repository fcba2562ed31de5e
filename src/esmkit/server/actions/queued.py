"""A model whose work goes through the serving queue: functions of `applications/` take it for one of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Literal, cast

from esmkit.alphabet import ResiduePolicy, num_residues
from esmkit.batching import LengthPolicy
from esmkit.engine import Model
from esmkit.engine.engine import Engine
from esmkit.outputs import Output, OutputOptions
from esmkit.types import Failure, ModelShape, Record, Result

AT_ONCE_TOKENS = 1 << 16
"""What one call of the queue computes at most, but for a single record that is larger."""

Submit = Callable[..., Coroutine[Any, Any, list[Result | Failure]]]
"""`submit` of the queue, all about the model and the request already said."""


class QueuedEngine:
    """Runs records like an `Engine`, from a thread, while the event loop waits for the queue.

    Args:
        submit: takes records, names of outputs and their options.
        shape: of the model.
        provenance: of the model.
        loop: where the queue lives.
    """

    def __init__(
        self, submit: Submit, shape: ModelShape, provenance: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.shape, self.provenance = shape, provenance
        self._submit, self._loop = submit, loop
        self._lock = threading.Lock()
        self._pending: Future[list[Result | Failure]] | None = None
        self._cancelled = False

    def run(
        self,
        records: Iterable[Record | Failure],
        outputs: Sequence[Output],
        *,
        length: LengthPolicy | None = None,
        residues: ResiduePolicy | None = None,
        on_error: Literal["stop", "skip"] = "stop",
        on_progress: Callable[[int], None] | None = None,
    ) -> Iterator[Result | Failure]:
        """Results in input order, see `Engine.run`."""
        (options,) = {output.options for output in outputs}
        names = tuple(output.name for output in outputs)
        masked = any(output.masks for output in outputs)
        for group in _groups(records, masked=masked):
            computed = [record for record in group if isinstance(record, Record)]
            answers = iter(self._answers(computed, names, options, length, residues))
            for item in group:
                outcome = item if isinstance(item, Failure) else next(answers)
                if isinstance(outcome, Failure) and on_error == "stop":
                    raise outcome.error
                yield outcome
            if on_progress is not None:
                on_progress(sum(_cost(record, masked=masked) for record in computed))

    def cancel(self) -> None:
        """Takes back what waits in the queue; the thread ends at its next step."""
        with self._lock:
            self._cancelled = True
            if self._pending is not None:
                self._pending.cancel()

    def _answers(
        self,
        records: list[Record],
        names: tuple[str, ...],
        options: OutputOptions,
        length: LengthPolicy | None,
        residues: ResiduePolicy | None,
    ) -> list[Result | Failure]:
        if not records:
            return []
        with self._lock:
            if self._cancelled:
                raise CancelledError
            work = self._submit(records, names, options, length=length, residues=residues)
            self._pending = asyncio.run_coroutine_threadsafe(work, self._loop)
        return self._pending.result()


def queued_model(engine: QueuedEngine, length: LengthPolicy) -> Model:
    """The model as a library function takes it."""
    return Model(cast(Engine, engine), length=length)  # all that these functions use of an engine is there


def _cost(record: Record, *, masked: bool) -> int:
    tokens = num_residues(record.sequence) + 2
    return tokens * (tokens - 2) if masked else tokens


def _groups(records: Iterable[Record | Failure], *, masked: bool) -> Iterator[list[Record | Failure]]:
    group: list[Record | Failure] = []
    tokens = 0
    for record in records:
        cost = _cost(record, masked=masked) if isinstance(record, Record) else 0
        if group and tokens + cost > AT_ONCE_TOKENS:
            yield group
            group, tokens = [], 0
        group.append(record)
        tokens += cost
    if group:
        yield group
