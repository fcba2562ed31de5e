"""Labels: what a cell of a table says of a protein, or of each of its residues.

Per residue, classes are a string of one character each (as DSSP is written) and numbers a list with spaces, commas or
semicolons between them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from esmkit.alphabet import num_residues
from esmkit.applications.predictors.card import Task
from esmkit.errors import InvalidRecordError
from esmkit.types import FloatArray, IntArray, Record

UNLABELLED = "?"
"""Stands for a residue of which nothing is known."""
NO_CLASS = -1
_LARGEST = float(np.finfo(np.float32).max)
_BETWEEN_NUMBERS = re.compile(r"[\s,;]+")

Values = FloatArray | IntArray
"""float32 numbers, NaN where there is no label; or int64 numbers of classes, NO_CLASS where there is none."""


def parse(record: Record, cell: str, task: Task) -> list[str | None]:
    """The labels of a cell as text: one, or one per residue; None where a residue has none.

    Raises:
        InvalidRecordError: the cell is empty, or holds another number of labels than there are residues.

    Example:
        >>> parse(Record(0, "a", "MKT"), "HH?", Task("classification", "residue", "dssp"))
        ['H', 'H', None]
    """
    if task.level == "sequence":
        labels: list[str | None] = [cell.strip() or None]
    elif task.kind == "classification":
        labels = [None if letter == UNLABELLED else letter for letter in cell]
    else:
        parts = _BETWEEN_NUMBERS.split(cell.strip())
        labels = [None if part == UNLABELLED else part for part in parts if part]
    if all(label is None for label in labels):
        raise unusable(record, task, "holds no label; fill it in, or remove the row")
    expected = 1 if task.level == "sequence" else num_residues(record.sequence)
    if len(labels) != expected:
        raise unusable(
            record,
            task,
            f"holds {len(labels)} labels for {expected} residues; give one per residue, {UNLABELLED} if unknown",
        )
    return labels


def numbers(record: Record, labels: Sequence[str | None], task: Task) -> FloatArray:
    """The labels as numbers.

    Raises:
        InvalidRecordError: one is no finite number; names the residue.
    """
    values = np.full(len(labels), np.nan, dtype=np.float32)
    for index, label in enumerate(labels):
        if label is None:
            continue
        try:
            number = float(label)
        except ValueError:
            number = math.nan
        if not abs(number) <= _LARGEST:
            raise unusable(
                record,
                task,
                f"holds {label!r}{_at(index, task)}, which is no finite number; mend or remove it, or choose --task "
                "classification for names",
            )
        values[index] = number
    return values


def class_numbers(record: Record, labels: Sequence[str | None], task: Task) -> IntArray:
    """The labels as places in `task.classes`.

    Raises:
        InvalidRecordError: a class is none of them; names the residue.
    """
    known = {name: number for number, name in enumerate(task.classes)}
    for index, label in enumerate(labels):
        if label is not None and label not in known:
            raise unusable(
                record,
                task,
                f"holds the class {label!r}{_at(index, task)}, which no row of the train part has; add one there, "
                "remove this row, or choose another --seed where the split is random (for numbers: --task regression)",
            )
    return np.array([NO_CLASS if label is None else known[label] for label in labels], dtype=np.int64)


def is_label(values: Values) -> np.ndarray[Any, np.dtype[np.bool]]:
    """Which values are labels and not gaps."""
    return values != NO_CLASS if values.dtype.kind == "i" else ~np.isnan(values)


def class_names(labels: Iterable[str | None]) -> tuple[str, ...]:
    """Every class once: in the order of numbers where all are numbers, else of the alphabet.

    Example:
        >>> class_names(["10", "9", None, "9"]), class_names(["b", "10"])
        (('9', '10'), ('10', 'b'))
    """
    names = sorted({label for label in labels if label is not None})
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(names)


def unusable(record: Record, task: Task, reason: str) -> InvalidRecordError:
    """The error for a row that cannot be learnt from."""
    origin = record.origin
    place = f"{origin.source}, line {origin.line}, " if origin else ""
    return InvalidRecordError(
        f"{place}record {record.id!r}: column {task.label!r} {reason}",
        record_id=record.id,
        source=origin.source if origin else None,
        line=origin.line if origin else None,
    )


def _at(index: int, task: Task) -> str:
    return f" at position {index + 1}" if task.level == "residue" else ""
