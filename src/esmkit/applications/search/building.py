"""Filling an index: as a stream, in batches that are kept whole or not at all, so that a killed run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications.search.calibration import CALIBRATION
from esmkit.applications.search.card import APPROXIMATE_FROM, CARD, IndexCard, Metadata
from esmkit.applications.search.entries import Entry, Source, refused
from esmkit.applications.search.filters import OWN_COLUMNS
from esmkit.applications.search.identity import Alignment
from esmkit.applications.search.index import Index
from esmkit.applications.search.table import FOLDER, VectorTable, demand_lancedb
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.sinks.files import LOCK, FolderLock, temporary
from esmkit.types import Failure, IntArray, Record

RESERVED = {*OWN_COLUMNS, "sequence", "vector", "digest", "query", "rank", "hit", "cosine"}
RESERVED |= {field.name for field in fields(Alignment)}
"""Names that an index or a table of hits has already."""
BATCH_PROTEINS = 10_000
Tell = Callable[[str], None]


@dataclass(slots=True)
class Filled:
    """What a run did.

    Attributes:
        added: proteins that are new in the index.
        known: proteins of the input that were there before.
        residues: of those added.
        failures: proteins that could not be used.
        proteins: in the index now.
    """

    added: int = 0
    known: int = 0
    residues: int = 0
    failures: list[Failure] = field(default_factory=list)
    proteins: int = 0


def build(
    folder: Path,
    source: Source,
    *,
    columns: Sequence[Metadata] = (),
    approximate_from: int = APPROXIMATE_FROM,
    batch_residues: int | None = None,
    overwrite: bool = False,
    tell: Tell | None = None,
) -> Filled:
    """Makes an index, or goes on with one that an earlier run of the same command left unfinished.

    Args:
        folder: a new one, an empty one, or that of the earlier run.
        source: the proteins.
        columns: metadata that is kept with them.
        approximate_from: proteins from which on search is approximate.
        batch_residues: what a killed run loses at most; by default about a minute of work.
        overwrite: replaces another index in the folder; one of the same making that is unfinished is continued all the
            same.
        tell: is told what takes long without progress.

    Raises:
        InvalidConfigError: the folder holds something else, or an index that is made otherwise.
        InvalidInputError: the index has proteins that the input has not.
        InvalidRecordError: an id comes twice, or the finished index has it not, or has it with another sequence.
        MissingExtraError: lancedb is not installed.
    """
    demand_lancedb()
    check_columns(columns)
    wanted = IndexCard(source.space, tuple(columns), 0, False, approximate_from, None, dict(source.provenance))
    with _locked(folder):
        card = _claim(folder, wanted, overwrite=overwrite)
        table = VectorTable.open(folder, card, make=not card.complete)
        filled = _fill(table, card, source, batch_residues, closed=card.complete)
        if len(table) != filled.added + filled.known:
            raise InvalidInputError(
                f"{folder} holds {len(table):,} proteins and the input has {filled.added + filled.known:,} of them; "
                "give the input that it was begun with, choose another --out, or delete the folder",
                source=str(folder),
            )
        if not card.complete:
            _finish(folder, card, table, tell, alone=True)
    filled.proteins = len(table)
    return filled


def add(folder: Path, source: Source, *, batch_residues: int | None = None, tell: Tell | None = None) -> Filled:
    """Adds proteins to a finished index; those that it has are left as they are.

    Raises:
        InvalidInputError: there is no finished index.
        InvalidConfigError: the vectors are of another model, layer or pooling.
        InvalidRecordError: an id comes twice, or the index has it with another sequence or metadata.
    """
    Index.open(folder).card.space.demand(source.space, folder)
    with _locked(folder):
        index = Index.open(folder)
        card, table = index.card, index.table
        filled = _fill(table, card, source, batch_residues, closed=False)
        if filled.added or len(table) != card.proteins:
            _finish(folder, card, table, tell, alone=False)
    filled.proteins = len(table)
    return filled


def check_columns(columns: Sequence[Metadata]) -> None:
    """Refuses names of metadata that mean something else.

    Raises:
        InvalidConfigError: a name is taken, or is there twice.
    """
    names = [column.name for column in columns]
    for name in names:
        if name in RESERVED or names.count(name) > 1:
            raise InvalidConfigError(
                f"column {name!r} {'is named twice' if name not in RESERVED else 'would hide what the index keeps'}; "
                f"leave it out or rename it ({', '.join(sorted(RESERVED))} are taken)",
                setting="column",
            )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder for one process that writes."""
    lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()


