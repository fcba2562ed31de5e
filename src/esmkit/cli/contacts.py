"""`esmkit contacts`: contact probabilities, to a file and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esmkit.cli.options import RunOptions, with_run_options


@with_run_options
def contacts(
    run: RunOptions,
    plot: Annotated[
        Path | None, typer.Option(help="PNG, PDF or SVG of the map; a directory when there are several records.")
    ] = None,
) -> int:
    """Predict which residues touch: an L x L map of probabilities per protein.

    Example: esmkit contacts protein.fasta --plot contacts.png
    """
    from esmkit.cli.contact_plot import ContactPlots
    from esmkit.cli.run import execute
    from esmkit.outputs import OutputOptions

    return execute(run, ["contacts"], OutputOptions(), observer=ContactPlots(plot) if plot else None)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("contacts")(contacts)
