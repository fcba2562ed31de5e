"""`scripts/bench report`: docs/performance.md from the newest result of each kind and the notes written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benches import report_http, results
from benches.machine import ROOT
from benches.markdown import largest_differences, mib, origin, table, weights
from benches.targets import Results, targets

PAGE = ROOT / "docs" / "performance.md"
NOTES = Path(__file__).parent / "notes.md"
_TITLES = {"cpu": "CPU", "memory": "Memory", "io": "Input and output", "http": "HTTP", "gpu": "GPU"}

_HEAD = """# Performance

This page is made by `scripts/bench report` from the result files in `benches/results/` and from `benches/notes.md`.
Numbers of different machines say little about each other; ratios within one run do. To measure your own machine:

    scripts/bench cpu        # against transformers, fair-esm and esm-cpp; half an hour
    scripts/bench memory     # peak memory
    scripts/bench io         # everything but the model
    scripts/bench http       # the server under load; a quarter of an hour, ten minutes of it for its memory
    scripts/bench gpu        # one NVIDIA GPU

`--quick` shows in minutes that it runs, `--profile` where the time goes.

## Targets"""

_METHOD = """## Method

Everybody runs in turn, A B C A B C, in one script, with the same threads, dtype, sequences and outputs. The first round
warms up and compares the answers, and nothing is timed unless they are equal. Shown are medians, and for ratios the
median of the ratios within a round. The sequences are real UniRef90 proteins with their real lengths
(`benches/data/`); larger models get fewer of them, with the same distribution of lengths. Work is counted by formula,
N (24 d² + 4 L d) FLOP per token of a sequence of L tokens, whatever a program really computes, so padding and unneeded
heads lower the share. The share is of the sgemm rate that torch reaches on this machine in the same run, for
(2048 x d) x (d x 4d)."""

_NO_GPU = """No GPU was at hand when these results were made, so nothing on this page is measured on one. On a machine
with an NVIDIA GPU one command measures all of it, without network once its environment is there: rates of 8m, 150m,
650m and 3b at 128, 512 and 1,024 tokens and on the real mix against transformers (sdpa, and flash-attn where it is
installed), the time of one short sequence with and without CUDA graphs, the roofs, and what 16 bit costs in accuracy:

    scripts/bench gpu && scripts/bench report"""


def write() -> Path:
    """Writes the page and returns its path."""
    found = {kind: results.newest(kind) for kind in _TITLES}
    PAGE.write_text(render(found, NOTES.read_text(encoding="utf-8")), encoding="utf-8")
    return PAGE


def render(found: Results, notes: str) -> str:
    """The page as markdown.

    Args:
        found: the newest result of each kind, None where there is none.
        notes: what was tried, with its own heading.
    """
    rows = [target.row() for target in targets(found)]
    parts = [_HEAD, table(("what", "measured", "floor", "goal", ""), rows)]
    sections = {"cpu": _cpu, "memory": _memory, "io": _io, "http": report_http.section, "gpu": _gpu}
    for kind, section in sections.items():
        result = found.get(kind)
        if result is not None:
            parts += section(result)
        elif kind == "gpu":
            parts += [f"## {_TITLES[kind]}", _NO_GPU]
        else:
            parts += [f"## {_TITLES[kind]}", f"Not measured yet: `scripts/bench {kind}`."]
    return "\n\n".join(part for part in (*parts, _METHOD, notes.strip()) if part) + "\n"


def _cpu(result: dict[str, Any]) -> Iterator[str]:
    yield f"## {_TITLES['cpu']}"
    yield (
        f"{origin(result)} {result['arguments']['threads']} threads, fp32. A benchmark has few sequences, so that a "
        "batch of 4,096 tokens holds very different lengths and is padded more than in a large file; "
        "`transformers_least_padding` is the baseline without that effect, what to expect against a large, sorted file."
    )
    for model, content in result["models"].items():
        about = content["sequences"]
        yield f"### {model}"
        yield (
            f"{about['count']} sequences, {about['residues']:,} residues; sgemm "
            f"{content['gemm_flop_per_s'] / 1e9:.0f} GFLOP/s; {weights(content)}."
        )
        yield table(
            ("program", "residues/s", "GFLOP/s", "share of sgemm", "against tuned", "against least padding", "padding"),
            [
                (
                    f"`{name}`" + (" (one run)" if len(run["seconds"]) == 1 else ""),
                    f"{run['residues_per_s']:,.0f}",
                    f"{run['flop_per_s'] / 1e9:.1f}",
                    f"{run['share_of_gemm']:.0%}",
                    f"{run['ratio']:.2f}x",
                    f"{run['ratio_least_padding']:.2f}x",
                    f"{run['padding']:.2f}",
                )
                for name, run in content["runs"].items()
            ],
        )
        yield "\n".join(f"- `{name}` is not in the table: {reason}" for name, reason in content["skipped"].items())
        yield largest_differences(content["checks"])
    programs = {name: run["what"] for content in result["models"].values() for name, run in content["runs"].items()}
    yield "\n".join(f"- `{name}`: {what}" for name, what in programs.items())