class _Known:
    """Which proteins the table has, in 16 bytes for each.

    Args:
        table: the table.
        closed: whether no other proteins are welcome.
    """

    def __init__(self, table: VectorTable, *, closed: bool) -> None:
        batches = [batch for batch in table.scan(["id", "digest"]) if len(batch)]
        hashes = [np.array([hash(name) for name in batch.column("id").to_pylist()], np.int64) for batch in batches]
        digests = [batch.column("digest").to_numpy() for batch in batches]
        joined: IntArray = np.concatenate([np.empty(0, np.int64), *hashes])
        order = joined.argsort()
        self._hashes = joined[order]
        self._digests: IntArray = np.concatenate([np.empty(0, np.int64), *digests])[order]
        self._closed = closed
        self.met = 0

    def is_new(self, record: Record, digest: int) -> bool:
        """Whether the table has it not.

        Raises:
            InvalidRecordError: the table has another protein of this id, or is closed.
        """
        wanted = hash(record.id)
        at = int(self._hashes.searchsorted(wanted))
        if at == len(self._hashes) or self._hashes[at] != wanted:
            if self._closed:
                raise refused(record, "the finished index has it not; use 'esmkit index add', or --overwrite")
            return True
        if self._digests[at] != digest:
            raise refused(record, "the index has this id with another sequence or metadata; give it another id")
        self.met += 1
        return False


def _claim(folder: Path, wanted: IndexCard, *, overwrite: bool) -> IndexCard:
    """The card of the folder: an earlier one if it is of the same making, else the new one, written."""
    if (folder / CARD).is_file():
        found = IndexCard.read(folder)
        if not overwrite:
            _demand_same(found, wanted, folder)
        if not overwrite or (not found.complete and found == replace(wanted, provenance=found.provenance)):
            return found
    foreign = {path.name for path in folder.iterdir()} - {LOCK, CARD, temporary(Path(CARD)).name, FOLDER, CALIBRATION}
    if foreign:
        raise InvalidConfigError(
            f"{folder} is not empty and holds no index (found {min(foreign)!r}); nothing there was touched: choose "
            "another --out or an empty directory",
            setting="out",
        )
    (folder / CARD).unlink(missing_ok=True)  # the card goes first and comes last: it never describes another table
    (folder / CALIBRATION).unlink(missing_ok=True)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    wanted.write(folder)
    return wanted


def _demand_same(found: IndexCard, wanted: IndexCard, folder: Path) -> None:
    found.space.demand(wanted.space, folder)
    for what in ("columns", "approximate_from"):
        if getattr(found, what) != getattr(wanted, what):
            raise InvalidConfigError(
                f"{folder} is an index with other {what.replace('_', ' ')}: {_shown(getattr(found, what))}, not "
                f"{_shown(getattr(wanted, what))}; give the same options, choose another --out, or --overwrite",
                setting="out",
            )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, int) else ", ".join(f"{c.name} ({c.kind})" for c in value) or "none"


def _fill(table: VectorTable, card: IndexCard, source: Source, batch_residues: int | None, *, closed: bool) -> Filled:
    known, filled = _Known(table, closed=closed), Filled()
    for batch in _batches(source.entries(card.columns, known.is_new), filled, batch_residues or source.batch_residues):
        table.add(batch)
        filled.added += len(batch)
        filled.residues += sum(entry.length for entry in batch)
    filled.known = known.met
    return filled


def _batches(items: Iterator[Entry | Failure], filled: Filled, batch_residues: int) -> Iterator[list[Entry]]:
    """What is written at once; when the input ends with an error, what came before it is written, too."""
    batch: list[Entry] = []
    residues = 0
    try:
        for item in items:
            if isinstance(item, Failure):
                filled.failures.append(item)
                continue
            batch.append(item)
            residues += item.length
            if len(batch) == BATCH_PROTEINS or residues >= batch_residues:
                yield batch
                batch, residues = [], 0
    except Exception:
        yield batch
        raise
    yield batch


def _finish(folder: Path, card: IndexCard, table: VectorTable, tell: Tell | None, *, alone: bool) -> None:
    """Approximate index, recall, and the card that says that all is there."""
    proteins = len(table)
    if proteins == 0:
        raise InvalidInputError("no protein of the input could be used; an index needs at least one")
    if proteins >= card.approximate_from and tell is not None:
        tell(f"making the approximate search of {proteins:,} proteins, and measuring it")
    if proteins >= card.approximate_from and table.index_kind() is None:
        table.index()
    table.tidy(alone=alone)
    done = replace(card, proteins=proteins, complete=True, approximate=None)
    if table.index_kind() is not None:
        done = replace(done, approximate=Index(folder, done, table).measured())
    done.write(folder)
