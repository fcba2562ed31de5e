"""Logits of the LM head and masked prediction.

Shape suffixes: T packed tokens, L residues, V vocabulary, M masks of a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from esmkit import alphabet
from esmkit.errors import InvalidSequenceError
from esmkit.outputs.base import Output, Part, Parts
from esmkit.types import Column, Features, FloatArray, IntArray, Needs, Record, Row


@dataclass(frozen=True)
class Logits(Output):
    """Raw logits per residue, [L, 20] in the order of alphabet.STANDARD, or [L, 33] for the full vocabulary."""

    name: ClassVar[str] = "logits"
    requires: ClassVar[frozenset[str]] = frozenset({"logits"})

    def needs(self) -> Needs:
        """The LM head."""
        return Needs(logits=True)

    def columns(self) -> tuple[Column, ...]:
        """One matrix."""
        return (Column("logits", "float", ("L", len(self.options.tokens()))),)

    def parts(self) -> Mapping[str, Part]:
        """Averaged per residue where windows overlap."""
        return {"logits": Part("residues", "residues")}

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, torch.Tensor]:
        """The chosen columns."""
        assert features.logits is not None
        return {"logits": features.logits[:, self.options.columns()]}


@dataclass(frozen=True)
class MaskedPrediction(Output):
    """What the model puts in place of each `<mask>`: the top-k residues with their probabilities.

    Probabilities are a softmax over the chosen vocabulary, all masks of a sequence predicted in one pass;
    `filled_sequence` has the most probable residue at every mask.
    """

    name: ClassVar[str] = "predict"
    requires: ClassVar[frozenset[str]] = frozenset({"logits"})

    def needs(self) -> Needs:
        """The LM head."""
        return Needs(logits=True)

    def columns(self) -> tuple[Column, ...]:
        """1-based positions of the masks, residues and probabilities in falling order, the filled sequence."""
        return (
            Column("masked_positions", "int", ("M",)),
            Column("predicted_residues", "str", ("M", self.options.top_k)),
            Column("predicted_probabilities", "float", ("M", self.options.top_k)),
            Column("filled_sequence", "str", ()),
        )

    def parts(self) -> Mapping[str, Part]:
        """Logits, averaged per residue where windows overlap."""
        return {"prediction_logits": Part("residues", "residues")}

    def check(self, record: Record) -> None:
        """There must be something to predict."""
        if alphabet.MASK not in record.sequence:
            raise InvalidSequenceError(
                f"record {record.id!r} has no {alphabet.MASK}; write it in place of every residue to predict",
                record_id=record.id,
            )

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, torch.Tensor]:
        """The chosen columns of the logits."""
        assert features.logits is not None
        return {"prediction_logits": features.logits[:, self.options.columns()]}

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """Ranks the residues at the masks."""
        tokens = np.asarray(self.options.tokens())
        masked = np.flatnonzero(ids[1:-1] == alphabet.MASK_ID)
        probabilities_MV = softmax(parts["prediction_logits"][masked])
        order_MV = np.argsort(-probabilities_MV, axis=1, kind="stable")
        best_MK = order_MV[:, : self.options.top_k]
        letters = [alphabet.TOKENS[token] for token in ids[1:-1]]
        for index, best in zip(masked, best_MK[:, 0], strict=True):
            letters[index] = str(tokens[best])
        return {
            "masked_positions": (masked + 1).astype(np.int32),
            "predicted_residues": tokens[best_MK],
            "predicted_probabilities": np.take_along_axis(probabilities_MV, best_MK, axis=1),
            "filled_sequence": "".join(letters),
        }


def softmax(logits: FloatArray) -> FloatArray:
    """Softmax over the last axis, fp32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)
