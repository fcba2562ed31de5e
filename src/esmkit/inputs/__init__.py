"""Records in: from files and standard input in any format of this folder, or from sequences given in code."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path

from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.inputs.format import Format
from esmkit.inputs.sequences import from_sequences
from esmkit.inputs.source import COMPRESSIONS
from esmkit.inputs.unique import check_unique
from esmkit.types import Record

__all__ = ["Format", "check_unique", "formats", "from_sequences", "open_records"]

_FALLBACK = "fasta"


@cache
def formats() -> dict[str, Format]:
    """Every format by name, found in the `FORMATS` of the modules of this folder.

    Example:
        >>> sorted(formats())
        ['csv', 'fasta', 'jsonl', 'parquet', 'tsv']
    """
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    declared = chain.from_iterable(getattr(module, "FORMATS", ()) for module in modules)
    return {known.name: known for known in declared}


def open_records(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 (the word of the command line)
    id_column: str | None = None,
    sequence_column: str | None = None,
    other_columns: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """The records of a file, in order, streaming: memory holds one record, or one batch of rows of a Parquet file.

    Args:
        path: the file, or `-` for standard input; plain, .gz, .zst, .bz2 or .xz.
        format: a name of `formats()`; by default as the suffix says, and FASTA where it says nothing.
        id_column: the column of a table that holds the ids; by default id, name, accession or entry, in any case,
            else ids are `row1`, `row2`, ...
        sequence_column: the column of a table that holds the sequences; by default sequence or seq, in any case.
        other_columns: further columns of a table by what they are, such as {"label": "solubility"}, or by the option
            that asked for them, such as {"--color-by dssp": "dssp"}: their text becomes `Record.cells`.

    Raises:
        InvalidInputError: the format is unknown; later, the file cannot be read as records or has none.
        InvalidConfigError: columns are named for a format that has none.

    Example:
        >>> for record in open_records("proteins.fasta"):  # doctest: +SKIP
        ...     print(record.id, len(record.sequence))
    """
    source = os.fspath(path)
    chosen = _by_name(format) if format is not None else _by_suffix(source)
    columns = {"id_column": id_column, "sequence_column": sequence_column}
    others = dict(other_columns or {})
    if chosen.takes_columns:
        return _at_least_one(chosen.read(source, **columns, other_columns=others), source)
    settings = {role if role.startswith("--") else f"{role}_column": name for role, name in others.items()}
    for setting, column in (columns | settings).items():
        if column is not None:
            raise InvalidConfigError(
                f"{setting} is {column!r}, but {source} is read as {chosen.name}, which has no columns; "
                "leave it out or name the format of the table",
                setting=setting,
            )
    return _at_least_one(chosen.read(source), source)


def _by_name(name: str) -> Format:
    if name not in formats():
        raise InvalidInputError(f"{name!r} is no input format; choose one of {', '.join(sorted(formats()))}")
    return formats()[name]


def _by_suffix(source: str) -> Format:
    path = Path(source.lower())
    suffix = path.with_suffix("").suffix if path.suffix in COMPRESSIONS else path.suffix
    return next((known for known in formats().values() if suffix in known.suffixes), formats()[_FALLBACK])


def _at_least_one(records: Iterator[Record], source: str) -> Iterator[Record]:
    first = next(records, None)
    if first is None:
        raise InvalidInputError(f"{source} holds no records; give a file with at least one", source=source)
    yield first
    yield from records
