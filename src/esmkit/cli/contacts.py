"""`esmkit contacts`: contact probabilities, to a file and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esmkit.cli.options import ClusterOptions, RunOptions, with_run_options


@with_run_options
def contacts(
    run: RunOptions,
    cluster: ClusterOptions,
    plot: Annotated[
        Path | None, typer.Option(help="PNG, PDF or SVG of the map; a directory when there are several records.")
    ] = None,
) -> int:
    """Predict which residues touch: an L x L map of probabilities per protein.

    Example: esmkit contacts protein.fasta --plot contacts.png
    """
    from esmkit.cli.contact_plot import ContactPlots
    from esmkit.cli.run import execute
    from esmkit.errors import InvalidConfigError
    from esmkit.outputs import OutputOptions

    if plot is None:
        return execute(run, ["contacts"], OutputOptions(), cluster=cluster)
    if cluster.ray is not None:
        raise InvalidConfigError(
            "--plot draws results here, with --ray they are elsewhere; leave one out", setting="plot"
        )
    plots = ContactPlots(plot)
    # The target is part of what the run was asked, so that a finished run is not taken for one that also drew.
    code = execute(run, ["contacts"], OutputOptions(), observer=plots, asked={"plot": str(plot)})
    plots.finish()
    return code


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("contacts")(contacts)
