"""What earlier rounds teach: ridge regressions on resampled measurements, whose spread is the uncertainty.

Shape suffixes: n variants, F features, m members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from esmkit.applications.mutations.proteingym import spearman
from esmkit.errors import demand_module
from esmkit.types import FloatArray

_STRENGTHS = np.logspace(-3, 3, 13)
"""Of the ridge penalty; features have a variance of 1 for each block."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Ridge regressions, each fitted to measurements drawn with replacement (Breiman 1996, doi:10.1007/BF00058655).

    How far members differ says where they know little. It is no calibrated error: far from all measurements members may
    agree and be wrong.

    Attributes:
        weights: float64 [m, F].
        intercepts: float64 [m].
        strength: of the penalty, the same for all, by cross-validation (leave one out).
        spearman: rank correlation of measurements with predictions by the members that did not see them; None where
            all predictions are equal.
    """

    weights: FloatArray
    intercepts: FloatArray
    strength: float
    spearman: float | None

    @classmethod
    def fit(cls, x_nF: FloatArray, y_n: FloatArray, *, members: int, random: np.random.Generator) -> Self:
        """Fits all members.

        Args:
            x_nF: see `features.joined`.
            y_n: measurements.
            members: how many.
            random: draws the measurements that each sees.

        Raises:
            MissingExtraError: scikit-learn is not installed.
        """
        demand_module("sklearn.linear_model", reason="designs from measurements need scikit-learn", extra="learn")
        from sklearn.linear_model import Ridge, RidgeCV

        strength = float(RidgeCV(alphas=_STRENGTHS).fit(x_nF, y_n).alpha_)
        draws_mn = random.multinomial(len(y_n), np.full(len(y_n), 1 / len(y_n)), size=members)
        fitted = [Ridge(alpha=strength).fit(x_nF, y_n, sample_weight=draws_n) for draws_n in draws_mn]
        weights = np.stack([each.coef_ for each in fitted])
        intercepts = np.array([each.intercept_ for each in fitted])
        unseen_mn = draws_mn == 0
        ensemble = cls(weights, intercepts, strength, None)
        return cls(weights, intercepts, strength, _agreement(ensemble.predict(x_nF), unseen_mn, y_n))

    def predict(self, x_nF: FloatArray) -> FloatArray:
        """What each member predicts, float64 [m, n]."""
        return np.asarray(self.weights @ x_nF.T + self.intercepts[:, None])


def _agreement(predictions_mn: FloatArray, unseen_mn: np.ndarray, y_n: FloatArray) -> float | None:
    counts_n = unseen_mn.sum(axis=0)
    known = counts_n > 0
    means = (predictions_mn * unseen_mn).sum(axis=0)[known] / counts_n[known]
    try:
        return float(spearman(means, y_n[known]))
    except ValueError:
        return None
