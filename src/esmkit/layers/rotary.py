"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864) as ESM-2 uses it: halves rotated, base 10,000.

Shape suffixes: T packed tokens, H heads, K head_dim, J = K / 2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

BASE = 10_000.0
Rotate = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]


@dataclass(frozen=True, slots=True)
class Rotary:
    """Cosines and sines of one batch, built once and used by every layer: fp32 [T, 1, J] whatever the queries are."""

    cos_T1J: torch.Tensor
    sin_T1J: torch.Tensor

    @classmethod
    def of(cls, positions_T: torch.Tensor, head_dim: int) -> Rotary:
        """Tables for the 0-based positions of a batch."""
        exponents_J = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions_T.device) / head_dim
        angles_TJ = positions_T.to(torch.float32)[:, None] * (1.0 / BASE**exponents_J)
        return cls(angles_TJ.cos()[:, None], angles_TJ.sin()[:, None])

    def rotated_(self, qkv_T3HK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values as views, queries and keys rotated: in place, unless gradients are recorded."""
        q_THK, k_THK, v_THK = qkv_T3HK.unbind(1)
        if torch.is_grad_enabled():
            return self.rotated(q_THK), self.rotated(k_THK), v_THK
        fused = fused_kernel(qkv_T3HK.device) if qkv_T3HK.is_cuda and qkv_T3HK.is_contiguous() else None
        if fused is not None:
            fused(qkv_T3HK, self.cos_T1J, self.sin_T1J)
        else:
            self.rotate_(q_THK)
            self.rotate_(k_THK)
        return q_THK, k_THK, v_THK

    def rotated(self, x_THK: torch.Tensor) -> torch.Tensor:
        """What `rotate_` makes of queries or keys, as a new array that gradients flow through."""
        a_THJ, b_THJ = x_THK.chunk(2, dim=-1)
        halves = (a_THJ * self.cos_T1J - b_THJ * self.sin_T1J, b_THJ * self.cos_T1J + a_THJ * self.sin_T1J)
        return torch.cat(halves, dim=-1).to(x_THK.dtype)

    def rotate_(self, x_THK: torch.Tensor) -> None:
        """Rotates queries or keys in place: (a, b) -> (a cos - b sin, b cos + a sin) over the two halves."""
        cos_T1J, sin_T1J = self.cos_T1J.to(x_THK.dtype), self.sin_T1J.to(x_THK.dtype)
        a_THJ, b_THJ = x_THK.chunk(2, dim=-1)
        before_THJ = a_THJ.clone()
        a_THJ.mul_(cos_T1J).addcmul_(b_THJ, sin_T1J, value=-1.0)
        b_THJ.mul_(cos_T1J).addcmul_(before_THJ, sin_T1J)


@cache
def fused_kernel(device: torch.device) -> Rotate | None:
    """The Triton kernel where it can be compiled for this CUDA device and rotates as plain torch does, else None.

    Triton comes with CUDA builds of torch, but needs a C compiler on the machine, and knows not every GPU.
    """
    try:
        from esmkit.layers.triton_rotary import rotate_
    except ImportError:
        return None
    try:
        qkv_T3HK = torch.linspace(-1.0, 1.0, 5 * 3 * 2 * 24, device=device).view(5, 3, 2, 24)
        tables = Rotary.of(torch.arange(5, device=device), head_dim=24)
        expected = qkv_T3HK.clone()
        for x_THK in expected.unbind(1)[:2]:
            tables.rotate_(x_THK)
        rotate_(qkv_T3HK, tables.cos_T1J, tables.sin_T1J)
        right = torch.allclose(qkv_T3HK, expected, atol=1e-6)
        reason = "its answer is not that of torch"
    except Exception as error:  # whatever the compiler, the driver or Triton may raise
        right, reason = False, str(error)
    if not right:
        logging.getLogger(__name__).warning("rotary embedding runs unfused on %s: Triton: %s", device, reason)
    return rotate_ if right else None
