"""The loss curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import demand_module

POINTS = 400
"""Dots of the training loss: each is the mean of that many-th part of the run."""


def demand_matplotlib() -> None:
    """Finds out before a run of hours.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    demand_module("matplotlib.backends.backend_agg", reason="--plot needs matplotlib", extra="plot")


def draw(lines: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draws training and validation loss over tokens.

    Args:
        lines: of the log.
        path: a .png, .pdf or .svg.
        title: over the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.add_subplot()
    steps = np.array([(line["tokens"], line["loss"]) for line in lines if "loss" in line])
    if len(steps):
        means = np.array([part.mean(axis=0) for part in np.array_split(steps, min(POINTS, len(steps)))])
        axes.plot(*means.T, color="tab:blue", alpha=0.6, linewidth=1, label="training")
    scores = np.array([(line["tokens"], line["validation_loss"]) for line in lines if "validation_loss" in line])
    if len(scores):
        axes.plot(*scores.T, "o-", color="tab:orange", markersize=4, label="validation")
    axes.set(xlabel="tokens", ylabel="cross-entropy of hidden residues (nats)")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
