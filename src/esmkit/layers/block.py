"""One pre-norm transformer layer of ESM-2 on packed tokens.

Shape suffixes: T packed tokens, D width, H heads, K head_dim, F = 4 D.
"""

from __future__ import annotations

import torch
from torch import nn

from esmkit.layers.attention import Attend
from esmkit.layers.layout import Layout
from esmkit.layers.linear import add_linear_, linear_gelu
from esmkit.layers.rotary import Rotary

NORM_EPS = 1e-5


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); queries, keys and values are one projection."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x_TD: torch.Tensor, layout: Layout, rotary: Rotary, attend: Attend) -> torch.Tensor:
        """The layer's output, written over `x_TD`, which the caller gives away."""
        x_TD = self._attention(x_TD, layout, rotary, attend)
        return add_linear_(x_TD, linear_gelu(self.ffn_norm(x_TD), self.up), self.down)

    def _attention(self, x_TD: torch.Tensor, layout: Layout, rotary: Rotary, attend: Attend) -> torch.Tensor:
        """A function of its own, so that queries, keys and values are gone before the feed-forward needs memory."""
        num_tokens, width = x_TD.shape
        qkv_T3HK = self.qkv(self.attention_norm(x_TD)).view(num_tokens, 3, self.num_heads, -1)
        return add_linear_(x_TD, attend(qkv_T3HK, rotary, layout).view(num_tokens, width), self.out)
