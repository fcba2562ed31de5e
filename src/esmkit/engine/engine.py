"""Records in, results out, in order: the only wiring of intake, batching, runner and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Literal

import torch

from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy, pack
from esmkit.engine.budget import token_budget
from esmkit.engine.jobs import Chunk, Intake, Job, check_provided, merges_of
from esmkit.engine.prefetch import prefetch
from esmkit.engine.runner import Runner
from esmkit.models.weights import Loaded
from esmkit.outputs import Output
from esmkit.types import Failure, Record, Result, Row

CHUNK_BATCHES = 4
"""Batches of look-ahead: rows are sorted by length within so many batches, and results leave together."""


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
        self.runner = Runner(loaded.module, loaded.shape.head_dim, backend=backend)
        self.batch_tokens = token_budget(loaded.shape, self.runner.device, self.runner.dtype, asked=batch_tokens)
        self.provenance: dict[str, Any] = {
            **loaded.provenance,
            "attention": self.runner.backend,
            "device": self.runner.device.type,
            "esmkit": __version__,
            "torch": torch.__version__,
        }

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
            on_progress: called with the tokens of every finished batch, in the caller's thread.

        Yields:
            One Result per record, or a Failure under `skip`.

        Raises:
            UnsupportedOutputError: the model or the length policy cannot give an output.
            EsmkitError: under `stop`, the first failure, after the results before it.
        """
        length = length or LengthPolicy()
        check_provided(outputs, self.loaded.family.provides, self.loaded.slug)
        intake = Intake(
            outputs,
            residues or ResiduePolicy(),
            length,
            CHUNK_BATCHES * self.batch_tokens,
            stop_at_failure=on_error == "stop",
        )
        steps = prefetch(self._steps(intake.chunks(records), outputs), depth=CHUNK_BATCHES)
        with closing(steps):
            for step in steps:
                if isinstance(step, Chunk):
                    yield from self._emit(step, outputs, on_error)
                elif on_progress is not None:
                    on_progress(step)

    def _steps(self, chunks: Iterable[Chunk], outputs: Sequence[Output]) -> Iterator[Chunk | int]:
        """Tokens done after every batch, and each chunk when all its rows are."""
        plain = [output for output in outputs if not output.masks]
        masking = [output for output in outputs if output.masks]
        with closing(prefetch(chunks, depth=1)) as ready:
            for chunk in ready:
                for group in (plain, masking):
                    yield from self._compute(list(chunk.rows(group)), group)
                yield chunk

    def _compute(self, entries: list[tuple[Job, Row]], outputs: Sequence[Output]) -> Iterator[int]:
        merges = merges_of(outputs)
        for batch in pack([len(row.tokens) for _, row in entries], self.batch_tokens):
            members = [entries[index] for index in batch]
            rows, names = [row for _, row in members], [job.record_id for job, _ in members]
            for (job, row), outcome in zip(members, self.runner.run(rows, names, outputs), strict=True):
                job.receive(row, outcome, merges)
            yield sum(len(row.tokens) for row in rows)

    def _emit(
        self, chunk: Chunk, outputs: Sequence[Output], on_error: Literal["stop", "skip"]
    ) -> Iterator[Result | Failure]:
        for outcome in chunk.outcomes(outputs, self.provenance):
            if isinstance(outcome, Failure) and on_error == "stop":
                raise outcome.error
            yield outcome
