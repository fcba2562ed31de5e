"""`esmkit index`: proteins and their vectors in a folder, for `esmkit search` and `esmkit annotate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esmkit.cli.options import INPUT, OUT, Overwrite, with_options
from esmkit.cli.search_options import AddOptions, FillOptions, IndexFolder, Pool

app = typer.Typer(no_args_is_help=True, help="Build, extend and describe an index of proteins for search.")


@app.command("build")
@with_options(FillOptions, "options")
def build(
    options: FillOptions,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the index.", rich_help_panel=OUT, show_default=False)
    ],
    layers: Annotated[
        str | None,
        typer.Option(help="Layers 0..N or from the end, e.g. -1 or 0,6,-1; -1 by default.", show_default=False),
    ] = None,
    pool: Pool = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(help="Column of a table to keep with the proteins; repeatable.", rich_help_panel=INPUT),
    ] = None,
    number_column: Annotated[
        list[str] | None, typer.Option(help="The same, for numbers; repeatable.", rich_help_panel=INPUT)
    ] = None,
    approximate_from: Annotated[
        int, typer.Option(min=1, help="Proteins from which on search is approximate.")
    ] = 200_000,
    overwrite: Overwrite = False,
) -> int:
    """Embed proteins and keep them in an index; run it again to go on after an interruption.

    Example: esmkit index build proteins.csv --out index --text-column organism
    """
    from esmkit.cli.index_run import BuildRequest, run_build

    request = BuildRequest(
        out, layers, pool, tuple(text_column or ()), tuple(number_column or ()), approximate_from, overwrite
    )
    return run_build(options, request)


@app.command("add")
@with_options(AddOptions, "options")
def add(index: IndexFolder, options: AddOptions) -> int:
    """Add proteins to an index; those that it has are passed over.

    Example: esmkit index add index more.csv
    """
    from esmkit.cli.index_run import run_add

    return run_add(options, index)


@app.command("info")
def info(
    index: IndexFolder, json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False
) -> int:
    """What an index was made of, and the measured recall of its approximate search.

    Example: esmkit index info index
    """
    from esmkit.cli.index_run import show_info

    return show_info(index, json=json)
