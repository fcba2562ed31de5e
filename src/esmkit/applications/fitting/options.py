"""What may be chosen about a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from esmkit.applications.fitting.baselines import BASELINES, Baseline
from esmkit.applications.fitting.candidates import Choice
from esmkit.applications.vectors import Pooling
from esmkit.errors import InvalidConfigError
from esmkit.types import ModelShape


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What is tried.

    Attributes:
        estimator: which, or `auto`: all that suit the task.
        layers: to choose from, 0..N or from the end; none means a third, two thirds and all of the way up.
        pooling: to choose from.
        baselines: what is fitted and tested beside the predictor, for comparison.
        folds: of the cross-validation.
        seed: of folds, estimators and confidence intervals.
    """

    estimator: Choice = "auto"
    layers: tuple[int, ...] = ()
    pooling: tuple[Pooling, ...] = ("mean",)
    baselines: tuple[Baseline, ...] = ()
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InvalidConfigError(f"--folds must be 2 or more, not {self.folds}", setting="folds")
        for setting, given, known in (
            ("pooling", self.pooling, get_args(Pooling)),
            ("baseline", self.baselines, tuple(BASELINES)),
        ):
            if unknown := [name for name in given if name not in known]:
                raise InvalidConfigError(f"--{setting} {unknown[0]!r}: choose from {', '.join(known)}", setting=setting)

    def layers_of(self, shape: ModelShape) -> list[int]:
        """The layers of a model to choose from, each once, as 0..N.

        Example:
            >>> FitOptions().layers_of(ModelShape(6, 128, 8))
            [2, 4, 6]
        """
        depth = shape.num_layers
        given = self.layers or (max(1, depth // 3), max(1, 2 * depth // 3), depth)
        return sorted({shape.layer(layer) for layer in given})
