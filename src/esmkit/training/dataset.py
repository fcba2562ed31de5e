"""Proteins with labels: read, checked, split, and as packed batches.

Shape suffixes: T packed tokens, M residues among them, n lines: proteins, or residues of proteins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from esmkit.alphabet import ResiduePolicy, clean, num_residues, tokenize
from esmkit.applications.predictors.card import Task
from esmkit.batching import LengthPolicy, collate, pack, window_rows, windows
from esmkit.errors import InvalidInputError
from esmkit.inputs import open_records
from esmkit.training import splits
from esmkit.training.labels import Values, class_names, class_numbers, is_label, numbers, parse
from esmkit.training.stream import Epochs, Order, batch_ends
from esmkit.types import FloatArray, IntArray, Record


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


@dataclass(frozen=True, slots=True)
class LabelledBatch:
    """Rows with what is to be learnt of them.

    Attributes:
        numbers: of the proteins in the set, in the order of the lines.
        tokens: int64 [T].
        bounds: row boundaries within T.
        at: int64 [M], index into T of every residue.
        line: int64 [M], the line that it is part of.
        weight: float32 [M], with which.
        num_lines: n.
        labelled: int64 [k], the lines that have a label.
        targets: [k], float32 or int64.
    """

    numbers: tuple[int, ...]
    tokens: IntArray
    bounds: tuple[int, ...]
    at: IntArray
    line: IntArray
    weight: FloatArray
    num_lines: int
    labelled: IntArray
    targets: Values


@dataclass(frozen=True)
class LabelledSet:
    """Proteins with labels.

    Attributes:
        task: what is to be predicted.
        records: clean.
        values: labels of each: one number, or one per residue that is computed.
        spans: windows of each, see `batching.windows`.
        parts: numbers of the proteins in `train`, `valid` and, if there is one, `test`.
        drawn: parts that were drawn at random.
    """

    task: Task
    records: Sequence[Record]
    values: Sequence[Values]
    spans: Sequence[list[tuple[int, int]]]
    parts: Mapping[str, IntArray]
    drawn: tuple[str, ...] = ()

    @cached_property
    def num_tokens(self) -> IntArray:
        """Tokens of each protein, int64."""
        return np.array([sum(stop - start + 2 for start, stop in spans) for spans in self.spans])

    @cached_property
    def first_lines(self) -> IntArray:
        """Where the lines of each protein start in a table of all of them, and how many there are, int64."""
        return np.concatenate(([0], np.cumsum([len(values) for values in self.values])))

    def batch(self, members: Sequence[int]) -> LabelledBatch:
        """Packs proteins."""
        by_residue = self.task.level == "residue"
        rows, places, lines, weights = [], [], [], []
        num_tokens = num_lines = 0
        for member in members:
            ids, length = tokenize(self.records[member].sequence), self.spans[member][-1][1]
            for row in window_rows(ids, self.spans[member]):
                residues = np.arange(row.num_residues)
                rows.append(row)
                places.append(num_tokens + 1 + residues)
                lines.append(num_lines + (row.start + residues if by_residue else 0 * residues))
                weight = np.ones(len(residues), np.float32) if row.weights is None else row.weights
                weights.append(weight if by_residue else weight / np.float32(length))
                num_tokens += len(row.tokens)
            num_lines += len(self.values[member])
        packed = collate(rows)
        values = np.concatenate([self.values[member] for member in members])
        labelled = np.flatnonzero(is_label(values))
        return LabelledBatch(
            numbers=tuple(members),
            tokens=packed.tokens,
            bounds=tuple(packed.cu_seqlens.tolist()),
            at=np.concatenate(places),
            line=np.concatenate(lines),
            weight=np.concatenate(weights),
            num_lines=num_lines,
            labelled=labelled,
            targets=values[labelled],
        )

    def labels(self, part: str) -> Values:
        """All labels of a part."""
        values: Any = np.concatenate([self.values[member] for member in self.parts[part].tolist()])
        return values[is_label(values)]  # type: ignore[no-any-return]

    def batches(self, part: str, token_budget: int) -> Iterable[LabelledBatch]:
        """Every protein of a part once, proteins of like length together."""
        members = self.parts[part]
        for places in pack(self.num_tokens[members].tolist(), token_budget):
            yield self.batch(members[places].tolist())

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
class LabelledStream(Epochs[Order, LabelledBatch]):
    """The train part in random order, again and again.

    Attributes:
        data: the set.
        token_budget: tokens of a batch at most; a protein that is longer is a batch of its own.
        seed: of the order.
    """

    data: LabelledSet
    token_budget: int
    seed: int

    def plan(self, epoch: int) -> Order:
        """The order of an epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.data.parts["train"])
        return Order(order, batch_ends(self.data.num_tokens[order].tolist(), self.token_budget))

    def batch(self, plan: Order, epoch: int, number: int) -> LabelledBatch:
        """One batch, longest proteins first, so that rows of equal length are neighbours."""
        members = plan.order[plan.places(number)]
        return self.data.batch(members[np.argsort(-self.data.num_tokens[members], kind="stable")].tolist())


