"""`esmkit predict`: fill in <mask>."""

from __future__ import annotations

from typing import Annotated

import typer

from esmkit.cli.options import ClusterOptions, RunOptions, Vocabulary, with_run_options


@with_run_options
def predict(
    run: RunOptions,
    cluster: ClusterOptions,
    top_k: Annotated[int, typer.Option(min=1, max=20, help="Residues listed per mask.")] = 5,
    vocabulary: Annotated[
        Vocabulary, typer.Option(help="Probabilities over the 20 amino acids, or all 33 tokens.")
    ] = "standard",
) -> int:
    """Predict the residues at every <mask>, with probabilities; a table without --out.

    Example: esmkit predict --sequence 'MKTAYIA<mask>QRQISFVK'
    """
    from esmkit.cli.run import execute
    from esmkit.cli.tables import PredictionTable
    from esmkit.outputs import OutputOptions

    options = OutputOptions(top_k=top_k, vocabulary=vocabulary)
    return execute(run, ["predict"], options, printer=PredictionTable(), cluster=cluster)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("predict")(predict)