def _memory(result: dict[str, Any]) -> Iterator[str]:
    yield f"## {_TITLES['memory']}"
    yield f"{origin(result)} Every number is the peak resident memory (VmHWM) of a process of its own, in MiB."
    yield table(
        ("contacts, one sequence", "an embedding", "contacts", "difference"),
        [
            (
                f"{model}, L = {peaks['length']}",
                mib(peaks["embedding_bytes"]),
                mib(peaks["contacts_bytes"]),
                mib(peaks["extra_bytes"]),
            )
            for model, peaks in result["contacts"].items()
        ],
    )
    load = result["load"]
    yield table(
        ("loading", "file", "imports alone", "imports and model", "over file and imports"),
        [(load["model"], *(mib(load[f"{name}_bytes"]) for name in ("file", "imports", "load", "over")))],
    )
    yield table(
        ("`esmkit embed`, 30 to 60 residues each, one-layer model", "peak", "sequences/s"),
        [
            (f"{int(count):,} sequences", mib(run["peak_bytes"]), f"{int(count) / run['seconds']:,.0f}")
            for count, run in result["embed"]["runs"].items()
        ],
    )


def _io(result: dict[str, Any]) -> Iterator[str]:
    yield f"## {_TITLES['io']}"
    yield (
        f"{origin(result)} `esmkit embed` bound to one core, with a model of width {result['width']} that computes "
        "nothing: what a fast GPU would wait for. `bos` takes one token per sequence, so it shows the path without "
        "pooling, which a GPU does for itself."
    )
    yield table(
        ("file", "residues", "residues/s", "payload", "processor time / time"),
        [
            (
                f"{name} ({run['dtype']})",
                f"{run['residues']:,}",
                f"{run['residues_per_s'] / 1e6:.2f} M",
                f"{run['payload_bytes_per_s'] / 1e6:.0f} MB/s" if run["include"] == "per_residue" else "",
                f"{median(run['processor_s']) / median(run['seconds']):.0%}",
            )
            for name, run in result["runs"].items()
        ],
    )


def _gpu(result: dict[str, Any]) -> Iterator[str]:
    yield f"## {_TITLES['gpu']}"
    yield origin(result)
    for model, content in result["models"].items():
        yield f"### {model} on a GPU"
        roof = content["roofs"]["nominal" if "nominal" in content["roofs"] else "measured"]
        yield (
            f"{weights(content).capitalize()}. Roofs at L = 512: arithmetic {roof['arithmetic_tokens_per_s']:,.0f}, "
            f"memory {roof['memory_tokens_per_s']:,.0f} tokens/s."
        )
        yield table(
            ("dtype", "tokens per row", "program", "tokens/s", "share of the smaller roof", "against transformers"),
            [
                (
                    dtype,
                    workload,
                    f"`{name}`",
                    f"{run['tokens_per_s']:,.0f}",
                    f"{run['share_of_smaller_roof']:.0%}",
                    f"{run['ratio']:.2f}x",
                )
                for dtype, measured in content["dtypes"].items()
                for workload, work in measured["workloads"].items()
                for name, run in work["runs"].items()
            ],
        )
        yield _latency(content)
        yield _numerics(content)


def _latency(content: dict[str, Any]) -> str:
    rows = []
    for dtype, measured in content["dtypes"].items():
        latency = measured["latency"]
        graphs, eager = (median(latency["seconds"][name]) for name in ("graphs", "eager"))
        shown = (f"{graphs * 1e3:.2f} ms", f"{eager / graphs:.2f}x") if latency["graphs"] else ("none replayed", "")
        rows.append((dtype, str(latency["tokens"]), f"{eager * 1e3:.2f} ms", *shown))
    return table(("one sequence at a time, median", "tokens", "eager", "CUDA graph", "gain"), rows)


def _numerics(content: dict[str, Any]) -> str:
    numerics = content["numerics"]
    rows = [
        (
            dtype,
            f"{numerics[dtype]['max_abs']:.1e}",
            f"{numerics[dtype]['mean_abs']:.1e}",
            f"{numerics[dtype]['rank_correlation_mean']:.5f}",
            f"{numerics[dtype]['rank_correlation_lowest']:.5f}",
        )
        for dtype in content["dtypes"]
    ]
    head = (f"against fp32, {numerics['sequences']} proteins", "largest", "mean", "rank correlation", "lowest")
    return table(head, rows)
