"""Options of commands over the embeddings of many proteins; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from esmkit.cli.options import INPUT, MODEL, RUN, Out, Overwrite, ProteinOptions


@dataclass(frozen=True, slots=True)
class VectorOptions(ProteinOptions):
    """Which proteins, their vectors, and what else is known of them; `cli/points.py` acts on it."""

    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="FASTA, CSV, TSV or Parquet of sequences, - for standard input, or what 'esmkit embed' wrote.",
            show_default=False,
        ),
    ] = ""
    table: Annotated[
        str | None,
        typer.Option(help="Table with the columns named below, by id; else INPUT has them.", rich_help_panel=INPUT),
    ] = None
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column to hand on; may be repeated.", rich_help_panel=INPUT),
    ] = None
    embedding_column: Annotated[
        str | None,
        typer.Option(help="Which embeddings of several in INPUT, e.g. mean_33.", rich_help_panel=INPUT),
    ] = None
    layer: Annotated[int, typer.Option(help="Layer 0..N or from the end.", rich_help_panel=MODEL)] = -1
    pool: Annotated[
        Literal["mean", "max", "bos"], typer.Option(help="How residues become one vector.", rich_help_panel=MODEL)
    ] = "mean"
    seed: Annotated[int, typer.Option(min=0, help="Of random numbers.", rich_help_panel=RUN)] = 0
    out: Out = None
    overwrite: Overwrite = False
