"""The command line as a peer: one process for each timing, FASTA in, Parquet out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benches.proteins import write_fasta
from benches.timing import Array, Peer, Seconds
from esmkit.types import Record


def esmkit_command(weights: Path, records: Sequence[Record], *, scratch: Path, threads: int) -> Peer:
    """`esmkit embed` with its reading and writing.

    It is timed in two ways: `esmkit_cli` from the first byte read to the last byte written, as its summary says, and
    `esmkit_cli_process` from the start of the process to its end, imports and loading included.

    Args:
        weights: folder of the model.
        records: what to embed.
        scratch: folder for its files.
        threads: what the other peers have.
    """
    fasta = write_fasta(records, scratch / "input.fasta")
    out = scratch / "embeddings.parquet"
    options = ["--model", weights, "--device", "cpu", "--threads", threads, "--overwrite", "--quiet", "--json"]
    arguments = [sys.executable, "-m", "esmkit", "embed", fasta, "--out", out, *options]
    environment = {**os.environ, "ESMKIT_HOME": str(weights.parent), "ESMKIT_OFFLINE": "1"}

    def run() -> tuple[Array, Seconds]:
        started = time.perf_counter()
        done = subprocess.run(list(map(str, arguments)), env=environment, capture_output=True, text=True)
        process_s = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"bench: {' '.join(map(str, arguments))} failed:\n{done.stderr}")
        seconds = {"esmkit_cli": json.loads(done.stdout)["seconds"], "esmkit_cli_process": process_s}
        column = pq.read_table(out).columns[-1]
        return np.array(column.to_pylist(), dtype=np.float32), seconds

    return Peer("esmkit_cli", "esmkit embed: FASTA in, Parquet out", run)


def help_seconds(rounds: int) -> list[float]:
    """How long `esmkit --help` takes, start of the process included."""
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "esmkit", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]  # the first one read the files from disk
