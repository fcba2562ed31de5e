"""A compiled kernel for fp32 inference on a CPU: rotary embedding and attention in one pass over packed rows.

The library is built with the wheel where there is a C++ compiler; without it, or with `ESMKIT_NATIVE=0`, nothing here
can be used and the plain torch path does the work.

Shape suffixes: T packed tokens, H heads, K head_dim, J = K / 2.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch

from esmkit.errors import DeviceMemoryError, InvalidConfigError

LIBRARY = Path(__file__).with_name("attend.so")
LEVELS = ("generic", "avx2", "avx512")
"""Instruction sets the kernel is compiled for, slowest first; only the first exists where the processor is not x86."""

_SWITCH = "ESMKIT_NATIVE"
_ON, _OFF = {"", "1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def level() -> str | None:
    """The best instruction set of the installed kernel that this processor runs; None without a kernel."""
    library = _library()
    return None if library is None else LEVELS[library.esmkit_level()]


def available() -> bool:
    """Whether a kernel is installed and not switched off with `ESMKIT_NATIVE=0`.

    Raises:
        InvalidConfigError: ESMKIT_NATIVE is neither on nor off.
    """
    switch = os.environ.get(_SWITCH, "").strip().lower()
    if switch not in _ON | _OFF:
        raise InvalidConfigError(
            f"{_SWITCH}={switch!r} is neither on (1, true, yes) nor off (0, false, no)", setting=_SWITCH
        )
    return switch in _ON and _library() is not None


def fits(qkv_T3HK: torch.Tensor) -> bool:
    """Whether `attend_rotary` takes this tensor: fp32 on the CPU, contiguous, no gradients, K a multiple of 8."""
    return (
        qkv_T3HK.device.type == "cpu"
        and qkv_T3HK.dtype == torch.float32
        and qkv_T3HK.is_contiguous()
        and qkv_T3HK.shape[-1] % 8 == 0
        and not (torch.is_grad_enabled() and qkv_T3HK.requires_grad)
    )


def attend_rotary(
    qkv_T3HK: torch.Tensor,
    cos_TJ: torch.Tensor,
    sin_TJ: torch.Tensor,
    bounds: Sequence[int],
    *,
    level: str | None = None,
) -> torch.Tensor:
    """softmax(rotate(q) rotate(k)^T / sqrt(K)) v within each row, on as many threads as torch uses.

    A row's answer is the same bit for bit whatever its batch mates and the number of threads.

    Args:
        qkv_T3HK: float32 queries, keys and values as the projection wrote them; see `fits`.
        cos_TJ: float32 [T, K / 2], cosine of the rotary angle at each token.
        sin_TJ: likewise the sine.
        bounds: R + 1 integers, 0-based start of each row within T, then T.
        level: one of LEVELS, at most `level()`; the best one if not given.

    Returns:
        float32 [T, H, K].

    Raises:
        ValueError: an argument is not as described, or no kernel is installed.
        DeviceMemoryError: no memory for the packed keys and values of one row and head per thread.
    """
    library, number = _library(), _number_of(level)
    if library is None:
        raise ValueError(f"no compiled kernel: {LIBRARY} does not exist; ask available() first")
    _check(qkv_T3HK, cos_TJ, sin_TJ, bounds)
    num_tokens, _, num_heads, head_dim = qkv_T3HK.shape
    out_THK = qkv_T3HK.new_empty(num_tokens, num_heads, head_dim)
    failed = library.esmkit_attend(
        *(tensor.data_ptr() for tensor in (qkv_T3HK, cos_TJ, sin_TJ, out_THK)),
        (ctypes.c_ssize_t * len(bounds))(*bounds),
        len(bounds) - 1,
        num_heads,
        head_dim,
        torch.get_num_threads(),
        number,
        _openmp(),
    )
    if failed:
        raise DeviceMemoryError("not enough memory for attention; use shorter rows or fewer threads")
    return out_THK


def _check(qkv_T3HK: torch.Tensor, cos_TJ: torch.Tensor, sin_TJ: torch.Tensor, bounds: Sequence[int]) -> None:
    """The kernel reads raw memory: whatever could lead it astray stops here."""
    shape = tuple(qkv_T3HK.shape)
    if len(shape) != 4 or shape[1] != 3 or not fits(qkv_T3HK):
        raise ValueError(
            f"qkv must be contiguous float32 [T, 3, H, K] on the CPU, without gradients, K a multiple of 8; "
            f"found {qkv_T3HK.dtype} {shape} on {qkv_T3HK.device}"
        )
    for name, table in (("cos", cos_TJ), ("sin", sin_TJ)):
        expected = (shape[0], shape[3] // 2)
        is_plain = table.device.type == "cpu" and table.dtype == torch.float32 and table.is_contiguous()
        if tuple(table.shape) != expected or not is_plain:
            raise ValueError(
                f"{name} must be contiguous float32 {expected} on the CPU; "
                f"found {table.dtype} {tuple(table.shape)} on {table.device}"
            )
    if not bounds or bounds[0] != 0 or bounds[-1] != shape[0] or any(stop < start for start, stop in pairwise(bounds)):
        raise ValueError(f"bounds must rise from 0 to T = {shape[0]}; found {tuple(bounds)}")


def _number_of(wanted: str | None) -> int:
    best = level()
    runnable = LEVELS[: LEVELS.index(best) + 1] if best else ()
    if wanted is not None and wanted not in runnable:
        raise ValueError(f"level {wanted!r} does not run here; choose from {', '.join(runnable) or 'none'}")
    return LEVELS.index(wanted) if wanted else len(runnable) - 1


@cache
def _library() -> ctypes.CDLL | None:
    """The shared library; a file that is there but does not load is an error, not a slow run."""
    if not LIBRARY.exists():
        return None
    library = ctypes.CDLL(str(LIBRARY))
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    library.esmkit_attend.argtypes = [*[pointer] * 5, *[size] * 4, ctypes.c_int, pointer]
    return library


@cache
def _openmp() -> ctypes.c_void_p | None:
    """GOMP_parallel of the OpenMP runtime that torch loaded; None where there is none (the kernel starts threads)."""
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p)
    except AttributeError:
        return None
