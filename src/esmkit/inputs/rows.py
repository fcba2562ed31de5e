"""Tables as they are, for what has more columns than an id and a sequence: names, then rows of text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from esmkit.errors import InvalidInputError
from esmkit.inputs.parquet import opened_parquet, text_rows
from esmkit.inputs.source import COMPRESSIONS, STDIN, as_utf8
from esmkit.inputs.tables import delimited_rows
from esmkit.types import Origin

Row = tuple[Origin, list[str]]
_DELIMITERS = {".tsv": "\t", ".tab": "\t"}


def open_rows(path: str | os.PathLike[str]) -> tuple[list[str], Iterator[Row]]:
    """The column names of a table and its rows, in order, streaming; every cell is text, a missing one is empty.

    Args:
        path: `.parquet`, `.tsv` or `.tab`, otherwise CSV; text may be compressed; `-` is CSV on standard input.

    Returns:
        Names, and rows with the line where each starts (of Parquet, as if it had been written as CSV).

    Raises:
        InvalidInputError: the table cannot be read, has no rows, or two columns have one name; later, a row is
            malformed.

    Example:
        >>> names, rows = open_rows("scores.csv")  # doctest: +SKIP
    """
    source = os.fspath(path)
    suffixes = [suffix for suffix in Path(source.lower()).suffixes if suffix not in COMPRESSIONS]
    suffix = suffixes[-1] if suffixes and source != STDIN else ""
    rows = _parquet(source) if suffix == ".parquet" else _delimited(source, _DELIMITERS.get(suffix, ","))
    _, names = next(rows, (None, []))
    first = next(rows, None)
    if first is None:
        raise InvalidInputError(
            f"{source} holds no rows; give a table with a header and at least one row", source=source
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(f"{source} has several columns named {twice!r}; rename them", source=source, line=1)
    return names, chain([first], rows)


def _delimited(source: str, delimiter: str) -> Iterator[Row]:
    for line, row in delimited_rows(source, delimiter):
        yield Origin(source, line), [as_utf8(cell) for cell in row]


def _parquet(source: str) -> Iterator[Row]:
    with opened_parquet(source) as file:
        yield Origin(source, 1), file.schema_arrow.names
        for line, cells in enumerate(text_rows(file), start=2):
            yield Origin(source, line), cells
