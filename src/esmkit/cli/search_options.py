"""Options of `esmkit index`, `esmkit search` and `esmkit annotate`; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from esmkit.cli.options import INPUT, MODEL, OUT, RUN, OnError, ProteinOptions

IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of the index.", show_default=False)]
Pool = Annotated[
    Literal["mean", "max", "bos"] | None,
    typer.Option(help="How residues become one vector; mean by default.", show_default=False),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Compare with every protein, even if the index has an approximate search.")
]

IndexModel = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="The model of the index, where it is not found by its name or path.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class FillOptions(ProteinOptions):
    """What building an index and adding to it share; `cli/index_run.py` acts on it."""

    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="FASTA, CSV, TSV or Parquet, or - for standard input; or a Parquet file of 'esmkit embed'.",
            show_default=False,
        ),
    ] = ""
    shard_residues: Annotated[
        int | None,
        typer.Option(min=1, help="Residues written at once; by default about a minute of work.", rich_help_panel=RUN),
    ] = None
    on_error: OnError = "stop"


@dataclass(frozen=True, slots=True)
class AddOptions(FillOptions):
    """The model is that of the index."""

    model: IndexModel = ""


@dataclass(frozen=True, slots=True)
class QueryOptions(ProteinOptions):
    """What searching and annotating share; `cli/search_run.py` acts on it."""

    source: Annotated[
        str,
        typer.Argument(
            metavar="QUERIES",
            help="FASTA, CSV, TSV or Parquet, or - for standard input; or a Parquet file of 'esmkit embed'.",
            show_default=False,
        ),
    ] = ""
    sequence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RESIDUES", help="A sequence, instead of QUERIES; may be repeated.", rich_help_panel=INPUT
        ),
    ] = None
    model: IndexModel = ""
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Table: .csv, .parquet or .jsonl.", rich_help_panel=OUT)
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.", rich_help_panel=OUT)] = False
    on_error: OnError = "stop"
