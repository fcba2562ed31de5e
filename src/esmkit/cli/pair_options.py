"""Options of commands about pairs of proteins; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from esmkit.cli.options import INPUT, Format, ModelOptions, OnError, Out, OutDtype, Overwrite


@dataclass(frozen=True, slots=True)
class PairOptions(ModelOptions):
    """Which pairs, and where the results go; `cli/pair_run.py` acts on it."""

    source: Annotated[
        str,
        typer.Argument(
            metavar="PAIRS",
            help="CSV, TSV or Parquet with a row per pair, or FASTA with the two proteins of one.",
            show_default=False,
        ),
    ] = ""
    sequence: Annotated[
        list[str] | None,
        typer.Option(metavar="RESIDUES", help="Twice: the two proteins, instead of PAIRS.", rich_help_panel=INPUT),
    ] = None
    out: Out = None
    format: Format = None
    out_dtype: OutDtype = "float32"
    overwrite: Overwrite = False
    on_error: OnError = "stop"
