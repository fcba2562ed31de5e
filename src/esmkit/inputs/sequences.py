"""Sequences given in code, as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from esmkit.errors import InvalidInputError
from esmkit.types import Record


def from_sequences(sequences: str | Record | Iterable[str | Record]) -> Iterator[Record]:
    """Records from one sequence or many; records among them keep all but their index.

    Args:
        sequences: text gets the id `seq1`, `seq2`, ... by its place; a record's index becomes its 0-based place.

    Raises:
        InvalidInputError: an item is neither text nor a Record.

    Example:
        >>> [record.id for record in from_sequences(["MKT", Record(7, "P69905", "MVLS")])]
        ['seq1', 'P69905']
    """
    for index, item in enumerate([sequences] if isinstance(sequences, str | Record) else sequences):
        if isinstance(item, str):
            yield Record(index, f"seq{index + 1}", item)
        elif isinstance(item, Record):
            yield replace(item, index=index)
        else:
            raise InvalidInputError(
                f"item {index + 1} is of type {type(item).__name__}; give each sequence as str or Record"
            )
