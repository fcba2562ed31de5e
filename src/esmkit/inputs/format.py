"""What a reader declares about itself, so that a new format is one new file in this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from esmkit.types import Record


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of input; a module of this folder lists its own in `FORMATS`.

    Attributes:
        name: what a user writes to choose it.
        suffixes: lower-case endings of file names that choose it, a compression's ending cut off first.
        read: source -> records in file order, streaming. It judges the file, not the records: an id or a sequence
            that is missing is the empty string, a character that is no residue stays in the sequence. If
            `takes_columns`, it also takes the keywords `id_column` and `sequence_column`, each a name or None, and
            `other_columns`, from roles to names.
        takes_columns: whether records are rows with named columns.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Iterator[Record]]
    takes_columns: bool = False
