"""`scripts/bench io`: the command line on one core with the model replaced by a no-op.

What is left is what a fast GPU would wait for: read, tokenize, pack, pool, write. The no-op hands out slices of one
array of random numbers, so that pooling and compression meet real work; nothing else is replaced.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from benches import child, weights
from benches.profiling import as_markdown
from benches.proteins import PATH, many, proteins, write_fasta
from benches.results import say

WIDTH_OF = "8m"
RESIDUES = {"mean": 5_000_000, "bos": 5_000_000, "per_residue": 300_000}
QUICK_SHARE = 0.1
BATCH_TOKENS = 16_384
"""A step of a GPU, the machine that would outrun the input."""


def measure(arguments: Namespace) -> dict[str, Any]:
    """Every kind of file; what is written to the result file."""
    runs = {}
    for include, out, dtype in (
        ("mean", "mean.parquet", "float32"),
        ("bos", "bos.parquet", "float32"),  # the same without pooling, which a GPU does for itself
        ("per_residue", "per-residue.parquet", "float16"),
        ("per_residue", "per-residue.h5", "float16"),
    ):
        runs[out] = _measure(include, out, dtype, arguments)
    return {"width": weights.shape_of(WIDTH_OF).width, "cores": 1, "batch_tokens": BATCH_TOKENS, "runs": runs}


def _measure(include: str, out: str, dtype: str, arguments: Namespace) -> dict[str, Any]:
    residues = int(RESIDUES[include] * (QUICK_SHARE if arguments.quick else 1))
    with tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch:
        fasta = write_fasta(many(proteins(), residues), Path(scratch, "input.fasta"))
        common = {"source": str(fasta), "out": str(Path(scratch, out)), "include": include, "dtype": dtype}
        runs = [child.run(__name__, "embed_without_model", cores=1, **common) for _ in range(arguments.rounds)]
        content: dict[str, Any] = {"include": include, "dtype": dtype, "residues": runs[0]["residues"]}
        if arguments.profile:
            content["profile"] = child.run(__name__, "embed_without_model", cores=1, profiled=True, **common)["profile"]
            print(f"\n{out}\n\n{as_markdown(content['profile'])}")
    content["seconds"] = [run["seconds"] for run in runs]
    content["processor_s"] = [round(run["processor_s"], 3) for run in runs]
    content["peak_bytes"] = max(run["peak_bytes"] for run in runs)
    content["residues_per_s"] = content["residues"] / median(content["seconds"])
    values = content["residues"] * weights.shape_of(WIDTH_OF).width
    content["payload_bytes_per_s"] = values * {"float16": 2, "float32": 4}[dtype] / median(content["seconds"])
    rate = f"{content['residues_per_s'] / 1e6:.2f} M residues/s"
    say(f"{out}: {rate}" + (f", {content['payload_bytes_per_s'] / 1e6:.0f} MB/s" if include == "per_residue" else ""))
    return content


# What the process runs.


def embed_without_model(source: str, out: str, include: str, dtype: str, profiled: bool = False) -> dict[str, Any]:
    """`esmkit embed` with a model that computes nothing; seconds from the first byte read to the last one written."""
    import torch

    from benches.memory import command
    from benches.noop import noop_model
    from benches.profiling import profile_python
    from esmkit.engine.budget import shard_residues

    torch.set_num_threads(1)
    model = noop_model(weights.shape_of(WIDTH_OF), BATCH_TOKENS)
    per_shard = shard_residues(model.shape, torch.device("cuda"))
    options = ["--out", out, "--include", include, "--out-dtype", dtype, "--shard-residues", str(per_shard)]
    options += ["--overwrite", "--quiet", "--json"]
    with patch("esmkit.cli.run.load", lambda *_, **__: model):
        command(["embed", str(PATH), *options])  # warms up: imports, allocators, code paths
        if profiled:
            with patch("esmkit.engine.engine.prefetch", _in_this_thread):
                summary, profile = profile_python(lambda: command(["embed", source, *options]))
            return {**summary, "profile": profile}
        started = time.process_time()
        summary = command(["embed", source, *options])
        return {**summary, "processor_s": time.process_time() - started}


def _in_this_thread(items: Iterable[Any], *, depth: int) -> Iterator[Any]:
    """In the place of prefetch: a profiler sees one thread."""
    yield from items
