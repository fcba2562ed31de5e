"""Options of `esmkit mutations`, `benchmark` and `design`; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from esmkit.cli.options import INPUT, MODEL, EngineOptions, Json, MaxLength, Overwrite, Quiet

MethodName = Literal["wt_marginal", "masked_marginal", "mutant_marginal", "pseudo_log_likelihood", "one_pass_pll"]

Offset = Annotated[
    int,
    typer.Option(
        help="Added by the numbering to places in the sequence: 23 if it starts at 24.", rich_help_panel=INPUT
    ),
]
ProteinId = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Which protein of a file of several.", rich_help_panel=INPUT)
]


@dataclass(frozen=True, slots=True)
class ModelsOptions:
    """One or several models, device, output; `mutation_run.load_models` acts on it."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Slug, hub id, or path; may be repeated. By default esm2-mini.",
            rich_help_panel=MODEL,
            show_default=False,
        ),
    ] = None
    long: Annotated[
        Literal["error", "window"], typer.Option(help="Sequences above --max-length.", rich_help_panel=INPUT)
    ] = "error"
    max_length: MaxLength = 2048
    engine: EngineOptions = EngineOptions()  # noqa: RUF009
    overwrite: Overwrite = False
    quiet: Quiet = False
    json: Json = False


@dataclass(frozen=True, slots=True)
class ScoringOptions(ModelsOptions):
    """What all these commands share: method, models, device; `cli/mutation_run.py` acts on it."""

    method: Annotated[
        MethodName,
        typer.Option(
            help="How variants are scored; pseudo_log_likelihood and one_pass_pll take insertions, deletions."
        ),
    ] = "masked_marginal"
