"""`scripts/bench experiments`: ideas for the CPU that were measured, kept or not; the numbers behind notes.md."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from itertools import islice
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

import esmkit
from benches import weights
from benches.proteins import proteins
from benches.results import say
from esmkit.layers import linear

SHAPES = {"8m": (320, 4096), "150m": (640, 2048), "650m": (1280, 1024)}
"""Width, and the tokens of a CPU batch at that width."""
BLOCK_TOKENS = 512


def measure(arguments: Namespace) -> dict[str, Any]:
    """Every experiment; what is written to the result file."""
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        feed_forward = {model: _feed_forward(*shape, arguments.rounds) for model, shape in SHAPES.items()}
        attention = {model: _back_ends(model, arguments) for model in ("8m", "150m")}
        dtypes = _dtypes(arguments)
    return {"feed_forward_ms": feed_forward, "attention": attention, "bfloat16": dtypes, "dedupe": _dedupe(arguments)}


def _alternate(variants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, taken in turn after a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()
    for _ in range(rounds):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant()
            seconds[name].append(time.perf_counter() - started)
    return {name: round(1e3 * median(values), 2) for name, values in seconds.items()}


def _feed_forward(width: int, num_tokens: int, rounds: int) -> dict[str, float]:
    """One feed-forward layer: as it is, and the variants."""
    up, down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
    x, residual = torch.randn(num_tokens, width), torch.randn(num_tokens, width)
    fused: Any = torch.ops.mkldnn._linear_pointwise
    packed = torch.ops.mkldnn._reorder_linear_weight(up.weight.detach(), num_tokens)
    int8_up, int8_down = _Int8(up), _Int8(down)

    def blocked() -> None:
        for start in range(0, num_tokens, BLOCK_TOKENS):
            rows = slice(start, start + BLOCK_TOKENS)
            linear.add_linear_(residual[rows], linear.linear_gelu(x[rows], up), down)

    times = _alternate(
        {
            "as it is": lambda: linear.add_linear_(residual, linear.linear_gelu(x, up), down),
            "plain torch": lambda: residual + down(F.gelu(up(x))),
            "GELU by oneDNN, not in place": lambda: linear.add_linear_(residual, F.gelu(up(x)), down),
            "GELU by oneDNN inside the product": lambda: linear.add_linear_(
                residual, fused(x, up.weight, up.bias, "gelu", [], "none"), down
            ),
            "residual by oneDNN": lambda: fused.binary(
                linear.linear_gelu(x, up), residual, down.weight, down.bias, "add"
            ),
            "weights prepacked": lambda: linear.add_linear_(
                residual, fused(x, packed, up.bias, "gelu", [], "none"), down
            ),
            f"rows in blocks of {BLOCK_TOKENS}": blocked,
            "int8, scales per token": lambda: residual + int8_down(F.gelu(int8_up(x))),
        },
        rounds,
    )
    exact, rounded = down(F.gelu(up(x))), int8_down(F.gelu(int8_up(x)))
    times["int8 error / spread"] = round(float((rounded - exact).abs().max() / exact.std()), 4)
    say(f"feed-forward, width {width}, {num_tokens} tokens, ms: {times}")
    return times


class _Int8:
    """A linear layer in int8: one scale per token and one per output, products in int32."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        self.bias = layer.bias.detach()
        self.scale = layer.weight.detach().abs().amax(1) / 127
        self.weight = (layer.weight.detach() / self.scale[:, None]).round().to(torch.int8).T

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        scale = x.abs().amax(1, keepdim=True) / 127
        product = torch._int_mm((x / scale).round().to(torch.int8), self.weight)
        return product * scale * self.scale + self.bias


def _back_ends(model: str, arguments: Namespace) -> dict[str, float]:
    """The whole model with torch's attention and with the compiled kernel."""
    folder = weights.folder_of(model, arguments.weights)
    sequences = [record.sequence for record in islice(proteins(), 12 if model == "8m" else 3)]
    models = {name: esmkit.load(folder, device="cpu", attention=name) for name in ("sdpa", "native")}
    times = _alternate(
        {name: lambda loaded=loaded: loaded.embed(sequences) for name, loaded in models.items()}, arguments.rounds
    )
    say(f"{model}, attention back ends, ms: {times}")
    return times


def _dtypes(arguments: Namespace) -> dict[str, Any]:
    """8m in fp32 and bf16 on this processor: time, and what bf16 does to the embeddings."""
    folder = weights.folder_of("8m", arguments.weights)
    sequences = [record.sequence for record in islice(proteins(), 12)]
    models = {name: esmkit.load(folder, device="cpu", dtype=name) for name in ("float32", "bfloat16")}
    times = _alternate(
        {name: lambda loaded=loaded: loaded.embed(sequences) for name, loaded in models.items()}, arguments.rounds
    )
    exact, rounded = (models[name].embed(sequences) for name in ("float32", "bfloat16"))
    error = float(np.abs(rounded - exact).max() / exact.std())
    say(f"8m, ms: {times}, bf16 error / spread {error:.4f}")
    return {"ms": times, "error_over_spread": round(error, 5)}


def _dedupe(arguments: Namespace) -> dict[str, float]:
    """24 sequences that are all different, and 12 that come twice, in one call."""
    model = esmkit.load(weights.folder_of("8m", arguments.weights), device="cpu")
    different = [record.sequence for record in islice(proteins(), 24)]
    by_length = sorted(different, key=len)
    twice = [sequence for sequence in by_length[::2] for _ in range(2)]
    times = _alternate(
        {"all different": lambda: model.embed(different), "each twice": lambda: model.embed(twice)}, arguments.rounds
    )
    say(f"8m, equal sequences, ms: {times}")
    return times
