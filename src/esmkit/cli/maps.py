"""`esmkit map`: proteins as points in the plane, as a table, a picture, and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from esmkit.cli.options import OUT, with_options
from esmkit.cli.vector_options import VectorOptions


@with_options(VectorOptions, "options")
def map_proteins(
    options: VectorOptions,
    method: Annotated[
        Literal["pca", "umap"], typer.Option(help="Principal components, or neighbourhoods by UMAP.")
    ] = "pca",
    components: Annotated[
        int, typer.Option(min=0, help="Principal components to write as pc1, pc2 ... beside x and y.")
    ] = 0,
    neighbors: Annotated[int, typer.Option(min=2, help="Of UMAP: neighbours that count.")] = 15,
    min_distance: Annotated[
        float, typer.Option(min=0, max=1, help="Of UMAP: how close points may come to each other.")
    ] = 0.1,
    cluster: Annotated[
        Literal["hdbscan", "leiden"] | None,
        typer.Option(help="Add the clusters of 'esmkit cluster', with its defaults."),
    ] = None,
    color_by: Annotated[
        str | None,
        typer.Option(
            help="Column that gives the colours, or length, or cluster. [default: cluster if any, else length]",
            rich_help_panel=OUT,
            show_default=False,
        ),
    ] = None,
    color_as: Annotated[
        Literal["auto", "numbers", "categories"],
        typer.Option(help="What that column holds; auto decides by its cells.", rich_help_panel=OUT),
    ] = "auto",
    plot: Annotated[
        list[Path] | None, typer.Option(help="Picture: .png .pdf .svg; repeatable.", rich_help_panel=OUT)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Page to explore the map with, one file without network.", rich_help_panel=OUT)
    ] = None,
) -> int:
    """Map proteins by their embeddings: coordinates, a picture, a page to explore.

    Example: esmkit map proteins.fasta --out map.csv --plot map.png --html map.html
    """
    from esmkit.cli.map_run import MapRequest, execute

    request = MapRequest(
        method, components, neighbors, min_distance, cluster, color_by, color_as, tuple(plot or ()), html
    )
    return execute(options, request)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("map")(map_proteins)
