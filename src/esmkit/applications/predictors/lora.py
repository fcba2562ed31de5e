"""LoRA (Hu et al. 2021, arXiv:2106.09685): W + alpha / rank B A in place of W, and only A and B are trained.

Both are a parametrisation of the weight (torch.nn.utils.parametrize), so the layers of the model know nothing of it.
B starts as zero: an adapted model begins as the one it was made from.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize

PROJECTIONS = ("qkv", "out", "up", "down")
"""The linear layers of a transformer block."""


class LowRank(nn.Module):
    """The change of one weight.

    Args:
        weight: [out, in], for its sizes and device.
        rank: columns of B and rows of A.
        alpha: the change is B A times alpha / rank.
        generator: of the initial A.
    """

    def __init__(self, weight: torch.Tensor, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        initial = torch.randn(rank, inputs, generator=generator) / inputs**0.5
        self.a = nn.Parameter(initial.to(weight.device))
        self.b = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))
        self.scale = alpha / rank

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The changed weight, added up in fp32 even where passes compute in 16 bit: a small change would be lost."""
        with torch.autocast(weight.device.type, enabled=False):
            return changed(weight, self.a, self.b, self.scale)


def changed(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
    """weight + scale b a, in the dtype of the weight."""
    return torch.addmm(weight.to(a.dtype), b, a, alpha=scale).to(weight.dtype)


def add(module: nn.Module, *, blocks: int, rank: int, alpha: float, seed: int) -> None:
    """Puts trainable changes on every projection of the first blocks of a model whose own weights stay as they are."""
    module.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for block in list(module.get_submodule("blocks").children())[:blocks]:
        for name in PROJECTIONS:
            layer = block.get_submodule(name)
            low_rank = LowRank(layer.get_parameter("weight"), rank, alpha, generator)
            parametrize.register_parametrization(layer, "weight", low_rank)


def changes(module: nn.Module) -> Iterator[tuple[str, LowRank]]:
    """Each change with the name of the weight that it changes."""
    for name, layer in module.named_modules():
        if isinstance(layer, LowRank):
            yield name.removesuffix(".parametrizations.weight.0") + ".weight", layer
