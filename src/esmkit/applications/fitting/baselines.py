"""Features that need no model: what embeddings have to beat.

Shape suffixes: n proteins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.errors import InvalidRecordError
from esmkit.types import FloatArray, Record

Baseline = Literal["composition", "onehot"]


def composition(records: Sequence[Record]) -> FloatArray:
    """Shares of the 20 amino acids and the logarithm of the length, float64 [n, 21].

    Example:
        >>> composition([Record(0, "a", "LLAG")])[0, :3].tolist()
        [0.5, 0.25, 0.25]
    """
    rows = [
        [*(record.sequence.count(letter) / len(record.sequence) for letter in STANDARD), np.log(len(record.sequence))]
        for record in records
    ]
    return np.array(rows)


def onehot(records: Sequence[Record]) -> Any:
    """Which residue stands at each position of sequences of one length, such as the variants of a protein.

    Returns:
        A sparse table of zeros and ones, float64 [n, positions that vary x letters].

    Raises:
        InvalidRecordError: a sequence is longer or shorter than the first.
    """
    from scipy.sparse import csr_array

    length = len(records[0].sequence)
    for record in records:
        if len(record.sequence) != length:
            raise _of_other_length(record, records[0])
    letters = np.array([list(record.sequence.encode()) for record in records])
    letters = letters[:, (letters != letters[0]).any(axis=0)]
    kinds, columns = np.unique(letters + np.arange(letters.shape[1]) * 128, return_inverse=True)
    bounds = np.arange(len(records) + 1) * letters.shape[1]
    return csr_array((np.ones(columns.size), columns.ravel(), bounds), shape=(len(records), len(kinds)))


def _of_other_length(record: Record, first: Record) -> InvalidRecordError:
    source, line = (record.origin.source, record.origin.line) if record.origin else (None, None)
    return InvalidRecordError(
        f"{source}, line {line}, record {record.id!r} has {len(record.sequence)} residues, {first.id!r} has "
        f"{len(first.sequence)}; --baseline onehot compares position by position: align the sequences, or choose "
        "--baseline composition",
        record_id=record.id,
        source=source,
        line=line,
    )


BASELINES: Mapping[Baseline, Callable[[Sequence[Record]], Any]] = {"composition": composition, "onehot": onehot}
