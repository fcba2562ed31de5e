"""What `scripts/bench` calls: one kind of benchmark, its result file, or the page made from all of them."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from benches import machine, report, results, weights

KINDS = {
    "cpu": "esmkit, transformers, fair-esm and esm-cpp on this processor, fp32",
    "gpu": "esmkit and transformers on one NVIDIA GPU, 16 bit, with roofs and numerics",
    "memory": "peak memory of contacts, of loading, and of `embed` on ten thousand and a million sequences",
    "io": "reading, tokenizing, packing, pooling and writing on one core, the model replaced by a no-op",
    "http": "`esmkit serve` under 64 clients, its latency, its types of answers, its memory over minutes",
    "search": "indices of made-up vectors: recall and time of approximate search beside exact search",
    "ray_files": "`esmkit embed --ray` beside `esmkit embed`: time per residue, and a run that loses a worker",
    "experiments": "ideas for the CPU, kept or not: fusions, blocks, bf16, int8, equal sequences",
}


def main() -> None:
    """Runs what the command line asks for."""
    arguments = _parser().parse_args()
    if arguments.kind == "report":
        return results.say(f"wrote {report.write()}")
    facts = machine.facts(gpu=arguments.kind == "gpu" and arguments.device == "cuda")
    content = importlib.import_module(f"benches.{arguments.kind}").measure(arguments)
    results.write(arguments.kind, vars(arguments), facts, content)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, what in KINDS.items():
        _add_options(kinds.add_parser(kind, help=what, description=what), kind)
    page = "docs/performance.md from the newest results and benches/notes.md"
    kinds.add_parser("report", help=page, description=page)
    return parser


def _add_options(parser: argparse.ArgumentParser, kind: str) -> None:
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--quick", action="store_true", help="little work, to see that it runs; not for the record")
    parser.add_argument("--threads", type=int, default=cores, help=f"CPU threads of everybody; default: {cores}")
    parser.add_argument("--rounds", type=int, default=5, help="timings of each; default: 5")
    parser.add_argument(
        "--weights",
        type=Path,
        default=weights.default_folder(),
        help="folder of esm2-8m, esm2-150m, ...; random ones are made where it has none; default: %(default)s",
    )
    parser.add_argument("--profile", action="store_true", help="also show where the time goes")
    if kind in ("cpu", "gpu", "memory"):
        parser.add_argument("--models", type=lambda text: text.split(","), help="e.g. 8m,150m")
    if kind == "cpu":
        parser.add_argument("--sequences", type=int, help="how many of the benchmark proteins; default: by model")
    if kind == "http":
        parts = "rate,latency,answers,memory"
        parser.add_argument("--parts", type=lambda text: text.split(","), help=f"some of {parts}; default: all")
        parser.add_argument("--minutes", type=float, default=10.0, help="of load while memory is watched; default: 10")
    if kind == "ray_files":
        parser.add_argument("--proteins", type=Path, help="FASTA of real proteins for the lost worker; default: pieces")
        parser.add_argument("--workers", type=int, default=3, help="of the run that loses one; default: 3")
        parser.add_argument("--parts", type=lambda text: text.split(","), help="some of overhead,lost; default: all")
    if kind == "gpu":
        parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu only tries out the script")


main()
