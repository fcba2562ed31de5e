"""`esmkit logits`: what the model expects at every residue."""

from __future__ import annotations

from typing import Annotated

import typer

from esmkit.cli.options import ClusterOptions, RunOptions, Vocabulary, with_run_options


@with_run_options
def logits(
    run: RunOptions,
    cluster: ClusterOptions,
    vocabulary: Annotated[Vocabulary, typer.Option(help="The 20 amino acids, or all 33 tokens.")] = "standard",
) -> int:
    """Give the logits of every residue, unmasked, one pass.

    Columns stand in the order L A G V S E R T I D P K Q N F Y M H W C.

    Example: esmkit logits proteins.fasta --out logits.npz
    """
    from esmkit.cli.run import execute
    from esmkit.outputs import OutputOptions

    return execute(run, ["logits"], OutputOptions(vocabulary=vocabulary), cluster=cluster)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("logits")(logits)
