"""Embeddings: representations of chosen layers, pooled or per residue.

Layer 0 is the input embedding, layer N comes after the final norm. Pooling covers residues only, never cls or eos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from esmkit.layers import pooling
from esmkit.outputs.base import Merge, Output, Part, Parts
from esmkit.types import Column, Dimension, Features, IntArray, Needs, Row


@dataclass(frozen=True)
class _Embedding(Output):
    """What the four share: one column per layer, named after output and layer."""

    requires: ClassVar[frozenset[str]] = frozenset({"representations"})
    merge: ClassVar[Merge]

    def column_of(self, layer: int) -> str:
        return f"{self.name}_{layer}"

    def needs(self) -> Needs:
        """The representations of the layers."""
        return Needs(layers=frozenset(self.resolved_layers()))

    def columns(self) -> tuple[Column, ...]:
        """One per layer."""
        shape: tuple[Dimension, ...] = ("L", self.shape.width) if self.merge == "residues" else (self.shape.width,)
        return tuple(Column(self.column_of(layer), "float", shape) for layer in self.resolved_layers())

    def parts(self) -> Mapping[str, Part]:
        """One per layer."""
        part = Part("residues" if self.merge == "residues" else "rows", self.merge)
        return {self.column_of(layer): part for layer in self.resolved_layers()}

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, torch.Tensor]:
        """Pools each layer."""
        pooled = self.pool({layer: features.representations[layer] for layer in self.resolved_layers()}, features, rows)
        return {self.column_of(layer): tensor for layer, tensor in pooled.items()}

    def pool(
        self, layers: Mapping[int, torch.Tensor], features: Features, rows: Sequence[Row]
    ) -> Mapping[int, torch.Tensor]:
        raise NotImplementedError


class MeanEmbedding(_Embedding):
    """Mean over the residues, [D] per layer."""

    name = "mean"
    merge = "sum"

    def pool(
        self, layers: Mapping[int, torch.Tensor], features: Features, rows: Sequence[Row]
    ) -> Mapping[int, torch.Tensor]:
        """Sums; `finish` divides by the length, so that windows can be added up first."""
        windows = {row: torch.from_numpy(each.weights) for row, each in enumerate(rows) if each.weights is not None}
        weights_T = pooling.residue_weights(features.layout, windows)
        return {layer: pooling.weighted_sum(x_TD, weights_T, features.layout) for layer, x_TD in layers.items()}

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """Sums to means."""
        return {name: total / (len(ids) - 2) for name, total in parts.items()}


class MaxEmbedding(_Embedding):
    """Element-wise maximum over the residues, [D] per layer."""

    name = "max"
    merge = "max"

    def pool(
        self, layers: Mapping[int, torch.Tensor], features: Features, rows: Sequence[Row]
    ) -> Mapping[int, torch.Tensor]:
        """Maxima."""
        return {layer: pooling.maximum(x_TD, features.layout) for layer, x_TD in layers.items()}


class BosEmbedding(_Embedding):
    """The representation of the cls token (BioLM calls it bos), [D] per layer; windows are averaged."""

    name = "bos"
    merge = "mean"

    def pool(
        self, layers: Mapping[int, torch.Tensor], features: Features, rows: Sequence[Row]
    ) -> Mapping[int, torch.Tensor]:
        """The first token of each row."""
        return {layer: x_TD[features.layout.cu_seqlens[:-1]] for layer, x_TD in layers.items()}


class PerResidue(_Embedding):
    """One representation per residue, [L, D] per layer."""

    name = "per_residue"
    merge = "residues"

    def pool(
        self, layers: Mapping[int, torch.Tensor], features: Features, rows: Sequence[Row]
    ) -> Mapping[int, torch.Tensor]:
        """The layers as they are."""
        return layers
