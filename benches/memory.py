"""`scripts/bench memory`: peak memory, every number from a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any

from benches import child, weights
from benches.proteins import cuts, proteins, short, write_fasta
from benches.results import say

LENGTH = 1024
CONTACT_MODELS = ("8m", "150m", "650m")
LOAD_MODEL = "650m"
COUNTS = (10_000, 1_000_000)
QUICK_COUNTS = (1_000, 10_000)
EMBED_RUNS = 3
MIB = 2**20


def measure(arguments: Namespace) -> dict[str, Any]:
    """All of it; what is written to the result file."""
    models = arguments.models or (CONTACT_MODELS[:1] if arguments.quick else CONTACT_MODELS)
    return {
        "contacts": {model: _contacts(model, arguments) for model in models},
        "load": _load(models[-1] if arguments.quick or arguments.models else LOAD_MODEL, arguments),
        "embed": _embed(QUICK_COUNTS if arguments.quick else COUNTS, arguments),
    }


def _contacts(model: str, arguments: Namespace) -> dict[str, Any]:
    folder = str(weights.folder_of(model, arguments.weights))
    common = {"weights": folder, "length": LENGTH, "threads": arguments.threads}
    peaks = {output: _peak("answer_one", arguments.rounds, output=output, **common) for output in ("mean", "contacts")}
    extra = peaks["contacts"] - peaks["mean"]
    say(f"contacts {model}, L = {LENGTH}: {extra / MIB:+.1f} MiB over an embedding ({peaks['mean'] / MIB:.0f} MiB)")
    return {
        "length": LENGTH,
        "embedding_bytes": peaks["mean"],
        "contacts_bytes": peaks["contacts"],
        "extra_bytes": extra,
    }


def _load(model: str, arguments: Namespace) -> dict[str, Any]:
    folder = weights.folder_of(model, arguments.weights)
    file_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    imports = _peak("only_import", arguments.rounds)
    loaded = _peak("only_load", arguments.rounds, weights=str(folder))
    over = loaded - imports - file_bytes
    shown = {"peak": loaded, "file": file_bytes, "imports": imports, "over both": over}
    say(f"load {model}, MiB: " + ", ".join(f"{name} {value / MIB:.0f}" for name, value in shown.items()))
    return {
        "model": model,
        "file_bytes": file_bytes,
        "imports_bytes": imports,
        "load_bytes": loaded,
        "over_bytes": over,
    }


def _embed(counts: tuple[int, int], arguments: Namespace) -> dict[str, Any]:
    folder = weights.folder_of(weights.TINY, arguments.weights)
    runs: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
    options = ["--model", str(folder), "--device", "cpu", "--threads", str(arguments.threads), "--quiet", "--json"]
    with tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch:
        files = {count: write_fasta(short(proteins(), count), Path(scratch, f"{count}.fasta")) for count in counts}
        out = Path(scratch, "mean.parquet")
        for turn in range(1 + EMBED_RUNS):
            for count, fasta in files.items():
                if turn == 0 and count != counts[0]:
                    continue  # one run brings libraries into the page cache: that decides how much of them is mapped
                out.unlink(missing_ok=True)
                arguments_of_run = ["embed", str(fasta), "--out", str(out), "--overwrite", *options]
                run = child.run(__name__, "command", arguments=arguments_of_run)
                peak_mib, seconds = run["peak_bytes"] / MIB, run["seconds"]
                say(f"embed {count:,} sequences: {peak_mib:.1f} MiB, {count / seconds:,.0f} sequences/s")
                runs[count] += [run] if turn else []
    middle = {count: sorted(each, key=lambda run: run["peak_bytes"])[len(each) // 2] for count, each in runs.items()}
    few, many = (middle[count]["peak_bytes"] for count in counts)
    say(f"embed: {many / few:.3f} times the memory for {counts[1] // counts[0]} times the sequences")
    peaks = {count: [run["peak_bytes"] for run in each] for count, each in runs.items()}
    return {"counts": list(counts), "model": weights.TINY, "runs": middle, "peaks_bytes": peaks, "ratio": many / few}


def _peak(function: str, rounds: int, **arguments: Any) -> int:
    return int(median(child.run(__name__, function, **arguments)["peak_bytes"] for _ in range(rounds)))


# What the processes run.


def only_import() -> dict[str, Any]:
    """What every use of the library pays: torch and esmkit."""
    from esmkit import load  # noqa: F401

    return {}


def only_load(weights: str) -> dict[str, Any]:
    """A model in fp32 on the CPU."""
    import esmkit

    return {"width": esmkit.load(weights, device="cpu").width}


def answer_one(weights: str, output: str, length: int, threads: int) -> dict[str, Any]:
    """One output for one sequence."""
    import esmkit
    from esmkit.outputs import OutputOptions, build

    model = esmkit.load(weights, device="cpu", threads=threads)
    records = cuts(proteins(), [length])
    results = list(model.engine.run(records, build([output], model.shape, OutputOptions())))
    return {"results": len(results)}


def command(arguments: list[str]) -> dict[str, Any]:
    """The command line, in this process."""
    from esmkit.cli import main

    sys.argv = ["esmkit", *arguments]
    os.environ["ESMKIT_OFFLINE"] = "1"
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main()
    summary: dict[str, Any] = json.loads(printed.getvalue())
    return summary
