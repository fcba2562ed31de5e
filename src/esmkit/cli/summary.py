"""The last lines of a command: what was done, how fast, with how much memory."""

from __future__ import annotations

import json as json_module
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import typer

from esmkit.sinks import Summary
from esmkit.types import Failure, Result


@dataclass(slots=True, kw_only=True)
class Finished:
    """Where a finished command put its results, and what failed.

    Attributes:
        failures: failed records.
        failed: the first failures, when they are in no file.
    """

    failures: int = 0
    out: Path | str | None = None
    failures_path: Path | str | None = None
    shards: int = 0
    shards_resumed: int = 0
    failed: list[Failure] = field(default_factory=list)

    def fail(self, failure: Failure) -> None:
        """One that is in no file."""
        self.failures += 1
        self.failed.append(failure)

    def put(self, done: Summary) -> None:
        """What stands on disk."""
        self.failures, self.out, self.failures_path = done.failures, done.path, done.failures_path
        self.shards, self.shards_resumed = done.shards, done.shards_resumed

    def show(self, facts: dict[str, object], lines: list[str], *, quiet: bool, json: bool) -> None:
        """To stderr in words, or to stdout as one JSON object."""
        for failure in self.failed:
            print(f"esmkit: skipped: {failure.error.message}", file=sys.stderr)  # noqa: T201
        if json:
            typer.echo(json_module.dumps(facts))
        elif not quiet:
            print("\n".join(f"esmkit: {line}" for line in lines), file=sys.stderr)  # noqa: T201

    def outcome(self) -> dict[str, object]:
        """As plain data."""
        return {
            "failures": self.failures,
            "out": None if self.out is None else str(self.out),
            "failures_path": None if self.failures_path is None else str(self.failures_path),
            "shards": self.shards,
            "shards_resumed": self.shards_resumed,
        }

    def outcome_lines(self) -> list[str]:
        """As text for a terminal of 80 columns."""
        lines = []
        if self.shards_resumed:
            lines.append(f"{self.shards_resumed} of {self.shards} shards were finished by an earlier run")
        if self.failures:
            where = f", listed in {self.failures_path}" if self.failures_path else ""
            lines.append(f"{self.failures:,} of them failed{where}")
        if self.out:
            lines.append(f"results in {self.out}")
        return lines


@dataclass(slots=True, kw_only=True)
class RunSummary(Finished):
    """Counts of a finished command.

    Attributes:
        records: records of the input, failed ones too.
        residues: residues of all results, of this run and of the one it continued.
        computed_residues: residues of the results of this run.
        noun: one record, in words.
    """

    records: int = 0
    residues: int = 0
    computed_residues: int = 0
    noun: str = "protein"

    @classmethod
    def of_files(cls, done: Summary, computed_residues: int) -> Self:
        """From what stands on disk."""
        summary = cls(records=done.records, residues=done.residues, computed_residues=computed_residues)
        summary.put(done)
        return summary

    def count(self, item: Result | Failure) -> None:
        """One item that went to the screen."""
        self.records += 1
        if isinstance(item, Failure):
            self.fail(item)
        else:
            self.residues += item.meta["length"]
            self.computed_residues += item.meta["length"]

    def report(self, seconds: float, *, quiet: bool, json: bool) -> None:
        """See `Finished.show`."""
        self.show(self.facts(seconds), self.lines(seconds), quiet=quiet, json=json)

    def facts(self, seconds: float) -> dict[str, object]:
        """As plain data; memory in bytes, time in seconds."""
        return {
            "records": self.records,
            "residues": self.residues,
            "computed_residues": self.computed_residues,
            **self.outcome(),
            "seconds": round(seconds, 3),
            "residues_per_s": round(self.computed_residues / seconds, 1),
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self, seconds: float) -> list[str]:
        """As text for a terminal of 80 columns."""
        records = f"{self.records:,} {self.noun}{'' if self.records == 1 else 's'}"
        first = f"{records}, {self.residues:,} residues in {seconds:.1f} s, {self._speed(seconds)}"
        return [first, *self.outcome_lines()]

    def _speed(self, seconds: float) -> str:
        if not self.computed_residues:
            return f"nothing left to compute, {peak_memory()}"
        return f"{self.computed_residues / seconds:,.0f} residues/s, {peak_memory()}"


def peak_memory() -> str:
    """In words."""
    return f"peak memory {peak_memory_bytes() / 2**20:,.0f} MiB"


def peak_memory_bytes() -> int:
    """The largest resident memory of this process so far; rusage also counts the parent's, from before exec."""
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
