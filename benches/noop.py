"""A model that computes nothing, in the place of ESM-2 within an otherwise complete engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import esmkit
from esmkit.layers.layout import Layout
from esmkit.models.registry import families
from esmkit.models.weights import Loaded
from esmkit.types import Features, ModelShape, Needs


class Noop(nn.Module):
    """Slices of random numbers instead of representations."""

    def __init__(self, shape: ModelShape, max_tokens: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        values = torch.randn(max_tokens, shape.width, generator=generator)
        self.values_TD = nn.Parameter(values, requires_grad=False)

    def forward(self, tokens_T: torch.Tensor, layout: Layout, needs: Needs, **_: Any) -> Features:
        """What `Esm2.forward` gives, for representations."""
        layers = dict.fromkeys(needs.layers, self.values_TD[: layout.num_tokens])
        return Features(layout=layout, tokens_T=tokens_T, representations=layers)


def noop_model(shape: ModelShape, batch_tokens: int) -> esmkit.Model:
    """The whole engine around it."""
    loaded = Loaded(
        module=Noop(shape, batch_tokens),
        shape=shape,
        slug="no-op",
        family=families()["esm2"],
        provenance={"slug": "no-op"},
        about={},
        notice=None,
    )
    return esmkit.Model(esmkit.Engine(loaded, batch_tokens=batch_tokens))
