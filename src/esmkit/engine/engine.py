"""Records in, results out, in order: the only wiring of intake, batching, runner and outputs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Literal

import torch

from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy, pack
from esmkit.engine.budget import token_budget
from esmkit.engine.jobs import Chunk, Intake, Job, Plan
from esmkit.engine.prefetch import prefetch
from esmkit.engine.runner import Launched, Runner
from esmkit.models.weights import Loaded
from esmkit.outputs import Output
from esmkit.types import Failure, ModelShape, Record, Result, Row

CHUNK_BATCHES = 4
"""Batches of look-ahead: rows are sorted by length within so many batches, and results leave together."""
REPORT_EVERY_S = 0.05
"""Between two reports of progress: a hand-over between threads for every small batch would cost more than the batch."""


class Engine:
    """One loaded model, ready to run records through any outputs.

    Args:
        loaded: the model and its provenance, on its device.
        backend: attention back end: auto, eager, sdpa, native or varlen.
        batch_tokens: tokens per batch; None chooses from the device and its free memory.
    """

    def __init__(self, loaded: Loaded, *, backend: str = "auto", batch_tokens: int | None = None) -> None:
        from esmkit import __version__

        self.loaded = loaded
        self.runner = Runner(loaded.module, loaded.shape, backend=backend)
        per_token_bytes = loaded.family.activation_bytes(loaded.shape, self.runner.dtype.itemsize)
        self.batch_tokens = token_budget(per_token_bytes, self.runner.device, asked=batch_tokens)
        self.provenance: dict[str, Any] = {
            **loaded.provenance,
            "attention": self.runner.backend,
            "device": self.runner.device.type,
            "esmkit": __version__,
            "torch": torch.__version__,
        }

    @property
    def shape(self) -> ModelShape:
        """Layers, width and heads of the model."""
        return self.loaded.shape

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
        """Results in input order, as a stream: bounded memory, reading and computing ahead of the consumer.

        Args:
            records: input records; a Failure passes through in its place.
            outputs: what to compute, all in one pass; see `esmkit.outputs.build`.
            length: limit and policy for long sequences; an error above 2,048 residues by default.
            residues: what may be repaired in a sequence; nothing by default.
            on_error: `stop` raises at the first record that has no answer; `skip` yields a Failure in its place.
            on_progress: called in the caller's thread with the tokens computed since the last call.

        Yields:
            One Result per record, or a Failure under `skip`.

        Raises:
            UnsupportedOutputError: the model or the length policy cannot give an output.
            EsmkitError: under `stop`, the first failure, after the results before it.
        """
        length = length or LengthPolicy()
        plan = Plan(tuple(outputs))
        plan.check_provided(self.loaded.family.provides, self.loaded.slug)
        intake = Intake(
            plan,
            residues or ResiduePolicy(),
            length,
            CHUNK_BATCHES * self.batch_tokens,
            stop_at_failure=on_error == "stop",
        )
        steps = prefetch(self._steps(intake.chunks(records), plan), depth=CHUNK_BATCHES)
        with closing(steps):
            for step in steps:
                if isinstance(step, Chunk):
                    yield from self._emit(step, plan, on_error)
                elif on_progress is not None:
                    on_progress(step)

    def _steps(self, chunks: Iterable[Chunk], plan: Plan) -> Iterator[Chunk | int]:
        """Tokens done, now and then, and each chunk when all its rows are; the consumer can stop at every step."""
        done, reported_at = 0, 0.0
        with closing(prefetch(chunks, depth=1)) as ready:
            for chunk in ready:
                for tokens in self._compute(chunk, plan):
                    done += tokens
                    if time.monotonic() - reported_at > REPORT_EVERY_S:
                        yield done
                        done, reported_at = 0, time.monotonic()
                yield chunk
                if done:
                    yield done
                    done = 0

    def _compute(self, chunk: Chunk, plan: Plan) -> Iterator[int]:
        """Runs plain and masked rows, in batches of their own; the tokens of each batch."""
        launched: deque[tuple[list[tuple[Job, Row]], Launched]] = deque()
        for part in plan.passes:
            entries = list(chunk.rows(part))
            for batch in pack([len(row.tokens) for _, row in entries], self.batch_tokens):
                members = [entries[index] for index in batch]
                rows, names = [row for _, row in members], [job.record_id for job, _ in members]
                launched.append((members, self.runner.launch(rows, names, part.outputs)))
                if len(launched) >= self.runner.depth:
                    yield self._collect(*launched.popleft(), plan)
        while launched:
            yield self._collect(*launched.popleft(), plan)

    def _collect(self, members: list[tuple[Job, Row]], launched: Launched, plan: Plan) -> int:
        """Hands the answers of a batch to their jobs; the tokens of the batch."""
        for (job, row), outcome in zip(members, self.runner.collect(launched), strict=True):
            job.accept(row, outcome, plan)
        return sum(len(row.tokens) for _, row in members)

    def _emit(self, chunk: Chunk, plan: Plan, on_error: Literal["stop", "skip"]) -> Iterator[Result | Failure]:
        for outcome in chunk.outcomes(plan, self.provenance):
            if isinstance(outcome, Failure) and on_error == "stop":
                raise outcome.error
            yield outcome
