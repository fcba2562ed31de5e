"""`esmkit annotate`: labels for proteins, from the nearest labelled proteins of an index."""

from __future__ import annotations

from typing import Annotated

import typer

from esmkit.cli.options import with_options
from esmkit.cli.search_options import Exact, IndexFolder, QueryOptions


@with_options(QueryOptions, "options")
def annotate(
    index: IndexFolder,
    options: QueryOptions,
    label_column: Annotated[str, typer.Option(help="Column of the index that holds the labels.", show_default=False)],
    k: Annotated[int, typer.Option("-k", min=1, help="Labelled neighbours that vote.")] = 3,
    min_reliability: Annotated[
        float, typer.Option(min=0, max=1, help="Below this probability of being right a label is 'unknown'.")
    ] = 0.5,
    exact: Exact = False,
) -> int:
    """Label proteins as their nearest neighbours in an index are, with the probability that this is right.

    At the first use of a column that probability is measured on the index itself, and kept there.

    Example: esmkit annotate index queries.fasta --label-column family
    """
    from esmkit.cli.search_run import AnnotateRequest, run_annotate

    return run_annotate(options, index, AnnotateRequest(label_column, k, min_reliability, exact))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("annotate")(annotate)
