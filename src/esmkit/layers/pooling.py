"""Pooling over the residues of each row (cls and eos left out), accumulated in fp32.

Shape suffixes: T packed tokens, R rows, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from esmkit.layers.layout import Layout, upload


def residue_weights(layout: Layout, window_weights: dict[int, torch.Tensor]) -> torch.Tensor:
    """1 at residues, 0 at cls and eos, the given weights in the rows that have some; fp32 [T]."""
    weights_T = torch.ones(layout.num_tokens, dtype=torch.float32, device=layout.cu_seqlens.device)
    bounds = layout.cu_seqlens.long()
    for ends_R in (bounds[:-1], bounds[1:] - 1):
        weights_T.index_fill_(0, ends_R, 0.0)  # weights_T[ends_R] = 0.0 would bring the 0.0 to a GPU, and wait for it
    for row, weights in window_weights.items():
        start, stop = layout.spans[row]
        weights_T[start + 1 : stop - 1] = upload(weights, weights_T.device)
    return weights_T


def weighted_sum(x_TD: torch.Tensor, weights_T: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Sum over each row of weight times representation, fp32 [R, D]; rows never touch each other's values."""
    if x_TD.device.type == "cpu" and x_TD.dtype == torch.float32:
        # One pass at the speed of memory, each bag (row) summed by itself; segment_reduce is seven times slower here.
        every_T = torch.arange(layout.num_tokens, dtype=torch.int32)
        return F.embedding_bag(every_T, x_TD, layout.cu_seqlens[:-1], mode="sum", per_sample_weights=weights_T)
    weighted_TD = x_TD.to(torch.float32) * weights_T[:, None]
    return torch.segment_reduce(weighted_TD, "sum", offsets=layout.cu_seqlens.long(), axis=0)


def maximum(x_TD: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Element-wise maximum over the residues of each row, fp32 [R, D]."""
    rows = [x_TD[start + 1 : stop - 1].amax(0) for start, stop in layout.spans]
    return torch.stack(rows).to(torch.float32)
