"""predictor.json: what a predictor predicts, from which model, and how well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from esmkit.errors import WeightsError
from esmkit.models.tensorfiles import read_json, unreadable

CARD = "predictor.json"
FORMAT = 1
"""Version of the layout of the file."""

TaskKind = Literal["regression", "classification"]
Level = Literal["sequence", "residue"]
Pooling = Literal["mean", "max", "bos", "none"]


@dataclass(frozen=True, slots=True)
class Task:
    """What is predicted.

    Attributes:
        kind: a number, or one of several classes.
        level: for a protein as a whole, or for each of its residues.
        label: the column of the training data that holds it.
        classes: in the order of their probabilities; a single character each per residue; none for a regression.
    """

    kind: TaskKind
    level: Level
    label: str
    classes: tuple[str, ...] = ()

    @property
    def num_outputs(self) -> int:
        """Numbers per prediction: one, or a probability for each class."""
        return len(self.classes) or 1


@dataclass(frozen=True, slots=True)
class Base:
    """The model whose representations are read.

    Attributes:
        slug: its name.
        source: where it was found; a relative path is inside the folder of the predictor.
        weights_sha256: of its weights: no other model will do.
    """

    slug: str
    source: str
    weights_sha256: str

    def locate(self, folder: Path) -> str:
        """The path or name under which it is to be loaded."""
        path = folder / self.source
        return str(path) if path.exists() else self.slug


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that predictor.json says.

    Attributes:
        kind: which module reads what lies beside it, see `predictor.KINDS`.
        task: what is predicted.
        base: from which model.
        layers: layers of it, 0..N, whose representations are joined.
        pooling: how residues become one vector; `none` where residues are predicted.
        settings: what its kind wants to remember, as JSON.
        metrics: by part of the data, then by name; a metric that is undefined is None.
        provenance: how it was made.
    """

    kind: str
    task: Task
    base: Base
    layers: tuple[int, ...]
    pooling: Pooling
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes predictor.json."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / CARD).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Reads predictor.json.

        Raises:
            WeightsError: the folder holds none, or it is damaged or newer than this esmkit.
        """
        path = folder / CARD
        if not path.is_file():
            raise WeightsError(f"{folder} is no predictor: it holds no {CARD}", path=str(path))
        content = read_json(path)
        if content.pop("format", None) != FORMAT:
            raise WeightsError(f"{path} is not of format {FORMAT}; this esmkit reads no other", path=str(path))
        try:
            task, base = content["task"], content["base"]
            content["task"] = Task(**task | {"classes": tuple(task["classes"])})
            content["base"] = Base(**base)
            content["layers"] = tuple(content["layers"])
            return cls(**content)
        except (KeyError, TypeError) as error:
            raise unreadable(path, error) from error
