"""Options of `esmkit fit`; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from esmkit.cli.label_options import TableOptions
from esmkit.cli.train_options import DATA, MODEL, OUT, RUN, Device, Json, Offline, Quiet, Threads

CHOICE = "What is tried"


@dataclass(frozen=True, slots=True)
class FitCommand(TableOptions):
    """Of `esmkit fit`; `cli/fit.py` acts on it."""

    split: Annotated[
        Literal["random", "cluster"],
        typer.Option(
            help="What is kept together in test part and folds: equal sequences, or clusters of relatives.",
            rich_help_panel=DATA,
        ),
    ] = "random"
    model: Annotated[
        str, typer.Option("--model", "-m", help="The base model: slug, hub id, or path.", rich_help_panel=MODEL)
    ] = "esm2-mini"
    device: Device = "auto"
    layers: Annotated[
        str,
        typer.Option(
            help="Layers to choose from: 0..N or from the end; by default a third, two thirds and all of the way up.",
            rich_help_panel=CHOICE,
        ),
    ] = ""
    pooling: Annotated[str, typer.Option(help="To choose from: mean, max, bos.", rich_help_panel=CHOICE)] = "mean"
    estimator: Annotated[
        Literal["auto", "ridge", "logistic", "boosting", "mlp"],
        typer.Option(help="auto tries all that suit the task.", rich_help_panel=CHOICE),
    ] = "auto"
    folds: Annotated[int, typer.Option(help="Of the cross-validation.", rich_help_panel=CHOICE)] = 5
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare with features that need no model: composition, onehot; may be repeated.",
            rich_help_panel=CHOICE,
        ),
    ] = None
    seed: Annotated[
        int, typer.Option(min=0, help="Of test part, folds, estimators and intervals.", rich_help_panel=CHOICE)
    ] = 0
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep representations for the next run.", rich_help_panel=RUN)
    ] = True
    threads: Threads = None
    offline: Offline = False
    quiet: Quiet = False
    json: Json = False
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the predictor.", rich_help_panel=OUT)] = (
        None
    )
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a predictor at --out.", rich_help_panel=OUT)
    ] = False
    plot: Annotated[Path | None, typer.Option(help="Folder of pictures of the test part.", rich_help_panel=OUT)] = None
