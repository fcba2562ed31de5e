"""Work for workers of the tests on Ray: an ordinary run in which one record brings trouble, in the worker."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from esmkit.cli.options import EngineOptions, RunOptions
from esmkit.cli.run import Job, Meter, opened_job
from esmkit.outputs import OutputOptions
from esmkit.types import Failure, Record, Result

TROUBLE = "trouble"


def run_options(source: Path, out: Path | None = None) -> RunOptions:
    return RunOptions(
        engine=EngineOptions(threads=1, device="cpu"), quiet=True, source=str(source), out=out, shard_residues=2000
    )


class Faulty:
    """The job, with something in front of the record called `trouble`."""

    def __init__(self, job: Job, fault: str) -> None:
        self._job, self._fault = job, fault
        self._tokens = job.model.engine.batch_tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def results(self, records: Iterable[Record | Failure], meter: Meter) -> Iterator[Result | Failure]:
        for result in self._job.results(records, meter):
            if result.id == TROUBLE:
                getattr(self, self._fault)()
            yield result

    def killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def memory(self) -> None:
        """A MemoryError of the allocator itself, as long as batches are as large as they were."""
        if self._job.model.engine.batch_tokens == self._tokens:
            bytearray(1 << 60)

    def memory_always(self) -> None:
        bytearray(1 << 60)

    def disk(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "shard.parquet")


def faulty(run: RunOptions, fault: str) -> Faulty:
    return Faulty(opened_job(run, ["mean"], OutputOptions()), fault)
