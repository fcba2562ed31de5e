"""Linear layers joined with what stands around them: GELU after, residual before.

torch keeps oneDNN's fused operators in `torch.ops.mkldnn` for its own compiler; the one used here is looked up, never
required: the fallback is the plain expression, and both are tested.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def linear_gelu(x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """gelu(layer(x)), with the exact (erf) GELU."""
    if torch.is_grad_enabled():
        return F.gelu(layer(x))
    fused = _fused()
    if fused is not None and x.device.type == "cpu" and x.dtype == torch.float32:
        return fused(x, layer.weight, layer.bias, "gelu", [], "none")  # type: ignore[no-any-return]
    # In place: the widest array of a layer exists once. cuBLAS could join GELU to the product, but only its tanh form.
    return torch.ops.aten.gelu_(layer(x))  # type: ignore[no-any-return]


def add_linear_(residual: torch.Tensor, x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """residual + layer(x), summed into `residual` by the matrix product: no copy of the bias, no second array.

    Where gradients are recorded, the backward pass needs `residual` as it was, and the sum is a new array.
    """
    if torch.is_grad_enabled():
        return residual + F.linear(x, layer.weight, layer.bias)
    residual += layer.bias
    return residual.addmm_(x, layer.weight.T)


@cache
def _fused() -> Any:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)
