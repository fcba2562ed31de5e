"""What `esmkit index` does: proteins from the input into the index, and what stands there in words."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import typer

from esmkit.applications.search import Embeddings, Filled, Index, Metadata, Sequences, Source, Space, is_embeddings
from esmkit.applications.search import add as add_to
from esmkit.applications.search import build as build_index
from esmkit.applications.search.calibration import kept_calibrations
from esmkit.applications.search.table import demand_lancedb
from esmkit.applications.vectors import Pooling
from esmkit.cli.options import ProteinOptions, numbers
from esmkit.cli.progress import Progress, Records
from esmkit.cli.run import OK, SOME_FAILED, load_model
from esmkit.cli.search_options import AddOptions, FillOptions
from esmkit.cli.summary import Finished, peak_memory, peak_memory_bytes
from esmkit.cli.train_run import say
from esmkit.errors import InvalidConfigError
from esmkit.inputs import open_records


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """The command line of `index build`, apart from what it shares with `index add`."""

    out: Path
    layers: str | None
    pool: Pooling | None
    text_columns: tuple[str, ...]
    number_columns: tuple[str, ...]
    approximate_from: int
    overwrite: bool

    @property
    def columns(self) -> tuple[Metadata, ...]:
        """The metadata to keep."""
        texts = (Metadata(name, "text") for name in self.text_columns)
        return (*texts, *(Metadata(name, "number") for name in self.number_columns))


def run_build(options: FillOptions, request: BuildRequest) -> int:
    """Runs the command and returns its exit code."""
    demand_lancedb()
    started = time.perf_counter()
    layers = None if request.layers is None else numbers(request.layers, setting="layers")
    records = records_of(options, request.columns)
    with source_of(options, records, layers, request.pool, on_error=options.on_error) as source:
        filled = build_index(
            request.out,
            source,
            columns=request.columns,
            approximate_from=request.approximate_from,
            batch_residues=options.shard_residues,
            overwrite=request.overwrite,
            tell=partial(say, quiet=options.quiet),
        )
    return _report(filled, request.out, options, time.perf_counter() - started)


def run_add(options: AddOptions, folder: Path) -> int:
    """Runs the command and returns its exit code."""
    started = time.perf_counter()
    card = Index.open(folder).card
    options = replace(options, model=options.model or card.space.locate())
    records, space = records_of(options, card.columns), card.space
    with source_of(options, records, space.layers, space.pooling, on_error=options.on_error) as source:
        filled = add_to(folder, source, batch_residues=options.shard_residues, tell=partial(say, quiet=options.quiet))
    return _report(filled, folder, options, time.perf_counter() - started)


def records_of(options: ProteinOptions, columns: Sequence[Metadata] = ()) -> Records:
    """Opens the input, with columns of metadata as cells."""
    if not options.source:
        raise InvalidConfigError("name a file of proteins, or - for standard input", setting="source")
    return lambda: open_records(
        options.source,
        format=options.input_format,
        id_column=options.id_column,
        sequence_column=options.sequence_column,
        other_columns={f"--{column.kind}-column {column.name}": column.name for column in columns},
    )


@contextmanager
def source_of(
    options: ProteinOptions,
    records: Records,
    layers: Sequence[int] | None,
    pooling: Pooling | None,
    *,
    on_error: Literal["stop", "skip"],
) -> Iterator[Source]:
    """Proteins with vectors: from a file of embeddings as they are, else through the model, with progress."""
    if options.input_format is None and is_embeddings(options.source):
        yield Embeddings.open(Path(options.source), layers=layers, pooling=pooling)
        return
    model = load_model(options)
    space = Space.of(model, layers=layers or (-1,), pooling=pooling or "mean")
    countable = not options.source or Path(options.source).is_file()
    with Progress(records, [False], enabled=not options.quiet, countable=countable) as progress:
        yield Sequences(model, records, space, on_error, progress)


def show_info(folder: Path, *, json: bool) -> int:
    """Shows what is known of an index."""
    index = Index.open(folder)
    facts = {
        **asdict(index.card),
        "proteins": len(index.table),
        "calibrations": [asdict(each) for each in kept_calibrations(folder)],
    }
    if json:
        typer.echo(json_module.dumps(facts))
    else:
        for name, value in _described(index, facts).items():
            typer.echo(f"{name:13} {value}")
    return OK


def _described(index: Index, facts: Mapping[str, Any]) -> dict[str, str]:
    card, proteins = index.card, facts["proteins"]
    space = card.space
    layers = ", ".join(map(str, space.layers))
    lines = {
        "proteins": f"{proteins:,}",
        "model": f"{space.slug}, sha256 of the weights {space.weights_sha256[:12]}...",
        "vectors": f"{space.pooling} of layer {layers}, {space.dimension} numbers, compared by cosine",
        "columns": ", ".join(f"{column.name} ({column.kind})" for column in card.columns) or "none",
        "search": f"exact (approximate from {card.approximate_from:,} proteins on)",
    }
    if measured := card.approximate:
        stale = "" if measured.proteins == proteins else f", before {proteins - measured.proteins:,} were added"
        lines["search"] = f"approximate ({measured.kind}); --exact compares with every protein"
        lines["recall"] = (
            f"{measured.recall:.3f} of the {measured.neighbours} nearest, for {measured.queries} proteins of the "
            f"index{stale}"
        )
    for each in facts["calibrations"]:
        right = sum(group["correct"] for group in each["groups"])
        tried = sum(group["proteins"] for group in each["groups"])
        stale = "" if each["proteins"] == proteins else " (of an earlier state)"
        lines[f"  {each['label']}"[:13]] = (
            f"{right:,} of {tried:,} proteins annotated right by {each['neighbours']} neighbours{stale}"
        )
    return lines


def _report(filled: Filled, folder: Path, options: FillOptions, seconds: float) -> int:
    """The last lines, and the exit code."""
    facts = {
        "proteins": filled.proteins,
        "added": filled.added,
        "known": filled.known,
        "residues": filled.residues,
        "failures": len(filled.failures),
        "out": str(folder),
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    lines = [
        f"{filled.added:,} proteins added, {filled.known:,} were there, in {seconds:.1f} s, {peak_memory()}",
        f"index of {filled.proteins:,} proteins in {folder}",
    ]
    finished = Finished()
    for failure in filled.failures:
        finished.fail(failure)
    finished.show(facts, lines, quiet=options.quiet, json=options.json)
    return SOME_FAILED if filled.failures else OK
