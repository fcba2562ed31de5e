"""The run that the tests of sinks start, kill, change and resume.

As a program: `python -m tests.sinks_run OUT SECONDS_PER_RECORD LOG`; LOG receives the index of every computed record.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import InvalidSequenceError
from esmkit.sinks import Summary, formats, open_target
from esmkit.types import Column, Failure, Record, Result

COLUMNS = (Column("vector", "float", (8,)), Column("score", "float", ()))
SINGLE = sorted(f"out{form.suffixes[0]}" for form in formats().values() if form.single_file)
TARGETS = [*SINGLE, "run"]
RECORDS = [Record(i, f"P{i}", "MKTAYI"[: 1 + i % 6]) for i in range(20)]
RECORDS_PER_SHARD = 4


def answer(record: Record) -> Result | Failure:
    if record.index % 7 == 3:
        error = InvalidSequenceError("a bad residue", record_id=record.id, position=1, residue="J")
        return Failure(record.index, record.id, error)
    vector = np.random.default_rng(record.index).standard_normal(8)
    return Result(record.index, record.id, {"vector": vector, "score": 0.5}, {"length": len(record.sequence)})


def run(
    out: Path,
    records: Iterable[Record | Failure] = RECORDS,
    *,
    seconds: float = 0.0,
    computed: list[int] | None = None,
    **options: Any,
) -> Summary:
    settings: dict[str, Any] = {
        "columns": COLUMNS,
        "arguments": {"layers": [33], "include": ("mean",)},
        "provenance": {"model": "esm2-8m", "versions": {"torch": "2.11"}},
        "shard_records": RECORDS_PER_SHARD,
        "shard_residues": 1000,
        **options,
    }
    with open_target(out, **settings) as target:
        for shard in target.pending(records):
            for record in shard.records:
                if computed is not None:
                    computed.append(record.index)
                time.sleep(seconds)
                shard.write(answer(record) if isinstance(record, Record) else record)
            shard.commit()
        return target.finish()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished_shards(out: Path) -> dict[str, tuple[int, int]]:
    """inode and mtime of the shards that the manifest of an unfinished run lists."""
    folder = out if out.is_dir() else out.with_name(f".{out.name}.partial")
    try:
        shards = json.loads((folder / "_manifest.json").read_text())["shards"]
        status = {shard["file"]: (folder / shard["file"]).stat() for shard in shards}
    except FileNotFoundError:
        return {}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in status.items()}


def leave_unfinished(out: Path, **options: Any) -> None:
    """Three finished shards, of which the last is the last one of this input."""

    def endless() -> Iterator[Record]:
        yield from RECORDS[:12]
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        run(out, endless(), **options)


def start(out: Path, seconds: float, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.sinks_run", str(out), str(seconds), str(log)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    return process


def in_program(call: Callable[[Path], object], out: Path) -> subprocess.CompletedProcess[str]:
    """Call a function of a test file with a path in a process of its own, and print what it gives."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); import pathlib; "
        f"from {call.__module__} import {call.__name__} as call; print(call(pathlib.Path({str(out)!r})))"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    seen: Any = Path(sys.argv[3]).open("w", buffering=1)  # noqa: SIM115 - it lives as long as the program

    def slowly() -> Iterator[Record]:
        print("started", flush=True)  # noqa: T201
        yield from RECORDS

    class _Seen(list[int]):
        def append(self, index: int) -> None:
            seen.write(f"{index}\n")

    run(Path(sys.argv[1]), slowly(), seconds=float(sys.argv[2]), computed=_Seen())
