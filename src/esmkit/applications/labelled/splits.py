"""Which rows are for training, which for choosing when to stop, and which for the final test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from esmkit.errors import InvalidInputError, InvalidRecordError
from esmkit.types import IntArray, Record

PARTS = ("train", "valid", "test")
TENTHS = {"valid": 4, "test": 9}
"""Which of ten sequences is drawn for a part."""


def by_column(records: Sequence[Record], cells: Sequence[str], column: str) -> list[str]:
    """The part of every row as a column says it.

    Raises:
        InvalidRecordError: a cell holds something else.
    """
    parts = [cell.strip().lower() for cell in cells]
    for record, part, cell in zip(records, parts, cells, strict=True):
        if part not in PARTS:
            source, line = (record.origin.source, record.origin.line) if record.origin else (None, None)
            raise InvalidRecordError(
                f"{source}, line {line}, record {record.id!r}: column {column!r} holds {cell!r}; write one of "
                f"{', '.join(PARTS)}",
                record_id=record.id,
                source=source,
                line=line,
            )
    return parts


def at_random(
    sequences: Sequence[str], strata: Sequence[str], candidates: IntArray, wanted: Sequence[str], seed: int
) -> Mapping[str, IntArray]:
    """Draws a tenth of the candidates for each wanted part.

    Rows of one sequence stay together, and every stratum (class) gives its share, its first sequence to training.

    Args:
        sequences: of all rows.
        strata: of all rows.
        candidates: int64 numbers of rows to draw from.
        wanted: parts.
        seed: of the draw.

    Raises:
        InvalidInputError: there are too few sequences.
    """
    rows: dict[str, list[int]] = {}
    for row in candidates.tolist():
        rows.setdefault(sequences[row], []).append(row)
    shuffled = np.random.default_rng(seed).permutation(len(rows)).tolist()
    distinct = list(rows)
    dealt: dict[str, list[str]] = {}
    for number in shuffled:
        dealt.setdefault(strata[rows[distinct[number]][0]], []).append(distinct[number])
    later = [sequence for stratum in sorted(dealt) for sequence in dealt[stratum][1:]]
    drawn = {part: [row for each in later[TENTHS[part] :: 10] for row in rows[each]] for part in wanted}
    if not all(drawn.values()):
        raise InvalidInputError(
            f"{len(rows)} different sequences are too few to draw {' and '.join(wanted)} from them; name the parts "
            "with --split-column, or give --valid and --test"
        )
    return {part: np.array(sorted(numbers)) for part, numbers in drawn.items()}
