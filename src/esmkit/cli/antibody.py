"""`esmkit antibody`: embeddings of heavy and light chains together, and regions by IMGT numbering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esmkit.cli.options import INPUT, OUT, with_options
from esmkit.cli.pair_options import PairOptions

if TYPE_CHECKING:
    from esmkit.types import Record

app = typer.Typer(no_args_is_help=True, help="Antibodies: chains together, framework and CDR regions.")


@app.command("embed")
@with_options(PairOptions, "options")
def embed(
    options: PairOptions,
    layer: Annotated[int, typer.Option(help="Layer 0..N or from the end.")] = -1,
    linker_length: Annotated[
        int, typer.Option(min=1, max=200, help="Glycines between the chains.", rich_help_panel=INPUT)
    ] = 25,
) -> int:
    """Embed heavy and light chains together: a table with the columns heavy and light.

    Example: esmkit antibody embed antibodies.csv --out antibodies.parquet
    """
    from esmkit.cli.antibody_embed import execute

    return execute(options, layer=layer, linker=linker_length)


@app.command("regions")
def regions(
    sources: Annotated[
        list[str], typer.Argument(metavar="CHAIN...", help="FASTA or table of chains, or the residues of a chain.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV: chain, start, end, region.", rich_help_panel=OUT)
    ] = None,
) -> int:
    """Where framework and CDR regions lie, by IMGT numbering: a table for 'esmkit design --regions'.

    Example: esmkit antibody regions chains.fasta --out regions.csv
    """
    from esmkit.applications.antibodies import number_regions, regions_csv
    from esmkit.sinks.files import write_whole

    text = regions_csv(number_regions(list(_chains(sources))))
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, text)
    return 0


def _chains(sources: Iterable[str]) -> Iterator[Record]:
    """The chains of files, and those that are written out, which are called chain1, chain2, ... by their place."""
    from esmkit.inputs import open_records
    from esmkit.types import Record

    for number, source in enumerate(sources, start=1):
        if source.isalpha() and source.isupper() and not Path(source).is_file():
            yield Record(number, f"chain{number}", source)
        else:
            yield from open_records(source)
