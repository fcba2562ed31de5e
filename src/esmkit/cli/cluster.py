"""`esmkit cluster`: groups of proteins with like embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from esmkit.cli.options import with_options
from esmkit.cli.vector_options import VectorOptions


@with_options(VectorOptions, "options")
def cluster(
    options: VectorOptions,
    method: Annotated[
        Literal["hdbscan", "leiden"],
        typer.Option(help="Dense places, the rest is noise; or communities of nearest neighbours."),
    ] = "hdbscan",
    components: Annotated[
        int, typer.Option(min=0, help="Principal components that are compared; 0: the embeddings as they are.")
    ] = 50,
    min_size: Annotated[int, typer.Option(min=2, help="Of HDBSCAN: proteins of the smallest cluster.")] = 5,
    min_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Of HDBSCAN: larger leaves more noise. [default: --min-size]", show_default=False),
    ] = None,
    neighbors: Annotated[int, typer.Option(min=1, help="Of Leiden: neighbours of each protein.")] = 15,
    resolution: Annotated[float, typer.Option(min=0, help="Of Leiden: larger gives more clusters.")] = 1.0,
    compare_with: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of labels that clusters are compared with.")
    ] = None,
) -> int:
    """Cluster proteins by their embeddings; a table on the screen without --out.

    Example: esmkit cluster proteins.fasta --out clusters.csv
    """
    from esmkit.cli.cluster_run import ClusterRequest, execute

    request = ClusterRequest(method, components, min_size, min_samples, neighbors, resolution, compare_with)
    return execute(options, request)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("cluster")(cluster)
