"""Estimators of scikit-learn that a predictor may be, each with the settings to choose from.

Shape suffixes: n proteins, F features, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from esmkit.applications.predictors.card import TaskKind
from esmkit.applications.predictors.estimator import EstimatorName
from esmkit.errors import InvalidConfigError
from esmkit.types import FloatArray, IntArray

Choice = EstimatorName | Literal["auto"]
LINEAR: Mapping[TaskKind, EstimatorName] = {"regression": "ridge", "classification": "logistic"}
SUITABLE: Mapping[TaskKind, tuple[EstimatorName, ...]] = {
    kind: (linear, "boosting", "mlp") for kind, linear in LINEAR.items()
}
HIDDEN, STEPS, EPOCHS = 64, 20, 150
"""Of the network: width of its one hidden layer, steps of an epoch at most, epochs at most."""

_SETTINGS: Mapping[EstimatorName, tuple[str, Sequence[float]]] = {
    "ridge": ("alpha", (1e5, 1e4, 1e3, 1e2, 1e1, 1, 1e-1, 1e-2)),
    "logistic": ("C", (1e-4, 1e-3, 1e-2, 1e-1, 1, 10)),
    "boosting": ("max_leaf_nodes", (4, 16)),
    "mlp": ("alpha", (100, 10, 1)),
}
"""What regularises each estimator, the strongest first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An estimator with its setting.

    Attributes:
        estimator: which.
        setting: name of what regularises it, as scikit-learn calls it.
        value: of the setting.
    """

    estimator: EstimatorName
    setting: str
    value: float

    def __str__(self) -> str:
        return f"{self.estimator}, {self.setting} {self.value:g}"

    def fit(self, x_nF: FloatArray, y_n: FloatArray | IntArray, *, seed: int, scaled: bool = True) -> Any:
        """A fitted scikit-learn estimator.

        Args:
            x_nF: features, float64, dense or sparse.
            y_n: float64 numbers, or int64 classes.
            seed: of what is drawn at random.
            scaled: whether features are brought to mean 0 and variance 1 first, where that matters.
        """
        from scipy.linalg import LinAlgWarning
        from sklearn.exceptions import ConvergenceWarning

        model = self._build("classification" if y_n.dtype.kind == "i" else "regression", len(y_n), seed, scaled)
        with warnings.catch_warnings():  # cross-validation judges what came of it
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", LinAlgWarning)
            return model.fit(x_nF, y_n)

    def _build(self, kind: TaskKind, rows: int, seed: int, scaled: bool) -> Any:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        scaler = [StandardScaler()] if scaled and self.estimator != "boosting" else []
        model = make_pipeline(*scaler, self._bare(kind, rows, seed))
        if self.estimator == "mlp" and kind == "regression":
            return TransformedTargetRegressor(model, transformer=StandardScaler())
        return model

    def _bare(self, kind: TaskKind, rows: int, seed: int) -> Any:
        from sklearn import ensemble, linear_model, neural_network

        own = {self.setting: self.value}
        if self.estimator == "ridge":
            return linear_model.Ridge(**own)
        if self.estimator == "logistic":
            return linear_model.LogisticRegression(max_iter=1000, **own)
        suffix = "Classifier" if kind == "classification" else "Regressor"
        if self.estimator == "boosting":
            return getattr(ensemble, f"HistGradientBoosting{suffix}")(random_state=seed, **own)
        size = min(rows, max(32, rows // STEPS))
        pace = {"batch_size": size, "max_iter": EPOCHS, "random_state": seed}
        return getattr(neural_network, f"MLP{suffix}")(hidden_layer_sizes=(HIDDEN,), **pace, **own)


def candidates(name: EstimatorName) -> list[Candidate]:
    """An estimator with each of its settings, the most regularised first."""
    setting, values = _SETTINGS[name]
    return [Candidate(name, setting, value) for value in values]


def wanted(choice: Choice, kind: TaskKind) -> tuple[EstimatorName, ...]:
    """The estimators to try for a task.

    Raises:
        InvalidConfigError: the estimator is for the other kind of task.
    """
    if choice == "auto":
        return SUITABLE[kind]
    if choice not in SUITABLE[kind]:
        raise InvalidConfigError(
            f"--estimator {choice} is not for {kind}; choose auto, {', '.join(SUITABLE[kind])}", setting="estimator"
        )
    return (choice,)
