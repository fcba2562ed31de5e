"""The two proteins of a command about two: from one file, from two, or as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from esmkit.cli.mutation_run import one_protein
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.inputs import from_sequences, open_records
from esmkit.types import Record


def two_proteins(sources: Sequence[str], sequences: Sequence[str], ids: Sequence[str]) -> tuple[Record, Record]:
    """Two records, which may be the same protein.

    Args:
        sources: two files with a protein each, or one with both; FASTA or a table.
        sequences: the two sequences instead.
        ids: which protein of each file, or which two of the one file; may be left out where there are no others.

    Raises:
        InvalidConfigError: there is too much or too little of one of them.
        InvalidInputError: a file holds another number of proteins, or none of this id.
    """
    if len(ids) not in (0, 2):
        raise InvalidConfigError("give --id twice: for the first protein, then for the second", setting="id")
    if sequences:
        if sources or ids or len(sequences) != 2:
            raise InvalidConfigError("give --sequence twice, and no file and no --id then", setting="sequence")
        a, b = from_sequences(sequences)
        return a, b
    if len(sources) == 2:
        wanted = ids or (None, None)
        return one_protein(sources[0], wanted[0]), one_protein(sources[1], wanted[1])
    if len(sources) != 1:
        raise InvalidConfigError(
            "give two files with a protein each, one file with both, or --sequence twice", setting="source"
        )
    return _of_ids(sources[0], ids) if ids else _only_two(sources[0])


def _of_ids(source: str, ids: Sequence[str]) -> tuple[Record, Record]:
    found: dict[str, Record] = {}
    for record in open_records(source):
        if record.id in ids:
            found.setdefault(record.id, record)
    for wanted in ids:
        if wanted not in found:
            raise InvalidInputError(f"{source} holds no protein {wanted!r}; check --id", source=source)
    return found[ids[0]], found[ids[1]]


def _only_two(source: str) -> tuple[Record, Record]:
    records = list(islice(open_records(source), 3))
    if len(records) != 2:
        count = "one protein" if len(records) == 1 else "more than two proteins"
        raise InvalidInputError(
            f"{source} holds {count}, where two are compared; choose them with --id, twice, or give a second file",
            source=source,
        )
    return records[0], records[1]
