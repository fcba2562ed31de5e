"""`esmkit mutations`: scores of protein variants, and scans of all single substitutions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esmkit.cli.mutation_options import Offset, ProteinId, ScoringOptions
from esmkit.cli.options import INPUT, OUT, ClusterOptions, OnError, Out, with_options

app = typer.Typer(no_args_is_help=True, help="Score protein variants, or all single substitutions of a protein.")


@app.command("scan")
@with_options(ScoringOptions, "options")
@with_options(ClusterOptions, "cluster")
def scan(
    options: ScoringOptions,
    cluster: ClusterOptions,
    source: Annotated[
        str, typer.Argument(metavar="PROTEIN", help="File with the protein (FASTA, CSV, ...).", show_default=False)
    ] = "",
    sequence: Annotated[
        str | None, typer.Option(metavar="RESIDUES", help="The protein itself, instead.", rich_help_panel=INPUT)
    ] = None,
    protein_id: ProteinId = None,
    positions: Annotated[
        str | None, typer.Option(help="Positions to scan, e.g. 24-40,55; all by default.", rich_help_panel=INPUT)
    ] = None,
    offset: Offset = 0,
    out: Out = None,
    heatmap: Annotated[
        list[Path] | None,
        typer.Option(help="Heat map: .html, or .png .pdf .svg; repeatable.", rich_help_panel=OUT),
    ] = None,
    logo: Annotated[
        Path | None, typer.Option(help="Sequence logo of the predictions: .png .pdf .svg.", rich_help_panel=OUT)
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="CSV: entropy, mean effect, best substitution per position.", rich_help_panel=OUT),
    ] = None,
    hydropathy: Annotated[
        bool,
        typer.Option("--hydropathy", help="Hydrophobic segments beside the scores.", rich_help_panel=OUT),
    ] = False,
) -> int:
    """Score every single substitution of a protein: L x 19 scores, pictures, a summary per position.

    Example: esmkit mutations scan protein.fasta --out scan.csv --heatmap scan.html
    """
    from esmkit.cli.mutation_scan import ScanRequest, execute

    pictures = tuple(heatmap or ())
    request = ScanRequest(source, sequence, protein_id, positions, offset, out, pictures, logo, summary, hydropathy)
    return execute(options, request, cluster)


@app.command("score")
@with_options(ScoringOptions, "options")
@with_options(ClusterOptions, "cluster")
def score(
    options: ScoringOptions,
    cluster: ClusterOptions,
    source: Annotated[
        str, typer.Argument(metavar="VARIANTS", help="Table (CSV, TSV, Parquet; - is CSV on standard input).")
    ],
    wild_type: Annotated[
        str | None,
        typer.Option("--wild-type", "-w", metavar="FILE|RESIDUES", help="The wild type.", rich_help_panel=INPUT),
    ] = None,
    protein_id: ProteinId = None,
    wild_type_column: Annotated[
        str | None, typer.Option(help="Column with the wild type of each row, instead.", rich_help_panel=INPUT)
    ] = None,
    variant_column: Annotated[
        str | None, typer.Option(help="Column with A24G, A24G:K30R, K23del ...", rich_help_panel=INPUT)
    ] = None,
    sequence_column: Annotated[
        str | None, typer.Option(help="Column with whole variant sequences.", rich_help_panel=INPUT)
    ] = None,
    offset: Offset = 0,
    out: Out = None,
    on_error: OnError = "stop",
) -> int:
    """Score the variants of a table; a table on the screen without --out.

    Example: esmkit mutations score variants.csv --wild-type protein.fasta --out scores.csv
    """
    from esmkit.applications.mutations.table import VariantTable
    from esmkit.cli.mutation_score import execute, wild_type_of

    table = VariantTable(
        source,
        wild_type=wild_type_of(wild_type, protein_id, offset=offset),
        offset=offset,
        variant_column=variant_column,
        sequence_column=sequence_column,
        wild_type_column=wild_type_column,
    )
    return execute(options, table, out=out, on_error=on_error, cluster=cluster)
