"""ESM-2 (Lin et al. 2023, doi:10.1126/science.ade2574): the encoder of every size, on packed tokens.

Shape suffixes: T packed tokens, R rows, D width, H heads, K head_dim, V vocabulary, N layers, S tokens of a row.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from esmkit.layers import attention
from esmkit.layers.block import NORM_EPS, Block
from esmkit.layers.heads import ContactHead, ContactSum, LMHead
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary
from esmkit.types import Features, ModelShape, Needs

VOCABULARY = 33
MASK_ID = 32
TRAINED_MASK_RATIO = 0.15 * 0.8
"""Share of positions that were <mask> in training: 15 % were chosen, 80 % of those masked."""


class Esm2(nn.Module):
    """The model as modules; parameter names are esmkit's own and `models/weights` maps checkpoints to them."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(VOCABULARY, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, shape.num_heads) for _ in range(shape.num_layers))
        self.final_norm = nn.LayerNorm(shape.width, eps=NORM_EPS)
        self.lm_head = LMHead(shape.width, VOCABULARY)
        self.contact_head = ContactHead(shape.num_layers * shape.num_heads)

    def forward(
        self,
        tokens_T: torch.Tensor,
        bounds: tuple[int, ...],
        needs: Needs,
        *,
        logits_at: torch.Tensor | None = None,
        backend: str = "sdpa",
    ) -> Features:
        """Runs the layers that `needs` asks for and no others.

        Args:
            tokens_T: int64 [T] token ids, every row between cls and eos.
            bounds: R + 1 row boundaries within T.
            needs: what to compute.
            logits_at: tokens (index into T) whose logits are wanted; all of them when None.
            backend: attention back end for the layers whose maps nobody watches.

        Returns:
            Features on the device of the weights.
        """
        layout = Layout.of(bounds, tokens_T.device)
        watcher = _Watcher(needs, layout, self.shape, self.contact_head) if needs.maps else None
        representations: dict[int, torch.Tensor] = {}
        x_TD = self._embed(tokens_T, layout)
        rotary = Rotary.of(layout.positions(), self.shape.head_dim, x_TD.dtype)
        last = self._last_layer(needs)
        for number, block in enumerate(self.blocks[:last]):
            if number in needs.layers:
                representations[number] = x_TD.clone()
            attend = attention.BACKENDS[backend]
            if watcher is not None and watcher.wants(number):
                attend = partial(attention.eager, watcher=watcher)
            x_TD = block(x_TD, layout, rotary, attend)
        if last == self.shape.num_layers and (needs.logits or last in needs.layers):
            x_TD = self.final_norm(x_TD)
        if last in needs.layers:
            representations[last] = x_TD
        return Features(
            layout=layout,
            tokens_T=tokens_T,
            representations=representations,
            logits=self._logits(x_TD, logits_at) if needs.logits else None,
            contacts=watcher.contacts() if watcher and needs.contacts else None,
            attention_maps=watcher.maps if watcher else None,
            attention_means=watcher.means if watcher else None,
        )

    def _logits(self, x_TD: torch.Tensor, at: torch.Tensor | None) -> torch.Tensor:
        logits: torch.Tensor = self.lm_head(x_TD if at is None else x_TD[at], self.embedding.weight)
        return logits

    def _last_layer(self, needs: Needs) -> int:
        if needs.logits or needs.contacts or needs.attention_means:
            return self.shape.num_layers
        return max([*needs.layers, *(layer + 1 for layer, _ in needs.attention_maps)], default=0)

    def _embed(self, tokens_T: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Token embeddings with ESM-2's token dropout, which stays on at inference.

        <mask> embeds to zero, and each row is scaled by (1 - 0.12) / (1 - its own share of masked tokens).
        """
        is_mask_T = tokens_T == MASK_ID
        ends_T1 = torch.nn.functional.pad(is_mask_T.cumsum(0), (1, 0))
        masks_R = ends_T1[layout.cu_seqlens].diff()
        scale_R = (1.0 - TRAINED_MASK_RATIO) / (1.0 - masks_R / layout.cu_seqlens.diff())
        scale_T = layout.to_tokens(scale_R).masked_fill(is_mask_T, 0.0)
        x_TD: torch.Tensor = self.embedding(tokens_T)
        return x_TD * scale_T[:, None].to(x_TD.dtype)


class _Watcher:
    """Collects what was asked of the attention maps of one batch, layer by layer."""

    def __init__(self, needs: Needs, layout: Layout, shape: ModelShape, head: ContactHead) -> None:
        self.needs, self.shape = needs, shape
        device = layout.cu_seqlens.device
        self.layer = -1
        self.maps: list[dict[tuple[int, int], torch.Tensor]] = [{} for _ in layout.spans]
        self.means = [torch.zeros(shape.num_layers, length, device=device) for length in layout.lengths]
        self.sums: list[ContactSum] = []
        if needs.contacts:
            weights, bias = head.weight.float().flatten().tolist(), float(head.bias)
            self.sums = [ContactSum(weights, bias, length - 2, device) for length in layout.lengths]

    def wants(self, layer: int) -> bool:
        """Tells which layer comes next, and whether its maps must be shown."""
        self.layer = layer
        every_layer = self.needs.contacts or self.needs.attention_means
        return every_layer or any(layer == wanted for wanted, _ in self.needs.attention_maps)

    def see(self, row: int, first_head: int, probs_hSS: torch.Tensor) -> None:
        """One row, a few heads of the current layer."""
        if self.sums:
            self.sums[row].add(probs_hSS)
        if self.needs.attention_means:
            self.means[row][self.layer] += probs_hSS.mean(1).sum(0) / self.shape.num_heads
        for offset, probs_SS in enumerate(probs_hSS):
            key = (self.layer, first_head + offset)
            if key in self.needs.attention_maps:
                self.maps[row][key] = probs_SS.clone()

    def contacts(self) -> list[torch.Tensor]:
        """Contact probabilities per row."""
        return [row_sum.probabilities() for row_sum in self.sums]
