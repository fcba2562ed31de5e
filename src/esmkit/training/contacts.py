"""The contact head, fitted as its authors did: which attention maps say that two residues touch.

L1-regularised logistic regression over the symmetrised, APC-corrected maps of all layers and heads; every pair of every
protein counts the same (Rao et al. 2020, doi:10.1101/2020.12.15.422761; github.com/facebookresearch/esm, issue 249).

Shape suffixes: S tokens of a row, L residues, P pairs of residues, M attention maps, layer by layer, head by head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from esmkit.engine import Engine
from esmkit.engine.budget import free_bytes
from esmkit.errors import DeviceMemoryError, InvalidInputError, demand_module
from esmkit.inputs.structures import Structure
from esmkit.outputs.base import Output, Part
from esmkit.training.precision import MIN_SEPARATION, Precision, Truth, mean_precision, precision
from esmkit.types import Column, Features, FloatArray, IntArray, Needs, Record, Result, Row

C = 0.15
"""Inverse strength of the L1 penalty, as the authors set it."""
FIT_BYTES = 44
"""Memory per pair and map at the peak of a fit: fp32 here, fp64 in scikit-learn, twice 16 bytes in liblinear."""


@dataclass(frozen=True)
class PairFeatures(Output):
    """What the contact head weighs: one number per map for every pair of `precision.pairs`; [P, M]."""

    name: ClassVar[str] = "pair_features"
    requires: ClassVar[frozenset[str]] = frozenset({"attentions"})

    @property
    def num_maps(self) -> int:
        """M."""
        return self.shape.num_layers * self.shape.num_heads

    def needs(self) -> Needs:
        """All maps."""
        shape = self.shape
        return Needs(attention_maps=frozenset((n, h) for n in range(shape.num_layers) for h in range(shape.num_heads)))

    def columns(self) -> tuple[Column, ...]:
        """One matrix."""
        return (Column("pair_features", "float", ("P", self.num_maps)),)

    def parts(self) -> Mapping[str, Part]:
        """One matrix per row."""
        return {"pair_features": Part("each", "none")}

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, list[torch.Tensor]]:
        """Map by map; cls and eos are cut."""
        assert features.attention_maps is not None
        return {"pair_features": [_pair_features(maps) for maps in features.attention_maps]}


def _pair_features(maps: dict[tuple[int, int], torch.Tensor]) -> torch.Tensor:
    """[P, M] of one row. A map goes as soon as it was looked at, so that there are never all maps and all features."""
    some_map = next(iter(maps.values()))
    length = len(some_map) - 2
    first, second = torch.triu_indices(length, length, MIN_SEPARATION, device=some_map.device)
    features_MP = some_map.new_empty(len(maps), len(first))
    for feature_P, key in zip(features_MP, sorted(maps), strict=True):
        a_LL = maps.pop(key)[1:-1, 1:-1]
        b_LL = a_LL + a_LL.T
        r_L = b_LL.sum(0)
        torch.sub(b_LL[first, second], r_L[first] * r_L[second] / r_L.sum(), out=feature_P)
    return features_MP.T


@dataclass(frozen=True, slots=True)
class Examples:
    """What there is to learn from.

    Attributes:
        truths: per structure, which pairs touch.
        features_PM: float32, the pairs of all structures end to end.
        bounds: int [structures + 1], where the pairs of each start, then P.
    """

    truths: Sequence[Truth]
    features_PM: FloatArray
    bounds: IntArray

    @classmethod
    def of(
        cls,
        engine: Engine,
        structures: Sequence[Structure],
        *,
        on_structure: Callable[[Structure], None] = lambda structure: None,
    ) -> Examples:
        """Runs the model on the sequences, one at a time when the engine's batches are of one.

        Args:
            engine: the model.
            structures: one protein chain each.
            on_structure: called with every structure once it is done.

        Raises:
            InvalidInputError: a structure has no pair of residues far enough apart in the chain.
            DeviceMemoryError: there are more pairs than memory holds.
            UserError: the model does not take a sequence.
        """
        truths = [Truth.of(structure) for structure in structures]
        for truth, structure in zip(truths, structures, strict=True):
            if not len(truth.touch):
                raise InvalidInputError(
                    f"{structure.id}: none of its {truth.length} residues with a place are {MIN_SEPARATION} positions "
                    "apart; leave it out"
                )
        bounds = np.cumsum([0, *(len(truth.touch) for truth in truths)])
        output = PairFeatures(engine.loaded.shape)
        _demand_room(bounds[-1] * output.num_maps)
        features_PM = np.empty((bounds[-1], output.num_maps), dtype=np.float32)
        records = (Record(index, each.id, each.sequence) for index, each in enumerate(structures))
        results = engine.run(records, [output])
        for (start, stop), truth, structure, result in zip(pairwise(bounds), truths, structures, results, strict=True):
            assert isinstance(result, Result)
            features_PM[start:stop] = result.arrays["pair_features"][truth.known]
            on_structure(structure)
        return cls(truths, features_PM, bounds)

    def rows(self, structures: Sequence[int]) -> IntArray:
        """Index of every pair of some structures."""
        return np.concatenate([np.arange(self.bounds[each], self.bounds[each + 1]) for each in structures])

    @property
    def touch(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which pairs touch, [P]."""
        return np.concatenate([truth.touch for truth in self.truths])


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A contact head.

    Attributes:
        weights_M: float64.
        bias: what is added.
    """

    weights_M: FloatArray
    bias: float

    def logits(self, features_PM: FloatArray) -> FloatArray:
        """Log odds of contact, [P]."""
        logits: FloatArray = features_PM @ self.weights_M + self.bias
        return logits

    def put_into(self, module: nn.Module) -> None:
        """Replaces the contact head of a model."""
        weight = module.get_parameter("contact_head.weight")
        weight.data.copy_(torch.from_numpy(self.weights_M)[None])
        module.get_parameter("contact_head.bias").data.fill_(self.bias)


def fit(examples: Examples, structures: Sequence[int] | None = None, *, c: float = C) -> FittedHead:
    """Fits a head with scikit-learn, solver liblinear, as the authors did.

    Args:
        examples: pairs with their features.
        structures: which of them to learn from; all by default.
        c: inverse strength of the L1 penalty.

    Raises:
        InvalidInputError: no pair touches, or all do.
        MissingExtraError: scikit-learn is not installed.
    """
    demand_scikit_learn()
    from sklearn.linear_model import LogisticRegression

    rows = slice(None) if structures is None else examples.rows(structures)
    touch_P = examples.touch[rows]
    if touch_P.all() or not touch_P.any():
        raise InvalidInputError(
            f"{'all' if touch_P.any() else 'none'} of the {len(touch_P):,} pairs touch, so there is nothing to tell "
            "apart; give whole folded proteins"
        )
    model = LogisticRegression(l1_ratio=1.0, C=c, solver="liblinear", max_iter=1000, random_state=0)
    model.fit(examples.features_PM[rows], touch_P)
    return FittedHead(model.coef_[0], float(model.intercept_[0]))


def score(head: FittedHead, examples: Examples, structures: Sequence[int] | None = None) -> list[Precision]:
    """The precision of a head on structures, one by one; all by default."""
    chosen = range(len(examples.truths)) if structures is None else structures
    return [
        precision(examples.truths[each], head.logits(examples.features_PM[examples.rows([each])])) for each in chosen
    ]


def cross_validate(examples: Examples, *, folds: int, c: float = C) -> Precision:
    """The mean precision on structures that a head was not fitted on: every structure is left out once.

    Args:
        examples: of at least as many structures as folds.
        folds: parts of the structures; every `folds`-th is in the same.
        c: as for `fit`.
    """
    scored: list[Precision] = []
    everything = range(len(examples.truths))
    for fold in range(folds):
        held_out = everything[fold::folds]
        head = fit(examples, [each for each in everything if each not in held_out], c=c)
        scored += score(head, examples, held_out)
    return mean_precision(scored)


def demand_scikit_learn() -> None:
    """Finds out before the model runs.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    demand_module("sklearn", reason="fitting the contact head needs scikit-learn", extra="learn")


def _demand_room(values: int) -> None:
    """An error before rather than the kernel's out-of-memory killer after."""
    needed = FIT_BYTES * values
    free = free_bytes(torch.device("cpu"))
    if needed > free:
        raise DeviceMemoryError(
            f"fitting needs about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; give fewer structures: the "
            "authors of the method used 20"
        )
