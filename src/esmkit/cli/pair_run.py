"""What commands about pairs do: read the pairs, run them like any records, write, report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from esmkit.applications.chains import SEPARATOR
from esmkit.applications.pairs import SEQUENCE_COLUMNS, Pair, pair_of, read_pairs
from esmkit.cli.options import RunOptions
from esmkit.cli.pair_options import PairOptions
from esmkit.cli.run import Job
from esmkit.cli.two_proteins import two_proteins
from esmkit.errors import InvalidConfigError
from esmkit.inputs import formats
from esmkit.types import Column, Record


def pairs_of(options: PairOptions, columns: Sequence[str] = SEQUENCE_COLUMNS) -> list[Pair]:
    """The pairs that the options name.

    Raises:
        InvalidConfigError: neither PAIRS nor two sequences are given, or both.
        EsmkitError: they cannot be read.
    """
    out, source = options.out, Path(options.source)
    if out is not None and out.is_file() and source.is_file() and out.samefile(source):
        raise InvalidConfigError(f"--out {out} is the input itself; choose another --out", setting="out")
    if options.source and not options.sequence and not _is_fasta(source):
        return read_pairs(options.source, columns=columns)
    sources = [options.source] if options.source else []
    return [pair_of(*two_proteins(sources, options.sequence or [], []))]


def _is_fasta(path: Path) -> bool:
    return any(suffix.lower() in formats()["fasta"].suffixes for suffix in path.suffixes[-2:])


def run_options(options: PairOptions) -> RunOptions:
    """The same as options of an ordinary run."""
    known = {field.name for field in dataclasses.fields(RunOptions)}
    return RunOptions(**{name: value for name, value in _values(options).items() if name in known})


def _values(options: PairOptions) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


@dataclass(frozen=True, slots=True)
class PairJob(Job):
    """A job whose records are pairs.

    Attributes:
        pairs: all of them.
        ids: columns with the ids of the two proteins.
    """

    noun: ClassVar[str] = "pair"
    ids: ClassVar[tuple[str, str]] = ("id_a", "id_b")

    pairs: Sequence[Pair]

    @property
    def carried(self) -> list[str]:
        """Columns of the table that are handed on."""
        return list(self.pairs[0].cells)

    def source(self) -> Iterator[Record]:
        """One record per pair: what decides about its result."""
        for pair in self.pairs:
            yield Record(pair.index, pair.id, f"{pair.a.sequence}{SEPARATOR}{pair.b.sequence}", origin=pair.a.origin)

    def is_readable_twice(self) -> bool:
        """They are in memory."""
        return True

    def with_about(self, own: Sequence[Column]) -> list[Column]:
        """The columns that say which pair it is, then those of the command.

        Raises:
            InvalidConfigError: the table has a column of such a name.
        """
        taken = {*self.ids, *(column.name for column in own)}.intersection(self.carried)
        if taken:
            raise InvalidConfigError(
                f"the table has a column {min(taken)!r}, which is that of a result; rename or remove it",
                setting="source",
            )
        return [*(Column(name, "str", ()) for name in (*self.ids, *self.carried)), *own]

    def shown(self, pair: Pair) -> dict[str, Any]:
        """What stands in them."""
        return {**dict(zip(self.ids, (pair.a.id, pair.b.id), strict=True)), **pair.cells}

    def asked(self) -> dict[str, Any]:
        """Ids and other columns are no part of the records, and still decide what the results are."""
        shown = json.dumps([self.shown(pair) for pair in self.pairs]).encode()
        return {**super(PairJob, self).asked(), "pairs_sha256": hashlib.sha256(shown).hexdigest()}
