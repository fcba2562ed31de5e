"""Linear layers joined with what stands around them: GELU after, residual before."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def linear_gelu(x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """gelu(layer(x)), with the exact (erf) GELU, of rows [T, D].

    GELU works on a transposed view because torch gives contiguous arrays to oneDNN, which keeps something for every
    number of rows that it ever met: small, but it splits the heap, which grows by about 2 MB each time (8m). It is less
    exact, too: 1e-6 instead of 5e-7. Joined to the product it keeps as much; cuBLAS can join only the tanh form.
    """
    y = layer(x)
    if torch.is_grad_enabled():
        return F.gelu(y.T).T
    torch.ops.aten.gelu_(y.T)  # in place: the widest array of a layer exists once
    return y  # type: ignore[no-any-return]


def add_linear_(residual: torch.Tensor, x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """residual + layer(x), summed into `residual` by the matrix product: no copy of the bias, no second array.

    Where gradients are recorded, the backward pass needs `residual` as it was, and the sum is a new array.
    """
    if torch.is_grad_enabled():
        return residual + F.linear(x, layer.weight, layer.bias)
    residual += layer.bias
    return residual.addmm_(x, layer.weight.T)
