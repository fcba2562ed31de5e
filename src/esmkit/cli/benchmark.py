"""`esmkit benchmark`: how well a model does on public benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esmkit.cli.mutation_options import ScoringOptions
from esmkit.cli.options import INPUT, OUT, OnError, with_options

app = typer.Typer(no_args_is_help=True, help="Measure a model on public benchmarks.")


@app.callback()
def benchmark() -> None:
    """Measure a model on public benchmarks."""


@app.command("proteingym")
@with_options(ScoringOptions, "options")
def proteingym(
    options: ScoringOptions,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with one CSV per assay.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for scores and spearman.csv.", rich_help_panel=OUT),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(help="ProteinGym's table of assays: wild types, groups of the mean.", rich_help_panel=INPUT),
    ] = None,
    assay: Annotated[list[str] | None, typer.Option(help="Only this assay; repeatable.", rich_help_panel=INPUT)] = None,
    on_error: OnError = "stop",
) -> int:
    """Spearman's correlation of scores and measurements, per assay of ProteinGym and on average.

    Finished assays are kept in --out: run it again to go on.

    Example: esmkit benchmark proteingym DMS_ProteinGym_substitutions --out scores
    """
    from esmkit.cli.mutation_benchmark import execute

    return execute(options, folder, out=out, reference=reference, only=assay or [], on_error=on_error)
