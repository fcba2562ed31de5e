"""`esmkit likelihood`: how natural a sequence looks to the model."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from esmkit.cli.options import ClusterOptions, RunOptions, Vocabulary, with_run_options


@with_run_options
def likelihood(
    run: RunOptions,
    cluster: ClusterOptions,
    method: Annotated[
        Literal["both", "log_prob", "pseudo_log_likelihood"],
        typer.Option(help="log_prob: one unmasked pass. pseudo_log_likelihood: one mask per residue, exact, L passes."),
    ] = "both",
    vocabulary: Annotated[
        Vocabulary, typer.Option(help="Softmax over the 20 amino acids, or all 33 tokens.")
    ] = "standard",
) -> int:
    """Score whole sequences: log_prob, pseudo log likelihood, pseudo perplexity; a table without --out.

    Example: esmkit likelihood proteins.fasta
    """
    from esmkit.cli.run import execute
    from esmkit.cli.tables import ScalarTable
    from esmkit.outputs import OutputOptions

    names = ["log_prob", "pseudo_log_likelihood"] if method == "both" else [method]
    return execute(run, names, OutputOptions(vocabulary=vocabulary), printer=ScalarTable(), cluster=cluster)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("likelihood")(likelihood)
