"""`esmkit predict-property`: what a trained predictor says of proteins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from esmkit.cli.options import MODEL, RunOptions, with_options


@dataclass(frozen=True, slots=True)
class PropertyOptions(RunOptions):
    """The shared options; the model is that of the predictor."""

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="The model that the predictor was trained on, where it is not found by its name or path.",
            rich_help_panel=MODEL,
            show_default=False,
        ),
    ] = ""


@with_options(PropertyOptions, "run")
def predict_property(
    predictor: Annotated[
        Path, typer.Argument(metavar="PREDICTOR", help="Folder with predictor.json.", show_default=False)
    ],
    run: PropertyOptions,
    probabilities: Annotated[
        bool, typer.Option("--probabilities/--no-probabilities", help="Of classes, beside the most probable one.")
    ] = True,
) -> int:
    """Predict a property of proteins, or of their residues, with a predictor made by 'esmkit train'.

    Example: esmkit predict-property run/predictor proteins.fasta --out predictions.csv
    """
    from esmkit.applications.predictors import read_predictor
    from esmkit.cli.run import check, compute, load_model
    from esmkit.cli.tables import ScalarTable

    saved = read_predictor(predictor)
    is_array = saved.card.task.kind == "regression" and saved.card.task.level == "residue"
    check(run, shown=not is_array or run.json)
    model = load_model(replace(run, model=run.model or saved.base))
    output = saved.put_on(model, probabilities=probabilities)
    arguments = {"predictor_sha256": saved.sha256, "probabilities": probabilities}
    return compute(run, model, [output], arguments, printer=ScalarTable(texts=True))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("predict-property")(predict_property)
