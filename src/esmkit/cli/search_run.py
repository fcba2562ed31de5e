"""What `esmkit search` and `esmkit annotate` do: queries through the model, then the index, to a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len, set_cell_size

from esmkit.applications.search import Annotator, Embeddings, Entry, Hit, Index, align
from esmkit.applications.search.identity import demand_parasail
from esmkit.cli.index_run import records_of, source_of
from esmkit.cli.row_table import RowTable, check_out
from esmkit.cli.run import OK, SOME_FAILED
from esmkit.cli.search_options import QueryOptions
from esmkit.cli.summary import Finished
from esmkit.cli.tables import id_cell
from esmkit.errors import InvalidConfigError
from esmkit.inputs import from_sequences
from esmkit.types import Failure

Rows = Iterator[dict[str, Any]]
_AT_ONCE = 256
"""Queries that are searched for in one pass over the index."""
_ALIGNED = ("identity", "aligned", "coverage")


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """The command line of `search`, apart from what it shares."""

    k: int
    where: str | None
    identity: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class AnnotateRequest:
    """The command line of `annotate`, apart from what it shares."""

    label_column: str
    k: int
    min_reliability: float
    exact: bool


def run_search(options: QueryOptions, folder: Path, request: SearchRequest) -> int:
    """Runs the command and returns its exit code."""
    _check(options)
    index = Index.open(folder)
    where = index.where(request.where)
    if request.identity:
        demand_parasail()

    def rows(group: list[Entry]) -> Rows:
        vectors = np.stack([query.vector for query in group])
        found = index.search(vectors, k=request.k, where=where, exact=request.exact)
        for query, hits in zip(group, found, strict=True):
            for rank, hit in enumerate(hits, start=1):
                about = {name: value for name, value in hit.about.items() if name != "sequence"}
                alike = _alike(query, hit) if request.identity else {}
                yield {"query": query.id, "rank": rank, "hit": hit.id, "cosine": hit.cosine, **alike, **about}

    header = f"{'query':20} {'rank':>4} {'hit':20} {'cosine':>7}"
    if request.identity:
        header += f" {'identity':>8} {'aligned':>7} {'coverage':>8}"
    names = (column.name for column in index.card.columns)
    header += f" {'length':>6}" + "".join(f"  {name:{_width(name)}}" for name in names)
    return _run(options, index, rows, RowTable(header, _hit_line), asdict(request))


def run_annotate(options: QueryOptions, folder: Path, request: AnnotateRequest) -> int:
    """Runs the command and returns its exit code."""
    _check(options)
    index = Index.open(folder)
    annotator = Annotator.of(
        index,
        request.label_column,
        neighbours=request.k,
        min_reliability=request.min_reliability,
        exact=request.exact,
    )

    def rows(group: list[Entry]) -> Rows:
        found = annotator.annotate(np.stack([query.vector for query in group]))
        for query, annotation in zip(group, found, strict=True):
            yield {"query": query.id, **asdict(replace(annotation, reliability=round(annotation.reliability, 4)))}

    header = f"{'query':20} {'label':18} {'reliability':>11} {'neighbour':20} {'cosine':>7}"
    return _run(options, index, rows, RowTable(header, _annotation_line), asdict(request))


def _run(
    options: QueryOptions,
    index: Index,
    rows: Callable[[list[Entry]], Rows],
    table: RowTable,
    arguments: Mapping[str, Any],
) -> int:
    """Queries in groups, their rows to the screen or a file."""
    space, finished, queries = index.card.space, Finished(out=options.out), 0
    options = replace(options, model=options.model or space.locate())
    sequences = options.sequence
    records = (lambda: from_sequences(sequences)) if sequences else records_of(options)
    source = source_of(options, records, space.layers, space.pooling, on_error=options.on_error)
    about = {"index": str(index.folder), "proteins": len(index.table), **arguments}
    with table.to(options.out, json=options.json) as show, source as found:
        space.demand(found.space, index.folder)
        if arguments.get("identity") and isinstance(found, Embeddings):
            raise InvalidConfigError("--identity needs sequences, and these are embeddings", setting="identity")
        for group in _groups(found.entries(()), finished):
            queries += len(group)
            for row in rows(group):
                show(row)
        table.about = {"arguments": about, "provenance": dict(found.provenance)}
    facts: dict[str, object] = {"queries": queries, "rows": table.shown, "failures": finished.failures}
    facts["out"] = None if options.out is None else str(options.out)
    noun = "query" if queries == 1 else "queries"
    lines = [f"{queries:,} {noun} in {len(index.table):,} proteins", *finished.outcome_lines()]
    finished.show(facts, lines, quiet=options.quiet, json=options.json and options.out is not None)
    return SOME_FAILED if finished.failures else OK


def _check(options: QueryOptions) -> None:
    if bool(options.source) == bool(options.sequence):
        raise InvalidConfigError("give either QUERIES or --sequence, one of the two", setting="source")
    if options.out is not None:
        check_out(options.out, overwrite=options.overwrite)


def _groups(items: Iterator[Entry | Failure], finished: Finished) -> Iterator[list[Entry]]:
    while taken := list(islice(items, _AT_ONCE)):
        for item in taken:
            if isinstance(item, Failure):
                finished.fail(item)
        if entries := [item for item in taken if isinstance(item, Entry)]:
            yield entries


def _alike(query: Entry, hit: Hit) -> dict[str, Any]:
    sequence = hit.about["sequence"]
    if sequence is None or query.sequence is None:
        raise InvalidConfigError(
            f"--identity needs sequences, and the index has none of {hit.id!r}: it was added as an embedding",
            setting="identity",
        )
    found = align(query.sequence, sequence)
    return asdict(replace(found, identity=round(found.identity, 4), coverage=round(found.coverage, 4)))


def _hit_line(row: Mapping[str, Any]) -> str:
    fields = [id_cell(row["query"]), f"{row['rank']:>4}", id_cell(row["hit"]), f"{row['cosine']:>7.4f}"]
    rest = list(row.items())[4:]
    if "identity" in row:
        fields += [f"{row['identity']:>8.3f}", f"{row['aligned']:>7}", f"{row['coverage']:>8.2f}"]
        rest = rest[len(_ALIGNED) :]
    (_, length), *cells = rest
    texts = (f"{value:g}" if isinstance(value, float) else str(value or "") for _, value in cells)
    padded = (f"{text:{_width(name)}}" for text, (name, _) in zip(texts, cells, strict=True))
    return "  ".join([" ".join([*fields, f"{length:>6}"]), *padded])


def _width(name: str) -> int:
    return max(len(name), 12)


def _annotation_line(row: Mapping[str, Any]) -> str:
    label = row["label"]
    if sys.stdout.isatty() or cell_len(label) < 18:
        label = set_cell_size(label, 18)
    fields = [id_cell(row["query"]), label, f"{row['reliability']:>11.2f}", id_cell(row["neighbour"])]
    return " ".join([*fields, f"{row['cosine']:>7.4f}"])
