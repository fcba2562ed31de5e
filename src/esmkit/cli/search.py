"""`esmkit search`: the proteins of an index that are most like others."""

from __future__ import annotations

from typing import Annotated

import typer

from esmkit.cli.options import with_options
from esmkit.cli.search_options import Exact, IndexFolder, QueryOptions


@with_options(QueryOptions, "options")
def search(
    index: IndexFolder,
    options: QueryOptions,
    k: Annotated[int, typer.Option("-k", min=1, help="Hits per query.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(help="Only proteins that meet this, e.g. \"length > 100 AND organism = 'Homo sapiens'\"."),
    ] = None,
    identity: Annotated[bool, typer.Option("--identity", help="Align each hit and show how alike it is.")] = False,
    exact: Exact = False,
) -> int:
    """Find the nearest proteins of an index by embedding; a table on the screen without --out.

    Example: esmkit search index queries.fasta -k 5 --identity
    """
    from esmkit.cli.search_run import SearchRequest, run_search

    return run_search(options, index, SearchRequest(k, where, identity, exact))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("search")(search)