def read_labelled(
    sources: Mapping[str, str],
    columns: Columns,
    task: Task,
    *,
    residues: ResiduePolicy | None = None,
    length: LengthPolicy | None = None,
    seed: int = 0,
) -> LabelledSet:
    """Reads, checks and splits tables of labelled proteins.

    A part that is neither named by the split column nor a file of its own is drawn at random from the train part:
    `valid` always, `test` only where nothing at all is said of parts.

    Args:
        sources: `train`, and perhaps `valid` and `test`: paths of tables.
        columns: where these hold what.
        task: what is to be predicted; its classes are found here.
        residues: what may be repaired in sequences.
        length: what happens to long sequences.
        seed: of a random split.

    Raises:
        InvalidInputError: a table cannot be read, or has too few rows for a part.
        InvalidRecordError, InvalidSequenceError, SequenceTooLongError: a row is of no use; names it, and why.
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
    nothing_said = set(parts) == {"train"} and not columns.split
    drawn = ("valid", "test") if nothing_said else () if "valid" in parts else ("valid",)
    by_class = task.level == "sequence" and task.kind == "classification"
    strata = [(label[0] or "") if by_class else "" for label in labels]
    random = splits.at_random([record.sequence for record in records], strata, parts["train"], drawn, seed)
    for part, members in random.items():
        parts["train"] = np.setdiff1d(parts["train"], members)
        parts[part] = members
    parts = {part: parts[part] for part in splits.PARTS if part in parts}
    return _labelled(records, labels, task, parts, drawn, length or LengthPolicy())


def _labelled(
    records: Sequence[Record],
    labels: Sequence[list[str | None]],
    task: Task,
    parts: Mapping[str, IntArray],
    drawn: tuple[str, ...],
    length: LengthPolicy,
) -> LabelledSet:
    """Labels as numbers, once it is known what there is to learn."""
    train = [label for number in parts["train"].tolist() for label in labels[number]]
    if len({label for label in train if label is not None}) < 2:
        raise InvalidInputError(
            f"the column {task.label!r} says {next(filter(None, train))!r} in every row of the train part; there is "
            "nothing to learn where nothing differs"
        )
    if task.kind == "classification":
        task = replace(task, classes=class_names(train))
    convert: Any = class_numbers if task.kind == "classification" else numbers
    values = [convert(record, label, task) for record, label in zip(records, labels, strict=True)]
    spans = [windows(record, num_residues(record.sequence), length) for record in records]
    if task.level == "residue":
        values = [value[: span[-1][1]] for value, span in zip(values, spans, strict=True)]
    return LabelledSet(task, records, values, spans, parts, drawn)
