"""What a head sees: representations of a model, pooled, computed once for a frozen model or anew for one in training.

Shape suffixes: T packed tokens, n lines (proteins or residues), F features.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from esmkit.applications.predictors.output import features
from esmkit.applications.vectors import Watcher
from esmkit.batching import LengthPolicy
from esmkit.engine import Model
from esmkit.layers.attention import choose_backend
from esmkit.layers.layout import Layout, upload
from esmkit.outputs import OutputOptions, build
from esmkit.training.dataset import LabelledBatch, LabelledSet
from esmkit.training.loop import differentiable_backend
from esmkit.training.recipe import Recipe
from esmkit.types import FloatArray, ModelShape, Needs, Result

AT_ONCE = 16
"""Proteins whose features are in memory together, where all are looked at."""


class Features(Protocol):
    """From a batch to features, float32 [n, F], on the device of the head."""

    def __call__(self, batch: LabelledBatch) -> torch.Tensor:
        """The features of its lines."""


class FrozenFeatures:
    """Features of a model that does not change, in a file that is gone with the process.

    Args:
        table: float32 [lines of all proteins, F].
        first_lines: where the lines of each protein start.
    """

    def __init__(self, table: FloatArray, first_lines: Sequence[int]) -> None:
        self.table, self.first_lines = table, first_lines

    @classmethod
    def of(
        cls,
        model: Model,
        data: LabelledSet,
        layers: Sequence[int],
        length: LengthPolicy,
        folder: Path,
        watcher: Watcher | None = None,
    ) -> FrozenFeatures:
        """Runs the model over all proteins, as every command does.

        Args:
            model: the model.
            data: the proteins.
            layers: whose representations are joined.
            length: what happens to long sequences.
            folder: on whose disk the table is kept.
            watcher: sees how far it is.

        Raises:
            EsmkitError: the model has no answer for a protein.
        """
        name = "mean" if data.task.level == "sequence" else "per_residue"
        (output,) = build([name], model.shape, OutputOptions(layers=tuple(layers)))
        first_lines = data.first_lines.tolist()
        columns = [column.name for column in output.columns()]
        with tempfile.TemporaryFile(dir=folder) as file:
            shape = (first_lines[-1], len(columns) * model.width)
            table: Any = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
        on_progress = None if watcher is None else watcher.tokens
        for result in model.engine.run(data.records, [output], length=length, on_progress=on_progress):
            assert isinstance(result, Result)
            if watcher is not None:
                watcher.record(result.meta["length"])
            start, stop = first_lines[result.index : result.index + 2]
            table[start:stop] = features([result.arrays[column] for column in columns])
        return cls(table, first_lines)

    def __call__(self, batch: LabelledBatch) -> torch.Tensor:
        """Looks them up."""
        return torch.from_numpy(np.concatenate(list(self._stretches(batch.numbers))))

    def moments(self, members: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Mean, float64 [F], and covariance, float64 [F, F], over the lines of these proteins."""
        groups = [members[start : start + AT_ONCE] for start in range(0, len(members), AT_ONCE)]
        lines = sum(self.first_lines[number + 1] - self.first_lines[number] for number in members)
        mean = np.zeros(self.table.shape[1])
        covariance = np.zeros((len(mean), len(mean)))
        for group in groups:
            mean += np.concatenate(list(self._stretches(group))).sum(axis=0, dtype=np.float64) / lines
        for group in groups:
            away_nF = np.concatenate(list(self._stretches(group))) - mean
            covariance += away_nF.T @ away_nF / lines
        return mean, covariance

    def _stretches(self, members: Iterable[int]) -> Iterable[FloatArray]:
        for number in members:
            yield self.table[self.first_lines[number] : self.first_lines[number + 1]]


class ModelFeatures:
    """Features of a model in training, through which gradients flow where they are recorded.

    Args:
        module: the model.
        layers: whose representations are joined.
        recipe: for the precision of its passes.
    """

    def __init__(self, module: nn.Module, layers: Sequence[int], recipe: Recipe) -> None:
        assert isinstance(module.shape, ModelShape)
        self.module, self.layers = module, tuple(layers)
        self.device = next(module.parameters()).device
        self.in_training = differentiable_backend(self.device, recipe, module.shape.head_dim)
        self.in_use = choose_backend("auto", self.device, torch.float32, module.shape.head_dim)

    def __call__(self, batch: LabelledBatch) -> torch.Tensor:
        """Runs the model and sums representations over the residues of each line, windows together."""
        layout = Layout.of(batch.bounds, self.device)
        backend = self.in_training if torch.is_grad_enabled() else self.in_use
        tokens_T = upload(torch.from_numpy(batch.tokens), self.device)
        found = self.module(tokens_T, layout, Needs(layers=frozenset(self.layers)), backend=backend)
        x_TF = torch.cat([found.representations[layer].float() for layer in self.layers], dim=-1)
        at, line, weight = (upload(torch.from_numpy(x), self.device) for x in (batch.at, batch.line, batch.weight))
        lines_nF = x_TF.new_zeros(batch.num_lines, x_TF.shape[1])
        return lines_nF.index_add(0, line, x_TF[at] * weight[:, None])
