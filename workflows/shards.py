#!/usr/bin/env python3
"""Proteins into shards for the tasks of a workflow, and their results into one file.

    shards.py split proteins.fasta --out shards --residues 2000000
    shards.py merge shards/*.parquet --out embeddings.parquet

What `merge` writes has the rows, the order and the numbering that one `esmkit` command over the whole input gives.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from esmkit.errors import EsmkitError, InvalidInputError
from esmkit.inputs import check_unique, open_records
from esmkit.sinks.files import publish, sha256_of, temporary, write_whole
from esmkit.sinks.manifest import Manifest
from esmkit.types import Record

SAME = ("arguments", "provenance", "dtype", "columns")


def split(source: str, folder: Path, *, residues: int) -> int:
    """Writes `shard-00000.fasta`, ... in input order; a shard ends with the record that brings it to `residues`.

    Raises:
        InvalidRecordError: an id is missing, or stands twice: its shards would not find out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number, held, lines = 0, 0, list[str]()

    def write() -> None:
        nonlocal number, held
        write_whole(folder / f"shard-{number:05}.fasta", "".join(lines))
        number, held = number + 1, 0
        lines.clear()

    for record in check_unique(open_records(source)):
        assert isinstance(record, Record)  # on_error is stop
        lines.append(f">{record.id}\n{record.sequence}\n")
        held += len(record.sequence)
        if held >= residues:
            write()
    if lines or not number:
        write()
    return number


def merge(shards: Sequence[Path], out: Path) -> dict[str, Any]:
    """Writes the Parquet files of all shards, given in input order, as one; beside it a manifest and the failures.

    Raises:
        InvalidInputError: a shard is unfinished, or not what its manifest says.
        InvalidConfigError: two shards were made with other arguments, another model or other versions.
    """
    manifests = [_manifest(shard) for shard in shards]
    first = Manifest({key: manifests[0].identity[key] for key in SAME}, [], True)
    failures, counts = list[str](), {"records": 0, "residues": 0, "failures": 0}
    temp = temporary(out)
    with pq.ParquetWriter(temp, pq.read_schema(shards[0]), compression="zstd") as writer:
        for shard, manifest in zip(shards, manifests, strict=True):
            first.demand_same({key: manifest.identity[key] for key in SAME}, shard)
            for batch in pq.ParquetFile(shard).iter_batches():
                writer.write_batch(_renumbered(batch, counts["records"]))
            failures += _failures(shard, counts["records"])
            counts = {key: counts[key] + value for key, value in manifest.counts().items()}
    publish(temp, out)
    if failures:
        write_whole(out.with_name(f"{out.name}.failures.jsonl"), "".join(failures))
    made_of = [{"file": shard.name, "sha256": each.sha256} for shard, each in zip(shards, manifests, strict=True)]
    whole = {**first.identity, "counts": counts, "sha256": sha256_of(out), "shards": made_of}
    write_whole(out.with_name(f"{out.name}.manifest.json"), json.dumps(whole, indent=2) + "\n")
    return counts


def _manifest(shard: Path) -> Manifest:
    manifest = Manifest.read(shard.with_name(f"{shard.name}.manifest.json"))
    if manifest is None or not manifest.complete:
        raise InvalidInputError(f"{shard} has no manifest of a finished run; embed it again", source=str(shard))
    if sha256_of(shard) != manifest.sha256:
        raise InvalidInputError(f"{shard} is not the file of its manifest; embed it again", source=str(shard))
    return manifest


def _renumbered(batch: pa.RecordBatch, offset: int) -> pa.RecordBatch:
    place = batch.schema.get_field_index("index")
    numbers = pa.array(batch.column(place).to_numpy() + offset, batch.schema.field(place).type)
    return batch.set_column(place, batch.schema.field(place), numbers)


def _failures(shard: Path, offset: int) -> Iterator[str]:
    with suppress(FileNotFoundError), shard.with_name(f"{shard.name}.failures.jsonl").open() as lines:
        for line in lines:
            failure = json.loads(line)
            yield json.dumps({**failure, "index": failure["index"] + offset}) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Runs a command; errors end with the exit codes of `esmkit`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("split", help="one file into shards")
    one.add_argument("source", help="FASTA, CSV, TSV or Parquet")
    one.add_argument("--residues", type=int, default=2_000_000, help="per shard; default: %(default)s")
    many = commands.add_parser("merge", help="results of shards into one file")
    many.add_argument("shards", type=Path, nargs="+", help="Parquet files, in input order")
    for command in (one, many):
        command.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        if given.command == "split":
            print(f"{split(given.source, given.out, residues=given.residues)} shards in {given.out}", file=sys.stderr)
        else:
            print(json.dumps(merge(given.shards, given.out)), file=sys.stderr)
    except (EsmkitError, OSError) as error:
        print(f"shards.py: {error}", file=sys.stderr)
        return 2
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
