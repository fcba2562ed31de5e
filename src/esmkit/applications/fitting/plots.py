"""Pictures of how well a predictor does: predicted against actual numbers; ROC curves and confusion of classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications.fitting.result import Answered, Fit
from esmkit.applications.predictors.card import Task

_DPI = 120


def draw(fit: Fit, folder: Path) -> list[Path]:
    """Draws what was said of the test part, or of held-out folds where there is none.

    Args:
        fit: what to draw.
        folder: for `predicted.png`, or for `roc.png` and `confusion.png`.

    Returns:
        The pictures.
    """
    from matplotlib.figure import Figure

    task, answered = fit.card.task, fit.answered
    part = "test" if answered.part == "test" else "held-out folds of train"
    title = f"{task.label}: {part}, {len(answered.targets):,} proteins"
    pictures = {"predicted": _predicted} if task.kind == "regression" else {"roc": _roc, "confusion": _confusion}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, paint in pictures.items():
        side = 5.2 if name != "confusion" else max(4.4, 2.6 + 0.42 * len(task.classes))
        figure = Figure(figsize=(side, side * 0.92), layout="constrained")
        axes = figure.add_subplot()
        paint(axes, answered, task)
        axes.set_title(title, fontsize=10, parse_math=False)
        paths.append(folder / f"{name}.png")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # letters of a name that the font lacks are drawn as boxes
            figure.savefig(paths[-1], dpi=_DPI)
    return paths


def _predicted(axes: Any, answered: Answered, task: Task) -> None:
    predicted = answered.answers[:, 0]
    both = np.concatenate([predicted, answered.targets])
    ends = [both.min(), both.max()]
    axes.plot(ends, ends, color="black", linewidth=0.8, alpha=0.5)
    few = min(1.0, 60 / len(predicted) ** 0.5)
    axes.scatter(answered.targets, predicted, s=14, alpha=max(0.15, few * 0.6), color="tab:blue", linewidths=0)
    axes.set_xlabel(f"measured {task.label}", parse_math=False)
    axes.set_ylabel(f"predicted {task.label}", parse_math=False)
    axes.grid(alpha=0.3)


def _roc(axes: Any, answered: Answered, task: Task) -> None:
    from sklearn.metrics import auc, roc_curve

    for number in _shown(task.classes):
        is_it = answered.targets == number
        if 0 < is_it.sum() < len(is_it):
            wrong, right, _ = roc_curve(is_it, answered.answers[:, number])
            label = f"{task.classes[number]} ({auc(wrong, right):.2f})"
            axes.plot(wrong, right, linewidth=1.4, label=label.replace("$", r"\$"))
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, alpha=0.5)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, title="class (area)", title_fontsize=7)


def _shown(classes: Sequence[str]) -> list[int]:
    """Of two classes the curve of the second says everything."""
    return [1] if len(classes) == 2 else list(range(len(classes)))


def _confusion(axes: Any, answered: Answered, task: Task) -> None:
    from sklearn.metrics import confusion_matrix

    every = range(len(task.classes))
    counts = confusion_matrix(answered.targets, answered.answers.argmax(-1), labels=list(every))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in every:
        for column in every:
            color = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=7, color=color)
    names = [name.replace("$", r"\$") for name in task.classes]
    axes.set_xticks(every, names, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(every, names, fontsize=7)
    axes.set(xlabel="predicted", ylabel="actual; colour: share of the row")
