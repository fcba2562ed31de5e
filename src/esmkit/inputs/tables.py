"""Tables: CSV and TSV through the standard library, Parquet through pyarrow, row by row with chosen columns.

CSV goes through the standard library and not through pyarrow because it gives a row as soon as its line has come
through a pipe, knows the line of every row, and never guesses a type: ids such as 007 and 1e5 stay as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

from esmkit.errors import InvalidInputError
from esmkit.inputs.format import Format
from esmkit.inputs.parquet import opened_parquet, text_rows
from esmkit.inputs.source import STDIN, as_utf8, open_text
from esmkit.types import Origin, Record

DEFAULT_COLUMNS = {"id": ("id", "name", "accession", "entry"), "sequence": ("sequence", "seq")}
"""Column names that are looked for, in this order and in any case, where the caller names none."""


def read_delimited(
    source: str,
    *,
    delimiter: str,
    id_column: str | None = None,
    sequence_column: str | None = None,
    other_columns: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """Records of a CSV or TSV file, each as soon as its line has been read.

    Args:
        source: path, or `-` for standard input; plain or compressed.
        delimiter: the character between two cells.
        id_column: its name; by default one of `DEFAULT_COLUMNS`, else ids are `row1`, `row2`, ...
        sequence_column: its name; by default one of `DEFAULT_COLUMNS`.
        other_columns: further columns by what they are, such as {"label": "solubility"}, or by the option that asked,
            such as {"--color-by dssp": "dssp"}; they become `Record.cells`.

    Raises:
        InvalidInputError: the source cannot be read, a column is missing or not unique, or a row is malformed.
    """
    with closing(delimited_rows(source, delimiter)) as rows:
        names = [as_utf8(name) for name in next(rows, (1, []))[1]]
        if not names:
            return
        id_at, sequence_at, *cells_at = _columns(source, names, id_column, sequence_column, other_columns)
        for index, (line, row) in enumerate(rows):
            record_id = f"row{index + 1}" if id_at is None else as_utf8(row[id_at])
            cells = tuple(as_utf8(row[at]) for at in cells_at) if cells_at else ()
            yield Record(index, record_id, row[sequence_at], origin=Origin(source, line), cells=cells)


def read_parquet(
    source: str,
    *,
    id_column: str | None = None,
    sequence_column: str | None = None,
    other_columns: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """Records of a Parquet file, in batches of rows; columns as in `read_delimited`.

    A cell that is null reads as the empty string, a number as its text. The line of a record is its row as if the
    table had been written as CSV: the first one is 2.

    Raises:
        InvalidInputError: the source cannot be read, or a column is missing, not unique, or no text.
    """
    if source == STDIN:
        raise InvalidInputError("Parquet is read from its end: give a file, not standard input", source=source)
    with opened_parquet(source) as file:
        names = file.schema_arrow.names
        id_at, sequence_at, *cells_at = _columns(source, names, id_column, sequence_column, other_columns)
        wanted = [names[at] for at in (sequence_at, *cells_at, id_at) if at is not None]
        for index, (sequence, *others) in enumerate(text_rows(file, wanted)):
            record_id = f"row{index + 1}" if id_at is None else others.pop()
            yield Record(index, record_id, sequence, origin=Origin(source, index + 2), cells=tuple(others))


def delimited_rows(source: str, delimiter: str) -> Generator[tuple[int, list[str]]]:
    """Rows that are not blank, the header first, each with the 1-based line where it starts; text is Latin-1.

    Raises:
        InvalidInputError: the source cannot be read, or a row is malformed or not as long as the header.
    """
    with open_text(source, newline="") as text:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        line, width = 1, 0
        try:
            for row in rows:
                if row:
                    width = width or len(row)
                    if len(row) != width:
                        raise _uneven(source, line, width, len(row))
                    yield line, row
                line = rows.line_num + 1
        except csv.Error as error:
            raise InvalidInputError(
                f"{source}, line {line}: {error}; check the quotes of the row that starts here",
                source=source,
                line=line,
            ) from error


def _uneven(source: str, line: int, width: int, found: int) -> InvalidInputError:
    return InvalidInputError(
        f"{source}, line {line}: the header names {width} columns and this row has {found}; quote cells that hold the "
        "delimiter, and fill missing ones",
        source=source,
        line=line,
    )


def _columns(
    source: str,
    names: Sequence[str],
    id_column: str | None,
    sequence_column: str | None,
    other_columns: Mapping[str, str] | None,
) -> tuple[int | None, int, *tuple[int, ...]]:
    """0-based columns of the id, if there is one, of the sequence, and of the others."""
    id_at = _find(source, names, "id", id_column)
    sequence_at = _find(source, names, "sequence", sequence_column)
    if sequence_at is None:
        raise _missing(source, names, " or ".join(DEFAULT_COLUMNS["sequence"]), " with --sequence-column")
    others_at = (_find(source, names, role, wanted) for role, wanted in (other_columns or {}).items())
    return id_at, sequence_at, *(at for at in others_at if at is not None)


def _find(source: str, names: Sequence[str], role: str, wanted: str | None) -> int | None:
    if wanted is None:
        names = [name.lower() for name in names]
        wanted = next((name for name in DEFAULT_COLUMNS[role] if name in names), None)
        if wanted is None:
            return None
    elif wanted not in names:
        raise _missing(source, names, repr(wanted), _option(role))
    if names.count(wanted) > 1:
        raise InvalidInputError(
            f"{source} has {names.count(wanted)} columns named {wanted!r}; rename them, or choose another one"
            f"{_option(role)}",
            source=source,
            line=1,
        )
    return names.index(wanted)


def _missing(source: str, names: Sequence[str], wanted: str, option: str) -> InvalidInputError:
    return InvalidInputError(
        f"{source} has no column {wanted}; its columns are {', '.join(map(repr, names))}: choose one of them{option}",
        source=source,
        line=1,
    )


def _option(role: str) -> str:
    """How another column is chosen; a role may be an option as it was written, such as `--color-by dssp`."""
    return f" in place of {role}" if role.startswith("--") else f" with --{role}-column"


FORMATS = (
    Format("csv", (".csv",), partial(read_delimited, delimiter=","), takes_columns=True),
    Format("tsv", (".tsv", ".tab"), partial(read_delimited, delimiter="\t"), takes_columns=True),
    Format("parquet", (".parquet",), read_parquet, takes_columns=True),
)
