"""Options of `esmkit train head` and `esmkit train finetune`; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from esmkit.cli.label_options import TableOptions
from esmkit.cli.train_options import (
    DATA,
    MODEL,
    RECIPE,
    Accumulate,
    BatchTokens,
    CheckpointMinutes,
    Clip,
    Device,
    Dtype,
    Json,
    Offline,
    Out,
    Quiet,
    Threads,
    WarmupSteps,
    WeightDecay,
)

ADAPTER = "How the model is adapted"


@dataclass(frozen=True, slots=True)
class HeadOptions(TableOptions):
    """Of `esmkit train head`; what is a field of `Recipe` has its name."""

    level: Annotated[
        Literal["sequence", "residue"],
        typer.Option(help="One label per protein, or one per residue.", rich_help_panel=DATA),
    ] = "sequence"
    valid: Annotated[
        str | None, typer.Option(help="Table that decides when to stop, of the same columns.", rich_help_panel=DATA)
    ] = None
    model: Annotated[
        str, typer.Option("--model", "-m", help="The base model: slug, hub id, or path.", rich_help_panel=MODEL)
    ] = "esm2-mini"
    layers: Annotated[
        str, typer.Option(help="Layers that the head sees, joined: 0..N or from the end.", rich_help_panel=MODEL)
    ] = "-1"
    hidden: Annotated[
        int, typer.Option(min=0, help="Width of the head's hidden layer; 0: none.", rich_help_panel=MODEL)
    ] = 64
    epochs: Annotated[float, typer.Option(help="Passes over the train part at most.", rich_help_panel=RECIPE)] = 200
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better one, then it ends.", rich_help_panel=RECIPE)
    ] = 20
    batch_tokens: BatchTokens = 16384
    accumulate: Accumulate = 1
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="At its peak; by default 1e-3 for a head, 3e-4 for LoRA, 5e-5 for --full.", rich_help_panel=RECIPE
        ),
    ] = None
    warmup_steps: WarmupSteps = 20
    weight_decay: WeightDecay = 0.01
    clip: Clip = 1.0
    seed: Annotated[int, typer.Option(min=0, help="Of split, weights and order.", rich_help_panel=RECIPE)] = 0
    device: Device = "auto"
    threads: Threads = None
    checkpoint_minutes: CheckpointMinutes = 5.0
    offline: Offline = False
    quiet: Quiet = False
    json: Json = False
    out: Out = None


@dataclass(frozen=True, slots=True)
class FinetuneOptions(HeadOptions):
    """Of `esmkit train finetune`: the same, and how the model is adapted."""

    epochs: Annotated[float, typer.Option(help="Passes over the train part at most.", rich_help_panel=RECIPE)] = 20
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better one, then it ends.", rich_help_panel=RECIPE)
    ] = 5
    batch_tokens: BatchTokens = 4096
    full: Annotated[
        bool, typer.Option("--full", help="Train every weight, instead of LoRA.", rich_help_panel=ADAPTER)
    ] = False
    lora_rank: Annotated[int, typer.Option(min=1, help="Of LoRA.", rich_help_panel=ADAPTER)] = 8
    dtype: Dtype = "auto"
    lora_alpha: Annotated[float, typer.Option(help="Of LoRA: changes count alpha / rank.", rich_help_panel=ADAPTER)] = (
        16.0
    )
