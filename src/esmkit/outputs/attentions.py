"""Attentions: BioLM's per-layer mean, and full maps of chosen layers and heads.

Shape suffixes: N layers, H heads, S tokens of a row (cls and eos included), L residues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from esmkit.alphabet import num_residues
from esmkit.errors import InvalidConfigError, UnsupportedOutputError
from esmkit.outputs.base import Output, Part, Parts
from esmkit.types import Column, Features, IntArray, Needs, Record, Row

MAX_MAP_BYTES = 1 << 30
"""Full maps of one record above this size are refused; choose fewer layers or heads."""


@dataclass(frozen=True)
class AttentionMeans(Output):
    """Attention that each residue receives, per layer: mean over heads, then over all queries (cls and eos too).

    This is what BioLM's API calls `attentions`; [N, L].
    """

    name: ClassVar[str] = "attentions"
    requires: ClassVar[frozenset[str]] = frozenset({"attentions"})

    def needs(self) -> Needs:
        """Means of every layer."""
        return Needs(attention_means=True)

    def columns(self) -> tuple[Column, ...]:
        """One matrix."""
        return (Column("attentions", "float", (self.shape.num_layers, "L")),)

    def parts(self) -> Mapping[str, Part]:
        """One matrix per row; a share of attention means nothing across windows."""
        return {"attentions": Part("each", "none")}

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, list[torch.Tensor]]:
        """Cuts the columns of cls and eos."""
        assert features.attention_means is not None
        return {"attentions": [means_NS[:, 1:-1] for means_NS in features.attention_means]}


@dataclass(frozen=True)
class AttentionMaps(Output):
    """Full maps of chosen layers and heads, residues against residues: [layers, heads, L, L].

    Rows are queries; cls and eos are cut, so that a row sums to less than one.
    """

    name: ClassVar[str] = "attention_maps"
    requires: ClassVar[frozenset[str]] = frozenset({"attentions"})

    def layers(self) -> tuple[int, ...]:
        """1-based layers."""
        chosen = self.options.attention_layers
        if chosen is None:
            return tuple(range(1, self.shape.num_layers + 1))
        layers = tuple(dict.fromkeys(self.shape.layer(number) for number in chosen))
        if 0 in layers:
            raise InvalidConfigError("layer 0 is the input embedding and has no attention", setting="attention_layers")
        return layers

    def heads(self) -> tuple[int, ...]:
        """1-based heads."""
        chosen = self.options.attention_heads or tuple(range(1, self.shape.num_heads + 1))
        for head in chosen:
            if not 1 <= head <= self.shape.num_heads:
                raise InvalidConfigError(
                    f"head {head} does not exist: this model has heads 1 to {self.shape.num_heads}",
                    setting="attention_heads",
                )
        return tuple(dict.fromkeys(chosen))

    def needs(self) -> Needs:
        """The chosen maps."""
        return Needs(attention_maps=frozenset((n - 1, h - 1) for n in self.layers() for h in self.heads()))

    def columns(self) -> tuple[Column, ...]:
        """One array."""
        return (Column("attention_maps", "float", (len(self.layers()), len(self.heads()), "L", "L")),)

    def parts(self) -> Mapping[str, Part]:
        """One array per row."""
        return {"attention_maps": Part("each", "none")}

    def check(self, record: Record) -> None:
        """Refuses maps of more than MAX_MAP_BYTES for one record."""
        maps = len(self.layers()) * len(self.heads())
        size = 4 * maps * num_residues(record.sequence) ** 2
        if size > MAX_MAP_BYTES:
            raise UnsupportedOutputError(
                f"record {record.id!r}: {maps} full attention maps take {size / 1e9:.1f} GB, the limit is "
                f"{MAX_MAP_BYTES / 1e9:.1f} GB; choose fewer with --attention-layers and --attention-heads",
                output=self.name,
            )

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, list[torch.Tensor]]:
        """Stacks the chosen maps of each row, layer by layer."""
        assert features.attention_maps is not None
        keys = [(layer - 1, head - 1) for layer in self.layers() for head in self.heads()]
        stacked = [torch.stack([seen[key][1:-1, 1:-1] for key in keys]) for seen in features.attention_maps]
        return {"attention_maps": stacked}

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """Gives the maps their layer and head axes."""
        maps = np.asarray(parts["attention_maps"])
        length = len(ids) - 2
        return {"attention_maps": maps.reshape(len(self.layers()), len(self.heads()), length, length)}
