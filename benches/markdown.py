"""Pieces of the performance page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benches.targets import MIB


def origin(result: dict[str, Any]) -> str:
    """When, where and with what a result was measured."""
    machine = result["machine"]
    gpu = f"{machine['gpu']['name']}, " if "gpu" in machine else ""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return (
        f"{result['date'][:10]}, {gpu}{machine['processor']}, {machine['cores']} cores; commit "
        f"`{result['commit'][:12]}`; {versions}."
    )


def weights(content: dict[str, Any]) -> str:
    """Which weights a model had."""
    return "random weights" if content["weights"] == "random" else "public weights"


def mib(num_bytes: float) -> str:
    """Bytes as MiB."""
    return f"{num_bytes / MIB:,.1f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells, the first column to the left, the others to the right."""
    align = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, align, *rows))


def largest_differences(checks: Sequence[dict[str, Any]]) -> str:
    """How near the answers of the peers were."""
    shown = ", ".join(f"{check['peer']} {check['max_abs']:.0e} ({check['against']})" for check in checks)
    return f"Largest difference of an answer: {shown}."
