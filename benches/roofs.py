"""What the machine can do at most, measured: matrix products in the shapes of the model, and memory copies."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

ROWS = 2048
_KNOWN_GPUS = {  # dense 16-bit FLOP/s with fp32 sums, memory bytes/s; from NVIDIA's data sheets
    "H200": (989e12, 4.8e12),
    "H100 PCIe": (756e12, 2.0e12),
    "H100": (989e12, 3.35e12),
    "A100-SXM4-80GB": (312e12, 2.04e12),
}


def gemm_flop_per_s(
    width: int, *, dtype: torch.dtype = torch.float32, device: str = "cpu", rows: int = ROWS, seconds: float = 0.5
) -> float:
    """FLOP/s of (rows x width) x (width x 4 width), the product that the feed-forward layer is made of."""
    a = torch.randn(rows, width, device=device).to(dtype)
    b = torch.randn(width, 4 * width, device=device).to(dtype)
    return 2 * rows * width * 4 * width / _seconds_per_call(lambda: torch.mm(a, b), device, seconds)


def copy_bytes_per_s(*, device: str, megabytes: int = 256, seconds: float = 0.5) -> float:
    """Bytes read and written per second by a plain copy that fits into no cache."""
    source = torch.ones(megabytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds_per_call(lambda: target.copy_(source), device, seconds)


def nominal(gpu: str) -> tuple[float, float] | None:
    """FLOP/s and bytes/s that the maker states for a GPU, if we know it."""
    return next((rates for name, rates in _KNOWN_GPUS.items() if name in gpu), None)


def synchronize(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def _seconds_per_call(call: Callable[[], object], device: str, seconds: float) -> float:
    for _ in range(3):
        call()
    synchronize(device)
    between_checks = 1 if device == "cpu" else 20
    started, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        for _ in range(between_checks):
            call()
        synchronize(device)
        calls += between_checks
    return elapsed / calls
