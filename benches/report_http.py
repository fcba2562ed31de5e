"""What `scripts/bench http` measured, for the performance page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benches.markdown import largest_differences, mib, origin, table, weights
from benches.targets import MIB


def section(result: dict[str, Any]) -> Iterator[str]:
    """The section about `scripts/bench http`, as far as its parts were measured."""
    yield "## HTTP"
    yield (
        f"{origin(result)} `esmkit serve` with default settings and {result['arguments']['threads']} threads for the "
        "model; clients, server and runner share the cores."
    )
    for part, show in {"rate": _rate, "latency": _latency, "answers": _answers, "memory": _memory}.items():
        if part in result["parts"]:
            yield from show(result["parts"][part])


def _rate(content: dict[str, Any]) -> Iterator[str]:
    taken, wait, cached = content["processor_s"], content["latency_s"], content["cached"]
    count = content["sequences"]["count"]
    yield f"### {content['clients']} clients"
    yield (
        f"{count} sequences, {content['sequences']['residues']:,} residues, {weights(content)}: every client sends "
        "one sequence, waits for its mean embedding as JSON, and sends the next; the engine gets all of them at once."
    )
    yield table(
        ("", "measured"),
        [
            ("residues/s of the engine", f"{content['engine_residues_per_s']:,.0f}"),
            ("residues/s over HTTP", f"{content['residues_per_s']:,.0f}"),
            ("share of the engine's rate", f"{content['share']:.1%}"),
            ("the same, had the clients run elsewhere", f"{content['share_with_clients_elsewhere']:.1%}"),
            *((f"processor time of the {role} per request", f"{s / count * 1e3:.2f} ms") for role, s in taken.items()),
            *((f"latency, {name}", f"{seconds:.2f} s") for name, seconds in wait.items()),
            ("requests/s of the server when its result cache has every answer", f"{cached['requests_per_s']:,.0f}"),
        ],
    )
    yield (
        "Latencies are those of a full queue: a request waits until those before it are computed. With answers from "
        "the cache the clients are as near to the limit as the server, as one process each."
    )
    yield largest_differences(content["checks"])


def _latency(content: dict[str, Any]) -> Iterator[str]:
    whats = {
        "runner": "the batch on the engine's runner, call after call: what HTTP is compared with",
        "engine": "`Engine.run` on one record, which starts threads for its stream",
        "http": "request to answer on one connection",
    }
    yield "### One short sequence"
    yield f"{content['residues']} residues, {content['calls']} calls of each, in turns of {content['turn']}."
    yield table(
        ("", "p50", "p95"),
        [(what, *(f"{content[p][name] * 1e3:.2f} ms" for p in ("p50_s", "p95_s"))) for name, what in whats.items()],
    )


def _answers(content: dict[str, Any]) -> Iterator[str]:
    yield "### Types of answers"
    yield (
        "Per-residue representations from the result cache, so that the model's time is not in it: until the last byte "
        "is here, and until the numbers are numpy arrays (JSON read by orjson). The last column is the whole time when "
        "the model has to compute; width 1280 has two layers only."
    )
    yield table(
        ("width", "answer", "MB", "received", "read", "against JSON", "computed and read"),
        [
            (
                f"{each['width']}, {each['items']} sequences of {each['residues']:,} residues",
                kind,
                f"{found['bytes'] / 1e6:.1f}",
                f"{found['received_s'] * 1e3:.1f} ms",
                f"{found['read_s'] * 1e3:.1f} ms",
                f"{found['ratio']:.1f}x",
                f"{found['computed_s'] * 1e3:.0f} ms",
            )
            for each in content.values()
            for kind, found in each["kinds"].items()
        ],
    )


def _memory(content: dict[str, Any]) -> Iterator[str]:
    yield "### Memory under load"
    yield (
        f"{content['clients']} clients for {content['minutes']:g} minutes, {content['requests']:,} requests, every "
        f"{content['per_residue_every']}th for representations of all residues as JSON. Resident memory in MiB, "
        "sampled every second after the first tenth of the time: means of the first and the last fifth of that, and "
        "the line through all samples."
    )
    yield table(
        ("process", "first fifth", "last fifth", "peak", "slope per minute"),
        [
            (
                role,
                mib(trend["first_bytes"]),
                mib(trend["last_bytes"]),
                mib(trend["peak_bytes"]),
                f"{trend['slope_bytes_per_min'] / MIB:+.3f}",
            )
            for role, trend in content["roles"].items()
        ],
    )
