"""How well labels are predicted. What is not defined for the data, such as a correlation with a constant, is None.

Shape suffixes: n labels, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from esmkit.applications.predictors.card import Task
from esmkit.errors import demand_module
from esmkit.types import FloatArray, IntArray

Metrics = Mapping[str, float | None]


def demand_sklearn() -> None:
    """Finds out before a run of hours.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    demand_module("sklearn.metrics", reason="training on labels needs scikit-learn", extra="learn")


def score(task: Task, answers_nC: FloatArray, targets_n: FloatArray | IntArray) -> Metrics:
    """Metrics of predicted numbers [n, 1], or of the probabilities of classes [n, C]."""
    if task.kind == "regression":
        return regression(answers_nC[:, 0].astype(np.float64), targets_n.astype(np.float64))
    return classification(answers_nC, targets_n.astype(np.int64))


def regression(predicted_n: FloatArray, targets_n: FloatArray) -> Metrics:
    """Spearman and Pearson correlation, root mean square and mean absolute error, and share of the variance explained.

    Example:
        >>> scores = regression(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
        >>> scores["spearman"], scores["r2"]
        (1.0, 0.5)
    """
    from scipy.stats import rankdata

    error = predicted_n - targets_n
    variance = targets_n.var()
    return {
        "spearman": _correlation(rankdata(predicted_n), rankdata(targets_n)),
        "pearson": _correlation(predicted_n, targets_n),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.abs(error).mean()),
        "r2": float(1 - np.mean(error**2) / variance) if variance > 0 else None,
    }


def classification(probabilities_nC: FloatArray, targets_n: IntArray) -> Metrics:
    """Accuracy, F1 (mean over classes), Matthews correlation, and area under the ROC curve.

    Of two classes AUROC is that of the second; of more, the mean over classes of one against the rest, for classes that
    occur.
    """
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    predicted_n = probabilities_nC.argmax(-1)
    differ = len(np.unique(targets_n)) > 1
    return {
        "accuracy": float(accuracy_score(targets_n, predicted_n)),
        "f1": float(f1_score(targets_n, predicted_n, average="macro", zero_division=0.0)),
        "mcc": float(matthews_corrcoef(targets_n, predicted_n)) if differ else None,
        "auroc": _auroc(probabilities_nC, targets_n),
    }


def _auroc(probabilities_nC: FloatArray, targets_n: IntArray) -> float | None:
    from sklearn.metrics import roc_auc_score

    num_classes = probabilities_nC.shape[1]
    areas = []
    for number in [1] if num_classes == 2 else range(num_classes):
        is_it_n = targets_n == number
        if 0 < is_it_n.sum() < len(targets_n):
            areas.append(float(roc_auc_score(is_it_n, probabilities_nC[:, number])))
    return float(np.mean(areas)) if areas else None


def _correlation(one_n: FloatArray, other_n: FloatArray) -> float | None:
    one_n, other_n = one_n - one_n.mean(), other_n - other_n.mean()
    norm = np.sqrt((one_n**2).sum() * (other_n**2).sum())
    return float((one_n * other_n).sum() / norm) if norm > 0 else None
