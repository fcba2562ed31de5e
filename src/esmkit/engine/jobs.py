"""Records in flight: from a record to rows, from rows back to one result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from esmkit import alphabet
from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy, masked_row, window_rows, windows
from esmkit.errors import EsmkitError, UnsupportedOutputError
from esmkit.outputs import Output
from esmkit.outputs.base import Merge
from esmkit.types import Failure, FloatArray, IntArray, Record, Result, Row


@dataclass(frozen=True)
class Plan:
    """The outputs of a run, and what is asked of them for every record, worked out once."""

    outputs: tuple[Output, ...]

    @cached_property
    def plain(self) -> tuple[Output, ...]:
        """Outputs of the plain row."""
        return tuple(output for output in self.outputs if not output.masks)

    @cached_property
    def masking(self) -> tuple[Output, ...]:
        """Outputs of masked rows."""
        return tuple(output for output in self.outputs if output.masks)

    @cached_property
    def passes(self) -> tuple[Plan, ...]:
        """The same outputs by the rows that they need: a plan for the plain rows and one for the masked, if any."""
        return tuple(Plan(outputs) for outputs in (self.plain, self.masking) if outputs)

    @cached_property
    def checks(self) -> tuple[Callable[[Record], None], ...]:
        """What outputs demand of a record, for those that demand something."""
        return tuple(output.check for output in self.outputs if type(output).check is not Output.check)

    @cached_property
    def merges(self) -> dict[str, Merge]:
        """How each part of a row joins the record."""
        return {name: part.merge for output in self.outputs for name, part in output.parts().items()}

    @cached_property
    def finishers(self) -> tuple[tuple[Output, tuple[str, ...]], ...]:
        """Each output with the names of its parts."""
        return tuple((output, tuple(output.parts())) for output in self.outputs)

    def check_provided(self, provides: Set[str], slug: str) -> None:
        """Refuses outputs that need more than the family of a model provides.

        Raises:
            UnsupportedOutputError: names the output, what it lacks, and what there is.
        """
        for output in self.outputs:
            if lacking := output.requires - provides:
                raise UnsupportedOutputError(
                    f"{slug} cannot give {output.name}: it has no {', '.join(sorted(lacking))}; "
                    f"it provides {', '.join(sorted(provides))}",
                    output=output.name,
                    choices=sorted(provides),
                )


@dataclass(slots=True)
class Job:
    """One distinct sequence being computed; records of a chunk with the same sequence share a job.

    Attributes:
        ids: uint8 token ids of what is computed, cls and eos included (cut already when truncated).
        spans: windows, 0-based half-open.
        meta: what the result will say about length and policy.
        parts: merged arrays so far.
        error: why there will be no result.
    """

    record_id: str
    ids: IntArray
    spans: list[tuple[int, int]]
    meta: dict[str, Any]
    parts: dict[str, Any] = field(default_factory=dict)
    error: EsmkitError | None = None

    def rows(self, plan: Plan) -> Iterator[Row]:
        """The plain rows if an output wants them, then the masked rows if an output wants those."""
        plain = window_rows(self.ids, self.spans)
        if plan.plain:
            yield from plain
        positions = self._masked_positions(plan)
        for row in plain:
            inside = (index - row.start for index in positions)
            yield from (masked_row(row, index) for index in inside if 0 <= index < row.num_residues)

    def num_tokens(self, plan: Plan) -> int:
        """Tokens of all its rows, without making them."""
        if not plan.masking:  # the common case, asked for every record
            return sum(stop - start + 2 for start, stop in self.spans)
        positions = self._masked_positions(plan)
        masked = (sum(start <= index < stop for index in positions) for start, stop in self.spans)
        rows = (bool(plan.plain) + masks for masks in masked)
        return sum((stop - start + 2) * count for (start, stop), count in zip(self.spans, rows, strict=True))

    def _masked_positions(self, plan: Plan) -> list[int]:
        """0-based residues that are masked in turn, one row each."""
        return sorted({index for output in plan.masking for index in output.positions(self.ids)})

    def accept(self, row: Row, outcome: Mapping[str, FloatArray] | EsmkitError, plan: Plan) -> None:
        """What a row of this record gave; the first error stays."""
        if isinstance(outcome, EsmkitError):
            self.error = self.error or outcome
            return
        for name, value in outcome.items():
            self.take(row, name, plan.merges[name], value)

    def take(self, row: Row, name: str, merge: Merge, value: FloatArray) -> None:
        """Merges one part of one row into the record."""
        if merge == "none" or (merge != "masked" and len(self.spans) == 1):
            self.parts[name] = value
        elif merge == "sum":
            self.parts[name] = self.parts.get(name, 0.0) + value
        elif merge == "max":
            self.parts[name] = np.maximum(self.parts.get(name, value), value)
        elif merge == "mean":
            self.parts[name] = self.parts.get(name, 0.0) + value / len(self.spans)
        else:
            self._place(row, name, merge, value)

    def _place(self, row: Row, name: str, merge: Merge, value: FloatArray) -> None:
        """Adds a stretch of residues, or the one masked residue, at its place, weighted where windows overlap."""
        width = value.shape[-1]
        whole = self.parts.setdefault(name, np.zeros((len(self.ids) - 2, width), dtype=np.float32))
        weights = np.ones(row.num_residues, dtype=np.float32) if row.weights is None else row.weights
        if merge == "masked":
            assert row.masked is not None
            whole[row.start + row.masked] += value * weights[row.masked]
        else:
            whole[row.start : row.start + row.num_residues] += value * weights[:, None]

    def result(self, record: Record, plan: Plan, provenance: dict[str, Any]) -> Result:
        """The answer for a record of this job."""
        arrays: dict[str, Any] = {}
        for output, names in plan.finishers:
            arrays.update(output.finish({name: self.parts[name] for name in names}, self.ids))
        return Result(record.index, record.id, arrays, {**self.meta, "provenance": provenance})


@dataclass(slots=True)
class Chunk:
    """A bounded stretch of the input: what is packed together, and what leaves together in input order.

    Attributes:
        entries: every record of the stretch with its job, or its outcome where that is known already.
        jobs: what is to be computed, by sequence.
        num_tokens: of all rows of these jobs.
    """

    entries: list[Failure | Result | tuple[Record, Job]] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    num_tokens: int = 0

    def add(self, record: Record, job: Job, plan: Plan) -> None:
        """Takes a record with a new job, or with one that the chunk has already."""
        if record.sequence not in self.jobs:
            self.num_tokens += job.num_tokens(plan)
            self.jobs[record.sequence] = job
        self.entries.append((record, job))

    def rows(self, plan: Plan) -> Iterator[tuple[Job, Row]]:
        """The rows of every job, made one by one; none for jobs that have failed by then."""
        for job in self.jobs.values():
            for row in job.rows(plan):
                if job.error is not None:
                    break
                yield job, row

    def outcomes(self, plan: Plan, provenance: dict[str, Any]) -> Iterator[Result | Failure]:
        """One per entry, in order, once all rows are done."""
        for entry in self.entries:
            if isinstance(entry, Failure | Result):
                yield entry
            elif entry[1].error is not None:
                yield Failure(entry[0].index, entry[0].id, entry[1].error)
            else:
                yield entry[1].result(entry[0], plan, provenance)


@dataclass(frozen=True, slots=True)
class Intake:
    """How records become jobs."""

    plan: Plan
    residues: ResiduePolicy
    length: LengthPolicy
    chunk_tokens: int
    stop_at_failure: bool

    def chunks(self, records: Iterable[Record | Failure]) -> Iterator[Chunk]:
        """Chunks of at least `chunk_tokens` tokens; an error of the input comes after the chunk read so far."""
        chunk = Chunk()
        iterator = iter(records)
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                break
            except Exception:
                if chunk.entries:
                    yield chunk
                raise
            self.admit(item, chunk)
            failed = isinstance(chunk.entries[-1], Failure)
            if chunk.num_tokens >= self.chunk_tokens or (failed and self.stop_at_failure):
                yield chunk
                chunk = Chunk()
        if chunk.entries:
            yield chunk

    def admit(self, item: Record | Failure, chunk: Chunk) -> None:
        """Adds one record to a chunk: with its job, or as a Failure that says why it has none."""
        if isinstance(item, Failure):
            chunk.entries.append(item)
            return
        try:
            record = alphabet.clean(item, self.residues)
            for check in self.plan.checks:
                check(record)
            chunk.add(record, chunk.jobs.get(record.sequence) or self._job(record), self.plan)
        except EsmkitError as error:
            chunk.entries.append(Failure(item.index, item.id, error))

    def _job(self, record: Record) -> Job:
        ids = alphabet.tokenize(record.sequence)
        length = len(ids) - 2
        spans = windows(record, length, self.length)
        if len(spans) > 1:
            self._check_windows(record)
        meta: dict[str, Any] = {"length": length}
        if spans != [(0, length)]:
            shown = [[start + 1, stop] for start, stop in spans]
            meta["long"] = {"policy": self.length.on_long, "windows": shown}
            if self.length.on_long == "truncate":
                ids = np.asarray(window_rows(ids, spans)[0].tokens, dtype=np.uint8)
                spans = [(0, len(ids) - 2)]
        return Job(record.id, ids, spans, meta)

    def _check_windows(self, record: Record) -> None:
        for output in self.plan.outputs:
            if any(part.merge == "none" for part in output.parts().values()):
                raise UnsupportedOutputError(
                    f"record {record.id!r} is longer than {self.length.limit} residues, and {output.name} relates "
                    "residues that no window holds together; use --long truncate or a higher --max-length",
                    output=output.name,
                )
