"""Proteins with labels as packed batches.

Shape suffixes: T packed tokens, M residues among them, n lines: proteins, or residues of proteins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from esmkit.alphabet import ResiduePolicy, num_residues, tokenize
from esmkit.applications.labelled import Columns, Labelled, read_rows, splits
from esmkit.applications.labelled.labels import Values, is_label
from esmkit.applications.predictors.card import Task
from esmkit.batching import LengthPolicy, collate, pack, window_rows, windows
from esmkit.training.stream import Epochs, Order, batch_ends
from esmkit.types import FloatArray, IntArray


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
class LabelledSet(Labelled):
    """Proteins with labels, to be packed.

    Attributes:
        spans: windows of each, see `batching.windows`.
    """

    spans: Sequence[list[tuple[int, int]]] = field(kw_only=True)

    @classmethod
    def of(cls, data: Labelled, length: LengthPolicy) -> LabelledSet:
        """With the windows of a policy for long sequences; residues that it cuts off lose their labels.

        Raises:
            SequenceTooLongError: the policy refuses a sequence.
        """
        spans = [windows(record, num_residues(record.sequence), length) for record in data.records]
        values = data.values
        if data.task.level == "residue":
            values = [value[: span[-1][1]] for value, span in zip(values, spans, strict=True)]
        return cls(data.task, data.records, values, data.parts, data.drawn, spans=spans)

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

    def batches(self, part: str, token_budget: int) -> Iterable[LabelledBatch]:
        """Every protein of a part once, proteins of like length together."""
        members = self.parts[part]
        for places in pack(self.num_tokens[members].tolist(), token_budget):
            yield self.batch(members[places].tolist())


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
    rows = read_rows(sources, columns, task, residues=residues)
    drawn = () if "valid" in rows.parts else ("valid",) if rows.named else ("valid", "test")
    sequences = [record.sequence for record in rows.records]
    random = splits.at_random(sequences, rows.strata(), rows.parts["train"], drawn, seed)
    return LabelledSet.of(rows.finish(random), length or LengthPolicy())
