"""Predictors that `esmkit fit` makes: an estimator of scikit-learn on pooled representations of a model.

It is kept in `predictor.skops`: skops builds it from known types and runs nothing that the file brings.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from esmkit.applications.predictors.card import Card, Task
from esmkit.applications.predictors.output import Fitted
from esmkit.errors import WeightsError, demand_module
from esmkit.models.tensorfiles import unreadable
from esmkit.types import FloatArray

EstimatorName = Literal["ridge", "logistic", "boosting", "mlp"]
FILE, PROBE = "predictor.skops", "probe"
TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
)
"""Types that an estimator of ours may hold, beside the public ones of scikit-learn and numpy's arrays."""
STEPS = frozenset(
    {
        "StandardScaler",
        "Ridge",
        "LogisticRegression",
        "HistGradientBoostingRegressor",
        "HistGradientBoostingClassifier",
        "MLPRegressor",
        "MLPClassifier",
    }
)
"""What a pipeline of ours consists of."""


class Estimator(Fitted):
    """A fitted estimator.

    Args:
        model: a pipeline of scikit-learn, or one that scales its targets.
        task: what its answers mean.
    """

    def __init__(self, model: Any, task: Task) -> None:
        self.model, self.task = model, task

    def adapt(self, module: torch.nn.Module) -> None:
        """The base model stays as it is."""

    def answers(self, representations: FloatArray) -> FloatArray:
        """Numbers, or probabilities, float64."""
        x_nF = np.asarray(representations, dtype=np.float64)
        if self.task.kind == "classification":
            shares: FloatArray = self.model.predict_proba(x_nF)
            return shares
        return np.asarray(self.model.predict(x_nF), dtype=np.float64).reshape(-1, 1)

    def probe(self) -> list[list[float]]:
        """What it answers to certain made-up features; tells one that was read well from one that was not."""
        values = np.sin(np.arange(3 * self.model.n_features_in_))
        answers: list[list[float]] = self.answers(values.reshape(3, -1)).tolist()
        return answers

    def write(self, folder: Path) -> None:
        """Writes the estimator."""
        from skops import io

        io.dump(self.model, folder / FILE)

    @classmethod
    def read(cls, folder: Path, card: Card) -> Estimator:
        """Reads the estimator.

        Raises:
            WeightsError: it is missing, damaged, holds types that are no part of an estimator of ours, or does not
                answer as it did when it was saved.
            MissingExtraError: skops or scikit-learn is not installed.
        """
        demand_module("skops.io", reason=f"{folder} was made with scikit-learn and saved with skops", extra="learn")
        path = folder / FILE
        estimator = cls(_load(path), card.task)
        steps = _steps(estimator.model)
        if foreign := sorted({type(step).__name__ for step in steps} - STEPS):
            raise _refused(path, foreign)
        try:
            _check_trees(steps[-1])
            same = np.allclose(estimator.probe(), card.settings[PROBE], rtol=1e-5, atol=1e-8)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise unreadable(path, error) from error
        if not same:
            import sklearn

            raise WeightsError(
                f"{path} answers otherwise than when it was saved: it was fitted with scikit-learn "
                f"{card.provenance.get('scikit_learn')}, this is {sklearn.__version__}; install that one, or fit again",
                path=str(path),
            )
        return estimator


def _load(path: Path) -> Any:
    from sklearn.exceptions import InconsistentVersionWarning
    from skops import io

    try:
        foreign = sorted(set(io.get_untrusted_types(file=path)) - set(TRUSTED))
        if not foreign:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InconsistentVersionWarning)  # the probe tells whether it matters
                return io.load(path, trusted=list(TRUSTED))
    except Exception as error:  # a damaged file raises nearly anything
        raise unreadable(path, error) from error
    raise _refused(path, foreign)


def _steps(model: Any) -> list[Any]:
    """What an estimator consists of, the one that predicts last."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import Pipeline

    found = []
    if type(model) is TransformedTargetRegressor:
        found.append(getattr(model, "transformer_", None))
        model = getattr(model, "regressor_", None)
    return found + ([step for _, step in model.steps] if type(model) is Pipeline else [model])


def _check_trees(model: Any) -> None:
    """Scikit-learn follows the branches of a tree without looking where they lead; here it is seen that they lead on.

    Raises:
        ValueError: a branch leads out of its tree or back, or asks for a feature that there is not.
    """
    for tree in (tree for trees in getattr(model, "_predictors", ()) for tree in trees):
        nodes = tree.nodes[tree.nodes["is_leaf"] == 0]
        places, count = np.flatnonzero(tree.nodes["is_leaf"] == 0), len(tree.nodes)
        onward = all(((nodes[side] > places) & (nodes[side] < count)).all() for side in ("left", "right"))
        known = ((nodes["feature_idx"] >= 0) & (nodes["feature_idx"] < model.n_features_in_)).all()
        if not (count and onward and known) or nodes["is_categorical"].any():
            raise ValueError("a tree of it is none")


def _refused(path: Path, foreign: list[str]) -> WeightsError:
    return WeightsError(
        f"{path} holds what no predictor of esmkit consists of: {', '.join(foreign)}; nothing of it was used",
        path=str(path),
    )
