"""`esmkit embed`: embeddings and, on request, any other output in the same pass."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from esmkit.cli.options import ClusterOptions, RunOptions, numbers, with_run_options


@with_run_options
def embed(
    run: RunOptions,
    cluster: ClusterOptions,
    layers: Annotated[str, typer.Option(help="Layers 0..N or from the end, e.g. -1 or 0,6,-1.")] = "-1",
    pool: Annotated[
        Literal["mean", "max", "bos"] | None,
        typer.Option(help="How residues become one embedding; mean by default.", show_default=False),
    ] = None,
    include: Annotated[
        str | None,
        typer.Option(
            help="In place of --pool, several outputs in one pass, with commas: mean, max, bos, per_residue, contacts, "
            "logits, attentions, log_prob, pseudo_log_likelihood."
        ),
    ] = None,
) -> int:
    """Embed proteins: one vector each, or per residue, from any layers.

    Example: esmkit embed proteins.fasta --out embeddings.parquet
    """
    from esmkit.cli.run import execute
    from esmkit.errors import InvalidConfigError
    from esmkit.outputs import OutputOptions

    if pool is not None and include is not None:
        raise InvalidConfigError(
            f"give either --pool or --include, one of the two: --include {include},{pool}", setting="pool"
        )
    names = [name.strip() for name in include.split(",")] if include is not None else [pool or "mean"]
    return execute(run, names, OutputOptions(layers=numbers(layers, setting="layers")), cluster=cluster)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("embed")(embed)
