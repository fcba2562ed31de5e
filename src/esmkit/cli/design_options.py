"""Options of `esmkit design`; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from esmkit.cli.options import INPUT

SPACE, GOAL, SEARCH, CHOICE = "What may change", "What is wanted", "Search", "Choice"
LEARNING = "Learning"

Seed = Annotated[int, typer.Option(min=0, help="Of everything random.", rich_help_panel=CHOICE)]
MinDistance = Annotated[
    int,
    typer.Option(min=1, help="Positions at which any two differ at least.", rich_help_panel=CHOICE),
]


@dataclass(frozen=True, slots=True)
class SpaceOptions:
    """Which variants may be proposed; `cli/design_run.py` makes a Space of it."""

    positions: Annotated[
        str | None, typer.Option(help="That may change, e.g. 39-41,54; all by default.", rich_help_panel=SPACE)
    ] = None
    fixed: Annotated[str | None, typer.Option(help="Positions that may not.", rich_help_panel=SPACE)] = None
    regions: Annotated[
        Path | None, typer.Option(help="Table: start, end, region; only these may change.", rich_help_panel=SPACE)
    ] = None
    only_regions: Annotated[
        str | None, typer.Option(help="Which of them, e.g. CDR1,CDR3; all by default.", rich_help_panel=SPACE)
    ] = None
    allowed: Annotated[
        str | None,
        typer.Option(metavar="RESIDUES", help="That may be put in; all 20 by default.", rich_help_panel=SPACE),
    ] = None
    allowed_at: Annotated[
        str | None,
        typer.Option(
            metavar="LIST|FILE",
            help="The same at single positions: 39:AVIL,54:G, or a table: position, residues.",
            rich_help_panel=SPACE,
        ),
    ] = None
    mutations: Annotated[
        str | None,
        typer.Option(
            metavar="N|N-M", help="How many, such as 3 or 1-4; propose: 1-3, next: any.", rich_help_panel=SPACE
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class ProposeOptions:
    """What `design propose` maximises and how."""

    predictor: Annotated[
        Path | None,
        typer.Option(help="Folder of a trained predictor, to maximise what it predicts.", rich_help_panel=GOAL),
    ] = None
    predictor_class: Annotated[
        str | None, typer.Option(help="The class whose probability is wanted.", rich_help_panel=GOAL)
    ] = None
    predictor_weight: Annotated[
        float | None, typer.Option(help="By default 1; negative where less is better.", rich_help_panel=GOAL)
    ] = None
    model_weight: Annotated[
        float | None,
        typer.Option(help="Of the likelihood; by default 1, with --predictor 0.", rich_help_panel=GOAL),
    ] = None
    strategy: Annotated[
        Literal["greedy", "beam", "gibbs", "anneal"], typer.Option(help="How to search.", rich_help_panel=SEARCH)
    ] = "beam"
    width: Annotated[int, typer.Option(min=1, help="Of beam: variants kept.", rich_help_panel=SEARCH)] = 10
    chains: Annotated[int, typer.Option(min=1, help="Of gibbs, anneal: side by side.", rich_help_panel=SEARCH)] = 10
    steps: Annotated[int, typer.Option(min=1, help="Of each chain.", rich_help_panel=SEARCH)] = 200
    temperature: Annotated[
        float, typer.Option(help="Of gibbs; of anneal the first. In units of the objective.", rich_help_panel=SEARCH)
    ] = 1.0
    final_temperature: Annotated[float, typer.Option(help="Of anneal: the last.", rich_help_panel=SEARCH)] = 0.05
    proposals: Annotated[int, typer.Option(min=1, help="How many.", rich_help_panel=CHOICE)] = 10
    min_distance: MinDistance = 1
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class NextOptions:
    """What `design next` learns from, and how it chooses."""

    variant_column: Annotated[
        str | None, typer.Option(help="Column with A24G, A24G:K30R ...", rich_help_panel=INPUT)
    ] = None
    sequence_column: Annotated[
        str | None, typer.Option(help="Column with whole variant sequences.", rich_help_panel=INPUT)
    ] = None
    label_column: Annotated[
        str, typer.Option(help="Column with what was measured.", rich_help_panel=INPUT, show_default=False)
    ] = ""
    candidates: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Variants to choose from, columns as above.", rich_help_panel=SPACE),
    ] = None
    generate: Annotated[
        Literal["combinations", "offspring"],
        typer.Option(
            help="Otherwise: all combinations of --positions, or offspring of the best so far.", rich_help_panel=SPACE
        ),
    ] = "combinations"
    max_candidates: Annotated[
        int, typer.Option(min=1, help="Of a larger space, so many at random.", rich_help_panel=SPACE)
    ] = 10_000
    parents: Annotated[int, typer.Option(min=1, help="Of offspring: the best so many.", rich_help_panel=SPACE)] = 10
    features: Annotated[
        Literal["both", "embeddings", "residues"],
        typer.Option(help="What is learnt from; residues need no model.", rich_help_panel=LEARNING),
    ] = "both"
    layer: Annotated[int, typer.Option(help="Of embeddings; 0..N, -1 is the last.", rich_help_panel=LEARNING)] = -1
    pooling: Annotated[Literal["mean", "max", "bos"], typer.Option(help="Of embeddings.", rich_help_panel=LEARNING)] = (
        "mean"
    )
    members: Annotated[int, typer.Option(min=2, help="Of the ensemble.", rich_help_panel=LEARNING)] = 32
    plate: Annotated[int, typer.Option(min=1, help="How many variants are wanted.", rich_help_panel=CHOICE)] = 96
    goal: Annotated[
        Literal["max", "min"], typer.Option(help="High labels are wanted, or low ones.", rich_help_panel=CHOICE)
    ] = "max"
    acquisition: Annotated[
        Literal["exploit", "ucb", "thompson"],
        typer.Option(help="Best mean; mean + beta sd; or a random member's best.", rich_help_panel=CHOICE),
    ] = "ucb"
    beta: Annotated[float, typer.Option(min=0, help="Of ucb: more explores more.", rich_help_panel=CHOICE)] = 1.0
    min_distance: MinDistance = 1
    seed: Seed = 0
