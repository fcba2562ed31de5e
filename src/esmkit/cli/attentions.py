"""`esmkit attentions`: per-layer means as BioLM gives them, or full maps of chosen layers and heads."""

from __future__ import annotations

from typing import Annotated

import typer

from esmkit.cli.options import ClusterOptions, RunOptions, numbers, with_run_options


@with_run_options
def attentions(
    run: RunOptions,
    cluster: ClusterOptions,
    attention_layers: Annotated[
        str | None, typer.Option(help="Full maps of these layers, 1..N or from the end, e.g. -1.")
    ] = None,
    attention_heads: Annotated[str | None, typer.Option(help="Full maps of these heads, 1..H.")] = None,
) -> int:
    """Show where the model looks: attention each residue receives, per layer; or full maps.

    Example: esmkit attentions protein.fasta --attention-layers -1 --out maps.npz
    """
    from esmkit.cli.run import execute
    from esmkit.outputs import OutputOptions

    layers, heads = (
        numbers(text, setting=setting) if text is not None else None
        for text, setting in ((attention_layers, "attention_layers"), (attention_heads, "attention_heads"))
    )
    name = "attentions" if layers is None and heads is None else "attention_maps"
    return execute(run, [name], OutputOptions(attention_layers=layers, attention_heads=heads), cluster=cluster)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("attentions")(attentions)
