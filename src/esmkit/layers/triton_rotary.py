"""Rotary embedding of queries and keys as one Triton kernel: each number is read and written once, in place.

Imported only where Triton is; `layers/rotary` decides, and does the same in plain torch elsewhere.

Shape suffixes: T packed tokens, H heads, K head_dim, J = K / 2.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

PAIRS = 1024
"""Pairs of numbers that one program rotates; heads of 16 to 128 numbers fill it with 128 to 16 heads."""


def rotate_(qkv_T3HK: torch.Tensor, cos_T1J: torch.Tensor, sin_T1J: torch.Tensor) -> None:
    """Rotates queries and keys in place, computing in fp32.

    Args:
        qkv_T3HK: contiguous, fp16, bf16 or fp32; values are left alone.
        cos_T1J: contiguous fp32 tables, one line per token.
        sin_T1J: likewise.
    """
    num_tokens, _, num_heads, head_dim = qkv_T3HK.shape
    block = triton.next_power_of_2(head_dim // 2)
    heads_at_once = max(1, PAIRS // block)
    num_heads_qk = 2 * num_heads  # in memory, the keys of a token follow its queries
    programs = triton.cdiv(num_tokens * num_heads_qk, heads_at_once)
    # Triton launches on the current device, wherever the tensor is.
    with torch.cuda.device_of(qkv_T3HK):  # type: ignore[no-untyped-call]
        _kernel[(programs,)](
            qkv_T3HK, cos_T1J, sin_T1J, num_tokens * num_heads_qk, num_heads_qk, head_dim // 2, heads_at_once, block
        )


def _rotate(qkv, cos, sin, num_lines, H2: tl.constexpr, J: tl.constexpr, LINES: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """A line is one head of one token: (a, b) -> (a cos - b sin, b cos + a sin) over its two halves."""
    line = tl.program_id(0) * LINES + tl.arange(0, LINES)
    token, head = line // H2, line % H2
    column = tl.arange(0, BLOCK)[None, :]
    inside = (line < num_lines)[:, None] & (column < J)
    table = token[:, None] * J + column
    c = tl.load(cos + table, mask=inside)
    s = tl.load(sin + table, mask=inside)
    start = token.to(tl.int64) * (3 * H2 * J) + head * (2 * J)  # 3 H K numbers per token; int64 for very long batches
    first = qkv + start[:, None] + column
    a = tl.load(first, mask=inside).to(tl.float32)
    b = tl.load(first + J, mask=inside).to(tl.float32)
    tl.store(first, a * c - b * s, mask=inside)
    tl.store(first + J, b * c + a * s, mask=inside)


# A new number of tokens must not compile a new kernel, least of all while a CUDA graph is being recorded.
_kernel: Any = triton.jit(_rotate, do_not_specialize=["num_lines"])
