"""Pairs of proteins, read from a table: two columns of sequences, ids, and whatever else stands in a row."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from esmkit.alphabet import ResiduePolicy, clean
from esmkit.applications.chains import LINKER_LENGTH, ChainedRecord, joined
from esmkit.errors import EsmkitError, InvalidInputError, InvalidRecordError
from esmkit.inputs.rows import open_rows
from esmkit.sinks.format import RESERVED
from esmkit.types import Failure, Origin, Record

SEQUENCE_COLUMNS = ("sequence_a", "sequence_b")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two proteins, the first called A and the second B.

    Attributes:
        index: 0-based place in the input.
        id: of the pair.
        a: the first; its origin names the row.
        b: the second.
        cells: the other columns of the row, as text.
    """

    index: int
    id: str
    a: Record
    b: Record
    cells: Mapping[str, str] = field(default_factory=dict)


def pair_of(a: Record, b: Record) -> Pair:
    """Two records as a pair by itself."""
    return Pair(0, f"{a.id}:{b.id}", a, b)


def read_pairs(path: str | os.PathLike[str], *, columns: Sequence[str] = SEQUENCE_COLUMNS) -> list[Pair]:
    """All pairs of a table.

    The ids of the proteins are in `id_a` and `id_b` (for columns `heavy` and `light`: `id_heavy` and `id_light`), that
    of the pair is in `id`; by default they are made of each other, or of the number of the row.

    Args:
        path: CSV, TSV or Parquet, see `inputs.rows`.
        columns: names of the two columns with the sequences.

    Raises:
        InvalidInputError: the table cannot be read, or a column is missing.
        InvalidRecordError: a sequence is missing, or two pairs have one id; it names the line.
    """
    source = os.fspath(path)
    names, rows = open_rows(source)
    for name in columns:
        if name not in names:
            raise InvalidInputError(
                f"{source} has no column {name!r}; its columns are {', '.join(map(repr, names))}: a table of pairs has "
                f"a row per pair with the columns {columns[0]} and {columns[1]}, and id if you like",
                source=source,
                line=1,
            )
    pairs: list[Pair] = []
    lines: dict[str, int] = {}
    for index, (origin, cells) in enumerate(rows):
        pair = _pair(index, origin, dict(zip(names, cells, strict=True)), columns)
        first = lines.setdefault(pair.id, origin.line)
        if first != origin.line:
            raise _unusable(pair.id, origin, f"has the id of line {first}; give every pair an id of its own")
        pairs.append(pair)
    return pairs


def _pair(index: int, origin: Origin, cells: dict[str, str], columns: Sequence[str]) -> Pair:
    sequences = [cells.pop(column) for column in columns]
    keys = [f"id_{column.removeprefix('sequence_')}" for column in columns]
    given = [cells.pop(key, "") for key in keys]
    pair_id = cells.pop("id", "") or (":".join(given) if all(given) else f"row{index + 1}")
    ids = [name or f"{pair_id}_{key.removeprefix('id_')}" for name, key in zip(given, keys, strict=True)]
    for column, sequence in zip(columns, sequences, strict=True):
        if not sequence:
            raise _unusable(pair_id, origin, f"has nothing in column {column!r}; give at least one residue")
    a, b = (Record(index, name, text, origin=origin) for name, text in zip(ids, sequences, strict=True))
    return Pair(index, pair_id, a, b, {name: text for name, text in cells.items() if name and name not in RESERVED})


def _unusable(pair_id: str, origin: Origin, problem: str) -> InvalidRecordError:
    return InvalidRecordError(
        f"pair {pair_id!r} ({origin.source}, line {origin.line}) {problem}",
        record_id=pair_id,
        source=origin.source,
        line=origin.line,
    )


def linked(
    pair: Pair,
    policy: ResiduePolicy | None = None,
    *,
    linker: int = LINKER_LENGTH,
    on_error: Literal["stop", "skip"] = "stop",
) -> ChainedRecord | Failure:
    """Both proteins of a pair as one record, which brings the pair along.

    Raises:
        UserError: under `stop`, a sequence is not acceptable; it names the protein and the position within it.
    """
    try:
        cleaned = replace(pair, a=clean(pair.a, policy), b=clean(pair.b, policy))
        return joined(pair.index, pair.id, (cleaned.a, cleaned.b), linker=linker, shown={"pair": cleaned})
    except EsmkitError as error:
        if on_error == "stop":
            raise
        return Failure(pair.index, pair.id, error)
