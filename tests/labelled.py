"""Small labelled proteins and a small model for the tests of training on labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import esmkit
from esmkit.alphabet import STANDARD
from esmkit.applications.labelled import Columns
from esmkit.applications.predictors import Task
from esmkit.batching import LengthPolicy
from esmkit.engine import Model
from esmkit.models.save import save_pretrained
from esmkit.training.budget import Budget
from esmkit.training.dataset import LabelledSet, read_labelled
from esmkit.training.features import FrozenFeatures
from esmkit.training.finetune import identity, on_frozen_model, on_model_in_training
from esmkit.training.folder import TrainingFolder
from esmkit.training.loop import Conduct
from esmkit.training.recipe import Recipe
from esmkit.training.start import initialised
from esmkit.training.supervised import PRODUCT, Adapter, Design, LabelTraining
from esmkit.types import ModelShape

SHAPE = ModelShape(2, 16, 2)
REGRESSION = Task("regression", "sequence", "label")
RESIDUES = Task("classification", "residue", "label")


def save_model(folder: Path, *, seed: int = 0) -> Path:
    """A model of random weights as a folder."""
    return save_pretrained(initialised(SHAPE, seed=seed, device=torch.device("cpu")), folder, about={"slug": "tiny"})


def proteins(number: int, *, seed: int = 0, letters: str = STANDARD) -> list[str]:
    """Random sequences of 20 to 50 residues."""
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice([*letters], size)) for size in generator.integers(20, 51, number)]


def share_of(letters: str, sequence: str) -> float:
    """A property that composition tells."""
    return round(sum(sequence.count(letter) for letter in letters) / len(sequence), 4)


def after(letter: str, sequence: str) -> str:
    """A property of residues that only their neighbour tells: Y follows the letter, N does not."""
    return "".join("Y" if before == letter else "N" for before in " " + sequence[:-1])


def write_table(path: Path, rows: Sequence[Sequence[Any]], header: Sequence[str] = ("sequence", "label")) -> Path:
    """A CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def solubility(path: Path, number: int = 150) -> Path:
    """A table with a label per protein."""
    return write_table(path, [(sequence, share_of("AC", sequence)) for sequence in proteins(number, letters="ACDEFG")])


def neighbours(path: Path, number: int = 60) -> Path:
    """A table with a label per residue."""
    return write_table(path, [(sequence, after("A", sequence)) for sequence in proteins(number, letters="ACDE")])


def read(source: Path, task: Task, **options: Any) -> LabelledSet:
    """A table as the command reads it."""
    return read_labelled({"train": str(source)}, Columns("label"), task, **options)


def design(model: Model, adapter: Adapter) -> Design:
    """What is trained, on the last layer."""
    return Design(model.provenance, (model.shape.num_layers,), 0, adapter, {})


def recipe(epochs: float = 3, **options: Any) -> Recipe:
    """Short."""
    steps = {"batch_tokens": 400, "accumulate": 1, "warmup_steps": 2, "learning_rate": 0.01}
    return Recipe(Budget("epochs", epochs), validations=int(epochs), **steps | options)


@contextmanager
def head_training(
    out: Path, base: Path, data: LabelledSet, how: Recipe, conduct: Conduct | None = None
) -> Iterator[LabelTraining]:
    """A head on a frozen model."""
    model = esmkit.load(base)
    what = design(model, Adapter())
    with TrainingFolder(out, identity(data, what, how), product=PRODUCT) as folder:
        features = FrozenFeatures.of(model, data, what.layers, LengthPolicy(), folder.path)
        yield on_frozen_model(features, data, what, how, folder, conduct)


@contextmanager
def model_training(
    out: Path,
    base: Path,
    start: Path,
    data: LabelledSet,
    how: Recipe,
    adapter: Adapter,
    conduct: Conduct | None = None,
) -> Iterator[LabelTraining]:
    """A head that was trained before, and the model below it."""
    model = esmkit.load(base)
    what = design(model, adapter)
    with TrainingFolder(out, identity(data, what, how), product=PRODUCT) as folder:
        yield on_model_in_training(model, start, data, what, how, folder, conduct)
