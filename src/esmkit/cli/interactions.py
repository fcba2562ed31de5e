"""`esmkit interactions`: contacts between two proteins, and features of pairs for a predictor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from esmkit.cli.options import INPUT, OUT, numbers, with_options
from esmkit.cli.pair_options import PairOptions

app = typer.Typer(no_args_is_help=True, help="What a model says about two proteins together.")


@app.command("contacts")
@with_options(PairOptions, "options")
def contacts(
    options: PairOptions,
    linker_length: Annotated[
        int, typer.Option(min=1, max=200, help="Glycines between the two proteins.", rich_help_panel=INPUT)
    ] = 25,
    threshold: Annotated[
        float, typer.Option(help="Probability from which a contact makes an interface.", rich_help_panel=OUT)
    ] = 0.5,
    maps: Annotated[
        bool, typer.Option("--maps", help="Whole maps into --out, too: within A, within B, between.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="PNG, PDF or SVG of the map; a directory when there are several pairs.")
    ] = None,
) -> int:
    """Predict which residues of two proteins touch, through a linker that is cut out of the map.

    Example: esmkit interactions contacts pairs.csv --out interfaces.csv --plot maps
    """
    from esmkit.cli.interaction_contacts import execute

    return execute(options, linker=linker_length, threshold=threshold, maps=maps, plot=plot)


@app.command("features")
@with_options(PairOptions, "options")
def features(
    options: PairOptions,
    layers: Annotated[str, typer.Option(help="Layers 0..N or from the end, e.g. -1 or 0,6,-1.")] = "-1",
    pool: Annotated[Literal["mean", "max", "bos"], typer.Option(help="How residues become one embedding.")] = "mean",
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="The same numbers for A and B as for B and A.")
    ] = False,
) -> int:
    """Features of pairs for a predictor: embeddings side by side, multiplied and subtracted.

    Example: esmkit interactions features pairs.csv --symmetric --out features.parquet
    """
    from esmkit.cli.interaction_features import execute

    return execute(options, layers=numbers(layers, setting="layers"), pooling=pool, symmetric=symmetric)
