"""Labelled tables: read, checked, and in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from esmkit.alphabet import ResiduePolicy, clean
from esmkit.applications.labelled import splits
from esmkit.applications.labelled.labels import Values, class_names, class_numbers, is_label, numbers, parse
from esmkit.applications.predictors.card import Task
from esmkit.errors import InvalidInputError
from esmkit.inputs import open_records
from esmkit.types import IntArray, Record


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table holds what; None means the usual names, and no column for the split."""

    label: str
    id: str | None = None
    sequence: str | None = None
    split: str | None = None

    def read(self, source: str) -> Iterable[Record]:
        """The rows of a table; their cells are the label, then the split if there is one."""
        others = {"label": self.label} | ({"split": self.split} if self.split else {})
        return open_records(source, id_column=self.id, sequence_column=self.sequence, other_columns=others)


@dataclass(frozen=True)
class Labelled:
    """Proteins with labels.

    Attributes:
        task: what is to be predicted.
        records: clean.
        values: labels of each: one number, or one per residue.
        parts: numbers of the proteins in `train`, and perhaps `valid` and `test`.
        drawn: parts that were drawn at random.
    """

    task: Task
    records: Sequence[Record]
    values: Sequence[Values]
    parts: Mapping[str, IntArray]
    drawn: tuple[str, ...] = ()

    def labels(self, part: str) -> Values:
        """All labels of a part."""
        values: Any = np.concatenate([self.values[member] for member in self.parts[part].tolist()])
        return values[is_label(values)]  # type: ignore[no-any-return]

    def sha256(self) -> str:
        """Tells these sequences, labels and parts from any others."""
        digest = hashlib.sha256("\n".join(record.sequence for record in self.records).encode())
        for values in (*self.values, *(self.parts[part] for part in sorted(self.parts))):
            digest.update(values.tobytes())
        return digest.hexdigest()

    def shared(self, part: str) -> int:
        """Proteins of a part whose very sequence is among those of training too."""
        known = {self.records[number].sequence for number in self.parts["train"].tolist()}
        return sum(self.records[number].sequence in known for number in self.parts[part].tolist())


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows of labelled tables as they were read, before it is known which of them are learnt from.

    Attributes:
        task: what is to be predicted.
        records: clean.
        labels: of each, as text.
        parts: numbers of the rows in each part that was named; what was not is `train`.
        named: whether anything was said of parts.
    """

    task: Task
    records: Sequence[Record]
    labels: Sequence[list[str | None]]
    parts: Mapping[str, IntArray]
    named: bool

    def strata(self) -> list[str]:
        """What every part should have its share of: the classes of proteins."""
        by_class = self.task.level == "sequence" and self.task.kind == "classification"
        return [(label[0] or "") if by_class else "" for label in self.labels]

    def finish(self, drawn: Mapping[str, IntArray]) -> Labelled:
        """Labels as numbers, once it is known what there is to learn from.

        Args:
            drawn: parts that are drawn from the train part.

        Raises:
            InvalidInputError: all labels are the same.
            InvalidRecordError: a label is no number, or a class that the train part has not.
        """
        train = np.setdiff1d(self.parts["train"], np.concatenate([[], *drawn.values()]).astype(np.int64))
        found = {**self.parts, **drawn, "train": train}
        parts = {part: found[part] for part in splits.PARTS if part in found}
        known = [label for number in train.tolist() for label in self.labels[number]]
        task = self.task
        if len({label for label in known if label is not None}) < 2:
            raise InvalidInputError(
                f"the column {task.label!r} says {next(filter(None, known))!r} in every row of the train part; there "
                "is nothing to learn where nothing differs"
            )
        if task.kind == "classification":
            task = replace(task, classes=class_names(known))
        convert: Any = class_numbers if task.kind == "classification" else numbers
        values = [convert(record, label, task) for record, label in zip(self.records, self.labels, strict=True)]
        return Labelled(task, self.records, values, parts, tuple(drawn))


def read_rows(
    sources: Mapping[str, str], columns: Columns, task: Task, *, residues: ResiduePolicy | None = None
) -> LabelledRows:
    """Reads and checks tables of labelled proteins.

    Args:
        sources: `train`, and perhaps `valid` and `test`: paths of tables.
        columns: where these hold what.
        task: what is to be predicted; its classes are found later.
        residues: what may be repaired in sequences.

    Raises:
        InvalidInputError: a table cannot be read, or no row is for training.
        InvalidRecordError, InvalidSequenceError: a row is of no use; names it, and why.
    """
    read = [(part, record) for part, source in sources.items() for record in columns.read(source)]
    records = [clean(replace(record, index=index), residues) for index, (_, record) in enumerate(read)]
    labels = [parse(record, record.cells[0], task) for record in records]
    if columns.split:
        named = splits.by_column(records, [record.cells[1] for record in records], columns.split)
    else:
        named = [part for part, _ in read]
    parts: dict[str, IntArray] = {
        part: np.flatnonzero(np.array(named) == part) for part in splits.PARTS if part in named
    }
    if "train" not in parts:
        raise InvalidInputError(f"no row has 'train' in column {columns.split!r}; name the rows to train on")
    return LabelledRows(task, records, labels, parts, bool(columns.split) or set(parts) != {"train"})
