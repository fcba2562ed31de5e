"""A predicted property as an output of the engine: it is computed in the same packed passes as any other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from esmkit.applications.predictors.card import Pooling, Task
from esmkit.errors import ModelExecutionError
from esmkit.outputs import Output
from esmkit.outputs.base import Part, Parts
from esmkit.outputs.embedding import BosEmbedding, MaxEmbedding, MeanEmbedding, PerResidue
from esmkit.types import Column, Features, FloatArray, IntArray, Needs, Row

Embedding = MeanEmbedding | MaxEmbedding | BosEmbedding | PerResidue
SOURCES: Mapping[Pooling, type[Embedding]] = {
    "mean": MeanEmbedding,
    "max": MaxEmbedding,
    "bos": BosEmbedding,
    "none": PerResidue,
}


class Fitted(ABC):
    """What was learnt: changes of the base model, and the way from representations to answers."""

    @property
    def changes_model(self) -> bool:
        """Whether `adapt` does anything."""
        return False

    @abstractmethod
    def adapt(self, module: torch.nn.Module) -> None:
        """Writes what was learnt into the weights of the base model."""

    @abstractmethod
    def answers(self, representations: FloatArray) -> FloatArray:
        """float32 [n, F], see `features` -> predicted numbers [n, 1], or probabilities of the classes [n, C]."""


def features(representations: Sequence[FloatArray]) -> FloatArray:
    """What a predictor sees of a record: the representations of several layers side by side.

    Args:
        representations: float32 [D] or [L, D] for each layer.

    Returns:
        float32 [1, F] or [L, F].
    """
    return np.atleast_2d(np.concatenate(representations, axis=-1))


@dataclass(frozen=True, kw_only=True)
class Property(Output):
    """A predicted property: `prediction`, and for classes the probability of each.

    The options name the layers whose representations are joined, F numbers in all.

    Attributes:
        task: what is predicted.
        fitted: how.
        pooling: how residues become the one vector that it sees, if it does not see each of them.
        probabilities: whether those of classes are given.
    """

    task: Task
    fitted: Fitted
    pooling: Pooling
    probabilities: bool = True

    name: ClassVar[str] = "property"
    requires: ClassVar[frozenset[str]] = frozenset({"representations"})

    @cached_property
    def source(self) -> Embedding:
        """The output that the answers are made from."""
        return SOURCES[self.pooling](self.shape, self.options)

    def needs(self) -> Needs:
        """The representations of the layers."""
        return self.source.needs()

    def parts(self) -> Mapping[str, Part]:
        """Those of the embedding, so that windows of long sequences come together before anything is predicted."""
        return self.source.parts()

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, torch.Tensor]:
        """Representations, pooled if the task is one of whole sequences."""
        return self.source.compute(features, rows)

    def columns(self) -> tuple[Column, ...]:
        """`prediction`, then `probability_<class>`, or per residue `probabilities` [L, C]."""
        if self.task.kind == "regression":
            return (Column("prediction", "float", () if self.task.level == "sequence" else ("L",)),)
        columns = [Column("prediction", "str", ())]
        if self.probabilities and self.task.level == "sequence":
            columns += [Column(f"probability_{name}", "float", ()) for name in self.task.classes]
        elif self.probabilities:
            columns.append(Column("probabilities", "float", ("L", len(self.task.classes))))
        return tuple(columns)

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """The answer for one record: a number or class; per residue an array, or a string with a letter for each."""
        return self.answer(self.source.finish(parts, ids))

    def answer(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same from the columns of `source`.

        Raises:
            ModelExecutionError: the prediction is no number.
        """
        chosen = [arrays[self.source.column_of(layer)] for layer in self.resolved_layers()]
        answers = self.fitted.answers(features(chosen))
        if not np.isfinite(answers).all():
            raise ModelExecutionError("a prediction is NaN or Inf; check the predictor and its base model")
        return self._of_sequence(answers[0]) if self.task.level == "sequence" else self._of_residues(answers)

    def _of_sequence(self, answer: FloatArray) -> dict[str, Any]:
        if self.task.kind == "regression":
            return {"prediction": float(answer[0])}
        named = zip(self.task.classes, answer.tolist(), strict=True)
        probabilities = {f"probability_{name}": share for name, share in named} if self.probabilities else {}
        return {"prediction": self.task.classes[answer.argmax()], **probabilities}

    def _of_residues(self, answers: FloatArray) -> dict[str, Any]:
        if self.task.kind == "regression":
            return {"prediction": answers[:, 0]}
        letters = "".join(self.task.classes[best] for best in answers.argmax(-1))
        return {"prediction": letters, **({"probabilities": answers} if self.probabilities else {})}
