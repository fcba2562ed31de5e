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
    num_classes, predicted_n = probabilities_nC.shape[1], probabilities_nC.argmax(-1)
    pairs_CC = np.bincount(targets_n * num_classes + predicted_n, minlength=num_classes**2)
    counts_CC = pairs_CC.reshape(num_classes, num_classes).astype(np.float64)
    right_C, true_C, said_C, n = counts_CC.diagonal(), counts_CC.sum(axis=1), counts_CC.sum(axis=0), len(targets_n)
    occurs_C = true_C + said_C > 0
    return {
        "accuracy": float(right_C.sum() / n),
        "f1": float((2 * right_C[occurs_C] / (true_C + said_C)[occurs_C]).mean()),
        "mcc": _matthews(right_C.sum(), true_C, said_C) if (true_C > 0).sum() > 1 else None,
        "auroc": _auroc(probabilities_nC, targets_n),
    }


def _matthews(right: float, true_C: FloatArray, said_C: FloatArray) -> float:
    """For any number of classes (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006); 0 if one is always said."""
    n = true_C.sum()
    spread = np.sqrt((n**2 - true_C @ true_C) * (n**2 - said_C @ said_C))
    return float((right * n - true_C @ said_C) / spread) if spread > 0 else 0.0


def _auroc(probabilities_nC: FloatArray, targets_n: IntArray) -> float | None:
    """By ranks: how often one of the class is before one of the rest (Mann and Whitney 1947)."""
    from scipy.stats import rankdata

    num_classes, areas = probabilities_nC.shape[1], []
    for number in [1] if num_classes == 2 else range(num_classes):
        is_it_n = targets_n == number
        found, others = int(is_it_n.sum()), int((~is_it_n).sum())
        if found and others:
            ranks = rankdata(probabilities_nC[:, number])[is_it_n].sum()
            areas.append(float((ranks - found * (found + 1) / 2) / (found * others)))
    return float(np.mean(areas)) if areas else None


def _correlation(one_n: FloatArray, other_n: FloatArray) -> float | None:
    one_n, other_n = one_n - one_n.mean(), other_n - other_n.mean()
    norm = np.sqrt((one_n**2).sum() * (other_n**2).sum())
    return float((one_n * other_n).sum() / norm) if norm > 0 else None
