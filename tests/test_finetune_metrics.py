"""Metrics of training on labels: right where there is something to say, None where there is not."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from esmkit.applications.labelled.metrics import classification, demand_sklearn, regression, score
from esmkit.applications.predictors import Task
from esmkit.errors import MissingExtraError

GENERATOR = np.random.default_rng(1)


def test_regression_metrics_are_those_of_scipy_and_scikit_learn() -> None:
    from scipy import stats
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    truth = GENERATOR.normal(size=200).round(1)  # with ties
    predicted = truth + GENERATOR.normal(size=200)
    found = regression(predicted, truth)
    assert found == {
        "spearman": pytest.approx(stats.spearmanr(predicted, truth).statistic),
        "pearson": pytest.approx(stats.pearsonr(predicted, truth).statistic),
        "rmse": pytest.approx(root_mean_squared_error(truth, predicted)),
        "mae": pytest.approx(mean_absolute_error(truth, predicted)),
        "r2": pytest.approx(r2_score(truth, predicted)),
    }


def test_classification_metrics_are_those_of_scikit_learn() -> None:
    from sklearn import metrics

    truth = GENERATOR.integers(0, 3, 300)
    shares = GENERATOR.dirichlet(np.ones(3), 300)
    shares[np.arange(300), truth] += 0.5
    shares /= shares.sum(1, keepdims=True)
    found = classification(shares, truth)
    predicted = shares.argmax(1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, predicted))
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(truth, shares, multi_class="ovr"))
    two = shares[:, :2] / shares[:, :2].sum(1, keepdims=True)
    binary = classification(two, truth % 2)
    assert binary["auroc"] == pytest.approx(metrics.roc_auc_score(truth % 2, two[:, 1]))


def test_missing_scikit_learn_is_said_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'esmkit\[learn\]'"):
        demand_sklearn()


@pytest.mark.parametrize(
    ("task", "answers", "truth", "undefined"),
    [
        ("regression", [[0.5], [0.5]], [0.1, 0.2], {"spearman", "pearson"}),
        ("regression", [[0.5], [0.4]], [0.1, 0.1], {"spearman", "pearson", "r2"}),
        ("regression", [[0.5]], [0.1], {"spearman", "pearson", "r2"}),
        ("classification", [[0.9, 0.1], [0.2, 0.8]], [0, 0], {"mcc", "auroc"}),
        ("classification", [[0.9, 0.1], [0.8, 0.2]], [0, 1], set()),
    ],
)
def test_what_is_not_defined_is_none_and_never_nan(task: Any, answers: Any, truth: Any, undefined: set[str]) -> None:
    classes = ("a", "b") if task == "classification" else ()
    found = score(Task(task, "sequence", "label", classes), np.array(answers), np.array(truth))
    assert {name for name, value in found.items() if value is None} == undefined
    json.dumps(found, allow_nan=False)
