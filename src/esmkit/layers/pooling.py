"""Pooling over the tokens of each row; accumulated in fp32.

Shape suffixes: T packed tokens, R rows, D width.
"""

from __future__ import annotations

import torch

from esmkit.layers.layout import Layout


def weighted_sum(x_TD: torch.Tensor, weights_T: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Sum over each row of weight times representation, fp32 [R, D]; rows never touch each other's values."""
    if x_TD.device.type == "cpu" and x_TD.dtype == torch.float32:
        return torch.stack([weights_T[start:stop] @ x_TD[start:stop] for start, stop in layout.spans])
    weighted_TD = x_TD.to(torch.float32) * weights_T[:, None]
    return torch.segment_reduce(weighted_TD, "sum", offsets=layout.cu_seqlens.long(), axis=0)


def maximum(x_TD: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Element-wise maximum over the residues of each row (cls and eos left out), fp32 [R, D]."""
    rows = [x_TD[start + 1 : stop - 1].amax(0) for start, stop in layout.spans]
    return torch.stack(rows).to(torch.float32)
