"""Amino-acid composition and ridge regression: what a predictor of solubility has to beat.

    python training/esol_baseline.py esol_train.csv esol_test.csv

Features are the shares of the 20 amino acids, and in a second row also the logarithm of the length, standardised. The
strength of the ridge is the one with the smallest squared error in ten-fold cross-validation on the training table
alone; the model is then fitted to all of that table and scored once on the test table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from esmkit.alphabet import STANDARD
from esmkit.applications.labelled.metrics import regression
from esmkit.inputs import open_records

STRENGTHS = np.logspace(-3, 5, 33)


def read(path: Path) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Sequences and labels."""
    records = list(open_records(path, id_column="gene", other_columns={"label": "solubility"}))
    return [record.sequence for record in records], np.array([float(record.cells[0]) for record in records])


def composition(sequences: list[str]) -> np.ndarray[Any, Any]:
    """Shares of the 20 amino acids, [n, 20]."""
    return np.array([[sequence.count(letter) / len(sequence) for letter in STANDARD] for sequence in sequences])


def main() -> None:
    """Prints one JSON object per set of features."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    arguments = parser.parse_args()
    (train, labels), (test, truth) = read(arguments.train), read(arguments.test)
    lengths = {
        path: np.log([[len(sequence)] for sequence in each]) for path, each in (("train", train), ("test", test))
    }
    for name, with_length in (("composition", False), ("composition and length", True)):
        parts = [composition(train), composition(test)]
        if with_length:
            parts = [np.hstack(pair) for pair in zip(parts, lengths.values(), strict=True)]
        folds = KFold(10, shuffle=True, random_state=0)
        ridge = RidgeCV(STRENGTHS, cv=folds, scoring="neg_mean_squared_error")
        model = make_pipeline(StandardScaler(), ridge).fit(parts[0], labels)
        facts = {"features": name, "ridge": ridge.alpha_, "train": len(train), "test": len(test)}
        print(json.dumps(facts | dict(regression(model.predict(parts[1]), truth))))


if __name__ == "__main__":
    main()
