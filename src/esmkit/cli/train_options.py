"""Options of `esmkit train`; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

DATA, MODEL, BUDGET, RECIPE = "Data", "Model", "Budget: one of", "Recipe: what decides the numbers"
RUN, OUT = "Run", "Output"

Lowercase = Annotated[
    Literal["error", "upper"], typer.Option(help="Refuse lower case, or read it as upper.", rich_help_panel=DATA)
]
StripStop = Annotated[
    bool, typer.Option("--strip-stop", help="Drop one * at the end of a sequence.", rich_help_panel=DATA)
]
BatchTokens = Annotated[int, typer.Option(help="Tokens of one pass at most.", rich_help_panel=RECIPE)]
Accumulate = Annotated[int, typer.Option(help="Passes per step.", rich_help_panel=RECIPE)]
WarmupSteps = Annotated[int, typer.Option(help="Steps of rising to it.", rich_help_panel=RECIPE)]
WeightDecay = Annotated[float, typer.Option(help="Of AdamW.", rich_help_panel=RECIPE)]
Clip = Annotated[float, typer.Option(help="Largest norm of a gradient.", rich_help_panel=RECIPE)]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="Of the passes; auto: bfloat16 on CUDA, else float32.", rich_help_panel=RECIPE),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN)]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=RUN)]
CheckpointMinutes = Annotated[
    float, typer.Option(min=0, help="Between checkpoints: what kill -9 costs.", rich_help_panel=RUN)
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.", rich_help_panel=RUN)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.", rich_help_panel=RUN)]
Json = Annotated[bool, typer.Option("--json", help="Summary as JSON on stdout.", rich_help_panel=RUN)]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run.", rich_help_panel=OUT)]


@dataclass(frozen=True, slots=True)
class MlmOptions:
    """Of `esmkit train mlm`; what is a field of `Recipe` has its name."""

    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT...", help="FASTA, CSV, TSV or Parquet (.gz .zst ...), one or several."),
    ] = None
    valid: Annotated[
        list[str] | None, typer.Option(help="Held-out sequences, for perplexity; repeatable.", rich_help_panel=DATA)
    ] = None
    lowercase: Lowercase = "error"
    strip_stop: StripStop = False
    start: Annotated[
        str | None, typer.Option("--from", help="Train on from this model: slug or path.", rich_help_panel=MODEL)
    ] = None
    config: Annotated[
        Path | None, typer.Option(help="A config.json with the shape of a new model.", rich_help_panel=MODEL)
    ] = None
    layers: Annotated[int | None, typer.Option(min=1, help="Of a new model.", rich_help_panel=MODEL)] = None
    width: Annotated[int | None, typer.Option(min=1, help="Of a new model.", rich_help_panel=MODEL)] = None
    heads: Annotated[int | None, typer.Option(min=1, help="Of a new model.", rich_help_panel=MODEL)] = None
    steps: Annotated[int | None, typer.Option(help="Steps of the optimizer.", rich_help_panel=BUDGET)] = None
    tokens: Annotated[float | None, typer.Option(help="Tokens seen, e.g. 2e9.", rich_help_panel=BUDGET)] = None
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.", rich_help_panel=BUDGET)] = None
    minutes: Annotated[float | None, typer.Option(help="Time, all resumes together.", rich_help_panel=BUDGET)] = None
    crop: Annotated[
        int, typer.Option(help="Residues of a row; a random stretch of longer ones.", rich_help_panel=RECIPE)
    ] = 512
    batch_tokens: BatchTokens = 4096
    accumulate: Accumulate = 4
    learning_rate: Annotated[float, typer.Option(help="At its peak.", rich_help_panel=RECIPE)] = 1e-3
    warmup_steps: WarmupSteps = 200
    decay: Annotated[
        Literal["linear", "cosine", "trapezoid"], typer.Option(help="How it falls.", rich_help_panel=RECIPE)
    ] = "linear"
    final_rate: Annotated[
        float, typer.Option(help="What it falls to, as a share of the peak.", rich_help_panel=RECIPE)
    ] = 0.0
    weight_decay: WeightDecay = 0.01
    clip: Clip = 1.0
    validations: Annotated[int, typer.Option(help="Over the whole budget.", rich_help_panel=RECIPE)] = 10
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, crops, masks.", rich_help_panel=RECIPE)] = 0
    dtype: Dtype = "auto"
    device: Device = "auto"
    threads: Threads = None
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile, for a GPU.", rich_help_panel=RUN)] = False
    checkpoint_minutes: CheckpointMinutes = 5.0
    offline: Offline = False
    quiet: Quiet = False
    json: Json = False
    out: Out = None
    name: Annotated[
        str | None, typer.Option(help="Slug of the model; by default the name of --out.", rich_help_panel=OUT)
    ] = None
    out_dtype: Annotated[
        Literal["float32", "float16", "bfloat16"], typer.Option(help="Of the trained model.", rich_help_panel=OUT)
    ] = "float32"
    plot: Annotated[Path | None, typer.Option(help="Picture of the loss curve.", rich_help_panel=OUT)] = None
