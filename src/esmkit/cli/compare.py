"""`esmkit compare`: two proteins, residue by residue, through their representations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from esmkit.cli.options import INPUT, MODEL, OUT, RUN, ModelOptions, with_options

_ALIGNMENT = "Alignment"


@with_options(ModelOptions, "options")
def compare(
    options: ModelOptions,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A [B]", help="Two files with a protein each, or one file with both.", show_default=False
        ),
    ] = None,
    sequence: Annotated[
        list[str] | None,
        typer.Option(metavar="RESIDUES", help="Twice: the two proteins, instead of files.", rich_help_panel=INPUT),
    ] = None,
    protein_id: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Twice: which proteins of the files.", rich_help_panel=INPUT),
    ] = None,
    layer: Annotated[int, typer.Option(help="Layer 0..N or from the end.", rich_help_panel=MODEL)] = -1,
    mode: Annotated[
        Literal["local", "global"],
        typer.Option(help="The stretches that are alike, or all of both proteins.", rich_help_panel=_ALIGNMENT),
    ] = "local",
    background: Annotated[
        float,
        typer.Option(help="Similarity from which a pair is worth aligning.", rich_help_panel=_ALIGNMENT),
    ] = 0.5,
    gap_open: Annotated[
        float, typer.Option(help="Cost of the first residue of a gap.", rich_help_panel=_ALIGNMENT)
    ] = 2.0,
    gap_extend: Annotated[float, typer.Option(help="Cost of each further residue.", rich_help_panel=_ALIGNMENT)] = 0.5,
    conserved: Annotated[
        float, typer.Option(help="Similarity of a conserved stretch.", rich_help_panel=_ALIGNMENT)
    ] = 1.5,
    shortest: Annotated[
        int, typer.Option(help="Pairs of a conserved stretch, at least.", rich_help_panel=_ALIGNMENT)
    ] = 6,
    shuffles: Annotated[
        int, typer.Option(help="Shuffled Bs that the score is compared with; 0 for none.", rich_help_panel=_ALIGNMENT)
    ] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the shuffles.", rich_help_panel=RUN)] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Aligned pairs: .csv, .tsv, .json or .parquet.", rich_help_panel=OUT),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Dot plot with the alignment: .png, .pdf or .svg.", rich_help_panel=OUT)
    ] = None,
) -> int:
    """Compare two proteins: which residues are alike to a model, an alignment by that, conserved stretches.

    Similarities are in standard deviations above what is usual for the two residues.

    Example: esmkit compare examples/proteins.fasta --id P10415 --id Q07812 --plot dots.png
    """
    from esmkit.applications.comparison import Settings
    from esmkit.cli.compare_run import execute

    settings = Settings(
        layer=layer,
        mode=mode,
        background=background,
        gap_open=gap_open,
        gap_extend=gap_extend,
        conserved=conserved,
        shortest=shortest,
        shuffles=shuffles,
        seed=seed,
    )
    return execute(options, settings, sources or [], sequence or [], protein_id or [], out=out, plot=plot)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("compare")(compare)
