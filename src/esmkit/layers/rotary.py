"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864) as ESM-2 uses it: halves rotated, base 10,000.

Shape suffixes: T packed tokens, H heads, K head_dim, J = K / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

BASE = 10_000.0


@dataclass(frozen=True, slots=True)
class Rotary:
    """Cosines and sines of one batch, built once and used by every layer: [T, 1, J] in the dtype of the queries."""

    cos_T1J: torch.Tensor
    sin_T1J: torch.Tensor

    @classmethod
    def of(cls, positions_T: torch.Tensor, head_dim: int, dtype: torch.dtype) -> Rotary:
        """Tables for the 0-based positions of a batch; angles are computed in fp32 whatever the dtype."""
        exponents_J = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions_T.device) / head_dim
        angles_TJ = positions_T.to(torch.float32)[:, None] * (1.0 / BASE**exponents_J)
        return cls(angles_TJ.cos()[:, None].to(dtype), angles_TJ.sin()[:, None].to(dtype))

    def rotated_(self, qkv_T3HK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values as views, queries and keys rotated: in place, unless gradients are recorded."""
        q_THK, k_THK, v_THK = qkv_T3HK.unbind(1)
        if torch.is_grad_enabled():
            return self.rotated(q_THK), self.rotated(k_THK), v_THK
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
        a_THJ, b_THJ = x_THK.chunk(2, dim=-1)
        before_THJ = a_THJ.clone()
        a_THJ.mul_(self.cos_T1J).addcmul_(b_THJ, self.sin_T1J, value=-1.0)
        b_THJ.mul_(self.cos_T1J).addcmul_(before_THJ, self.sin_T1J)
