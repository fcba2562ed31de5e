"""What commands over the embeddings of many proteins do: gather vectors and columns, write a table, report."""

from __future__ import annotations

import hashlib
import json as json_module
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from esmkit import sinks
from esmkit.alphabet import num_residues
from esmkit.applications.maps.annotations import read_annotations
from esmkit.applications.maps.embeddings import is_embeddings, read_embeddings
from esmkit.applications.vectors import VectorCache, vectors
from esmkit.cli.progress import Progress
from esmkit.cli.run import SHARD_RECORDS, load_model
from esmkit.cli.summary import Finished, peak_memory, peak_memory_bytes
from esmkit.cli.tables import ScalarTable
from esmkit.cli.vector_options import VectorOptions
from esmkit.config import Settings
from esmkit.errors import InvalidConfigError
from esmkit.inputs import check_unique, open_records
from esmkit.sinks.format import RESERVED
from esmkit.types import Column, FloatArray, Record, Result


@dataclass(frozen=True, slots=True)
class Points:
    """Proteins with their vectors.

    Attributes:
        records: the proteins, those of embeddings without sequences.
        meta: length of each, and what a length policy did to it.
        vectors: float32 [n, D].
        columns: what else is known of each, as text.
        about: how the vectors were made, in words.
        provenance: how they were made, for programs.
        asked: what else decides the vectors and columns, for the manifest.
    """

    records: list[Record]
    meta: list[dict[str, Any]]
    vectors: FloatArray
    columns: dict[str, list[str]]
    about: str
    provenance: Mapping[str, Any]
    asked: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        """Of the proteins."""
        return [record.id for record in self.records]

    @property
    def lengths(self) -> list[str]:
        """Residues of each, as text."""
        return [str(meta["length"]) for meta in self.meta]


def check(options: VectorOptions) -> None:
    """Refuses a command line that says too little, or would write over what it reads.

    Raises:
        InvalidConfigError: names the option.
    """
    if not options.source:
        raise InvalidConfigError("give INPUT, a file of proteins or of embeddings", setting="source")
    out = options.out
    for path in (options.source, options.table):
        if out is not None and out.is_file() and path and Path(path).is_file() and out.samefile(path):
            raise InvalidConfigError(f"--out {out} is the input itself; choose another --out", setting="out")


def gather(options: VectorOptions, wanted: Mapping[str, str], *, taken: Sequence[str]) -> Points:
    """Vectors of all proteins, from the model or a file of embeddings, and the columns that are wanted.

    Args:
        options: the command line.
        wanted: columns, by the option that asked for each; `--column` is added.
        taken: names that the result gives to columns of its own.

    Raises:
        EsmkitError: the input cannot be used; it names the record, row or column.
    """
    by_name = {name: role for role, name in wanted.items()}
    for name in options.column or ():
        by_name.setdefault(name, f"--column {name}")
    for name, role in by_name.items():
        if name in (*RESERVED, *taken):
            raise InvalidConfigError(
                f"{role}: the result has a column {name!r} of its own; rename the one in the table", setting="column"
            )
    own = {} if options.table else {role: name for name, role in by_name.items()}
    if options.sequence_column is None and is_embeddings(options.source):
        points = _read(options, own)
    else:
        points = _compute(options, own)
    if options.table and by_name:
        points.columns.update(read_annotations(options.table, points.ids, list(by_name)))
    cells = json_module.dumps(points.columns).encode()
    points.asked["columns_sha256"] = hashlib.sha256(cells).hexdigest()
    return points


def _read(options: VectorOptions, own: Mapping[str, str]) -> Points:
    if own:
        raise InvalidConfigError(
            f"{next(iter(own))}: {options.source} holds embeddings and no such column; name the table that has it with "
            "--table",
            setting="table",
        )
    found = read_embeddings(options.source, column=options.embedding_column)
    list(check_unique(found.records))
    meta = [
        {"length": length, **({"long": long} if long else {})}
        for length, long in zip(found.lengths, found.long, strict=True)
    ]
    about = f"{found.column}, {found.provenance['slug']}"
    asked = {"embedding_column": found.column, "embeddings_sha256": found.sha256}
    return Points(found.records, meta, found.vectors, {}, about, found.provenance, asked)


