"""Linear layers joined with what stands around them: GELU after, residual before."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def linear_gelu(x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """gelu(layer(x)), with the exact (erf) GELU."""
    if torch.is_grad_enabled():
        return F.gelu(layer(x))
    # In place: the widest array of a layer exists once. oneDNN and cuBLAS could join GELU to the product: the one is no
    # faster and keeps about 1 MB for every number of rows that it ever met, the other has only the tanh form.
    return torch.ops.aten.gelu_(layer(x))  # type: ignore[no-any-return]


def add_linear_(residual: torch.Tensor, x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """residual + layer(x), summed into `residual` by the matrix product: no copy of the bias, no second array.

    Where gradients are recorded, the backward pass needs `residual` as it was, and the sum is a new array.
    """
    if torch.is_grad_enabled():
        return residual + F.linear(x, layer.weight, layer.bias)
    residual += layer.bias
    return residual.addmm_(x, layer.weight.T)
