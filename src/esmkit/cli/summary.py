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


@dataclass(slots=True)
class RunSummary:
    """Counts of a finished command.

    Attributes:
        records: records of the input, failed ones too.
        residues: residues of all results, of this run and of the one it continued.
        computed_residues: residues of the results of this run.
        failures: failed records.
        failed: the first failures, when they are in no file.
    """

    records: int = 0
    residues: int = 0
    computed_residues: int = 0
    failures: int = 0
    out: Path | None = None
    failures_path: Path | None = None
    shards: int = 0
    shards_resumed: int = 0
    failed: list[Failure] = field(default_factory=list)

    @classmethod
    def of_files(cls, done: Summary, computed_residues: int) -> Self:
        """From what stands on disk."""
        return cls(
            done.records,
            done.residues,
            computed_residues,
            done.failures,
            done.path,
            done.failures_path,
            done.shards,
            done.shards_resumed,
        )

    def count(self, item: Result | Failure) -> None:
        """One item that went to the screen."""
        self.records += 1
        if isinstance(item, Failure):
            self.failures += 1
            self.failed.append(item)
        else:
            self.residues += item.meta["length"]
            self.computed_residues += item.meta["length"]

    def report(self, seconds: float, *, quiet: bool, json: bool) -> None:
        """To stderr in words, or to stdout as one JSON object."""
        for failure in self.failed:
            print(f"esmkit: skipped: {failure.error.message}", file=sys.stderr)  # noqa: T201
        if json:
            typer.echo(json_module.dumps(self.facts(seconds)))
        elif not quiet:
            print("\n".join(f"esmkit: {line}" for line in self.lines(seconds)), file=sys.stderr)  # noqa: T201

    def facts(self, seconds: float) -> dict[str, object]:
        """As plain data; memory in bytes, time in seconds."""
        return {
            "records": self.records,
            "residues": self.residues,
            "computed_residues": self.computed_residues,
            "failures": self.failures,
            "out": None if self.out is None else str(self.out),
            "failures_path": None if self.failures_path is None else str(self.failures_path),
            "shards": self.shards,
            "shards_resumed": self.shards_resumed,
            "seconds": round(seconds, 3),
            "residues_per_s": round(self.computed_residues / seconds, 1),
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self, seconds: float) -> list[str]:
        """As text for a terminal of 80 columns."""
        proteins = f"{self.records:,} protein{'' if self.records == 1 else 's'}"
        lines = [f"{proteins}, {self.residues:,} residues in {seconds:.1f} s, {self._speed(seconds)}"]
        if self.shards_resumed:
            lines.append(f"{self.shards_resumed} of {self.shards} shards were finished by an earlier run")
        if self.failures:
            where = f", listed in {self.failures_path}" if self.failures_path else ""
            lines.append(f"{self.failures:,} of them failed{where}")
        if self.out:
            lines.append(f"results in {self.out}")
        return lines

    def _speed(self, seconds: float) -> str:
        memory = f"peak memory {peak_memory_bytes() / 2**20:,.0f} MiB"
        if not self.computed_residues:
            return f"nothing left to compute, {memory}"
        return f"{self.computed_residues / seconds:,.0f} residues/s, {memory}"


def peak_memory_bytes() -> int:
    """The largest resident memory of this process so far; rusage also counts the parent's, from before exec."""
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
