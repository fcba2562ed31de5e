"""The sizing table of docs/scaling.md: residues/s and cost of a million proteins per model and machine.

    python -m benches.sizing

CPU rates are those measured in `results/`. GPU rates are computed: 35 % of the smaller roof, arithmetic or memory,
which is the floor of the targets, and never more than one core reads, packs and writes. Prices are assumptions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benches.flops import flop_per_token, moved_bytes_per_token
from benches.markdown import table
from esmkit.models import registry

RESIDUES = 315  # of a protein in the mean of UniRef90
TOKENS = RESIDUES + 2
SHARE = 0.35
INPUT_RESIDUES_PER_S = 5.02e6  # measured, see the page on performance: input and output on one core
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A card: dense 16-bit FLOP/s and bytes/s of its data sheet, memory, and a price per hour that is assumed."""

    name: str
    flop_per_s: float
    bytes_per_s: float
    memory_gb: float
    usd_per_hour: float


GPUS = (
    Gpu("L4", 121e12, 0.30e12, 24, 0.80),
    Gpu("L40S", 362e12, 0.864e12, 48, 1.90),
    Gpu("A100 80 GB", 312e12, 2.04e12, 80, 3.70),
    Gpu("H100 SXM", 989e12, 3.35e12, 80, 6.90),
)
CPU_USD_PER_HOUR = 0.10
MODELS = ("esm2-8m", "esm2-150m", "esm2-650m", "esm2-3b", "esm2-15b")


def gpu_residues_per_s(num_layers: int, width: int, gpu: Gpu) -> float:
    """Computed rate of proteins of the mean length.

    Example:
        >>> round(gpu_residues_per_s(33, 1280, GPUS[0]), -2)  # 0.35 x 121e12 / 1.351e9 tokens/s, x 315 / 317
        31100.0
    """
    arithmetic = gpu.flop_per_s / flop_per_token(num_layers, width, TOKENS)
    memory = gpu.bytes_per_s / moved_bytes_per_token(num_layers, width)
    return min(SHARE * min(arithmetic, memory) * RESIDUES / TOKENS, INPUT_RESIDUES_PER_S)


def usd_per_million(residues_per_s: float, usd_per_hour: float) -> float:
    """Price of a million proteins of the mean length.

    Example:
        >>> round(usd_per_million(31_500, 0.80), 2)  # 315e6 / 31500 / 3600 = 2.78 h
        2.22
    """
    return 1e6 * RESIDUES / residues_per_s / 3600 * usd_per_hour


def measured_cpu() -> dict[str, float]:
    """Residues/s of `esmkit embed` by model, from the newest result."""
    newest = json.loads(max(RESULTS.glob("*-cpu-*.json")).read_text())
    return {f"esm2-{name}": model["runs"]["esmkit_cli"]["residues_per_s"] for name, model in newest["models"].items()}


def rows() -> list[list[str]]:
    """The table, line by line."""
    cpu = measured_cpu()
    found = []
    for slug in MODELS:
        known = registry.checkpoint(slug)
        assert known is not None
        shape = known.shape
        weights_gb = known.parameters * 2 / 1e9
        if slug in cpu:
            found.append(_row(slug, "2 CPU cores, fp32", "measured", cpu[slug], CPU_USD_PER_HOUR))
        for gpu in GPUS:
            if weights_gb < 0.8 * gpu.memory_gb:
                rate = gpu_residues_per_s(shape.num_layers, shape.width, gpu)
                found.append(_row(slug, f"{gpu.name}, 16 bit", "computed", rate, gpu.usd_per_hour))
    return found


def _row(slug: str, machine: str, origin: str, rate: float, usd_per_hour: float) -> list[str]:
    hours = 1e6 * RESIDUES / rate / 3600
    price = usd_per_million(rate, usd_per_hour)
    return [slug, machine, origin, f"{rate:,.0f}", f"{hours:,.2f}", f"{usd_per_hour:.2f}", f"{price:,.2f}"]


HEAD = ["model", "machine", "rate is", "residues/s", "hours per million", "$/hour, assumed", "$ per million"]

if __name__ == "__main__":
    print(table(HEAD, rows()))