def _compute(options: VectorOptions, own: Mapping[str, str]) -> Points:
    if options.embedding_column is not None:
        raise InvalidConfigError(
            f"--embedding-column: {options.source} is no file of embeddings", setting="embedding_column"
        )
    source = open_records(
        options.source,
        format=options.input_format,
        id_column=options.id_column,
        sequence_column=options.sequence_column,
        other_columns=own,
    )
    records = [record for record in check_unique(source) if isinstance(record, Record)]
    model = load_model(options)
    cache = VectorCache.default(Settings.from_env(os.environ))
    with Progress(lambda: iter(records), [False], enabled=not options.quiet) as progress:
        table = vectors(model, records, layers=[options.layer], pooling=options.pool, cache=cache, watcher=progress)
    meta: list[dict[str, Any]] = [{"length": num_residues(record.sequence)} for record in records]
    for each in meta:
        if each["length"] > options.max_length:
            each["long"] = {"policy": options.long}
    columns = {name: [record.cells[at] for record in records] for at, name in enumerate(own.values())}
    if "description" not in columns and any(record.description for record in records):
        columns["description"] = [record.description for record in records]
    layer = model.shape.layer(options.layer)
    asked = {
        "layer": layer,
        "pool": options.pool,
        "lowercase": options.lowercase,
        "strip_stop": options.strip_stop,
        "long": options.long,
        "max_length": options.max_length,
    }
    about = f"{options.pool} of layer {layer}, {model.provenance['slug']}"
    return Points(records, meta, table[:, 0], columns, about, model.provenance, asked)


@dataclass(slots=True, kw_only=True)
class PointSummary(Finished):
    """The last lines of a command.

    Attributes:
        found: what it found, as plain data.
        notes: the same in words.
        started: when, on the clock of `time.perf_counter`.
    """

    proteins: int
    started: float
    found: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def report(self, *, quiet: bool, json: bool) -> None:
        """See `Finished.show`."""
        seconds = time.perf_counter() - self.started
        facts = {
            "proteins": self.proteins,
            **self.found,
            **self.outcome(),
            "seconds": round(seconds, 3),
            "peak_memory_bytes": peak_memory_bytes(),
        }
        first = f"{self.proteins:,} proteins in {seconds:.1f} s, {peak_memory()}"
        self.show(facts, [first, *self.notes, *self.outcome_lines()], quiet=quiet, json=json)


def to_file(
    options: VectorOptions,
    points: Points,
    cells: Mapping[str, Sequence[Any]],
    columns: Sequence[Column],
    arguments: Mapping[str, Any],
    summary: PointSummary,
) -> None:
    """Writes a row per protein, or finds that an earlier run wrote the same.

    Args:
        options: says where to.
        points: the proteins.
        cells: by column the value of each protein.
        columns: of the table, in order.
        arguments: what changes the result apart from vectors and columns.
        summary: learns what stands on disk.
    """
    assert options.out is not None
    rows = list(_rows(points, cells, columns))
    target = sinks.open_target(
        options.out,
        columns=columns,
        arguments={**points.asked, **arguments},
        provenance=points.provenance,
        shard_records=SHARD_RECORDS,
        shard_residues=sys.maxsize,
        overwrite=options.overwrite,
    )
    with target:
        for shard in target.pending(points.records):
            for record in shard.records:
                shard.write(rows[record.index])
            shard.commit()
        summary.put(target.finish())


def to_screen(
    options: VectorOptions, points: Points, cells: Mapping[str, Sequence[Any]], columns: Sequence[Column]
) -> None:
    """Shows a row per protein."""
    printer = ScalarTable(texts=True)
    for row in _rows(points, cells, columns):
        printer.show(row, json=options.json)


def _rows(points: Points, cells: Mapping[str, Sequence[Any]], columns: Sequence[Column]) -> Iterator[Result]:
    for at, (record, meta) in enumerate(zip(points.records, points.meta, strict=True)):
        yield Result(record.index, record.id, {column.name: cells[column.name][at] for column in columns}, meta)
