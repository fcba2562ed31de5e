"""`esmkit train mlm`: masked-language-model training."""

from __future__ import annotations

import dataclasses
import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import typer

from esmkit.cli.options import with_options
from esmkit.cli.train_options import MlmOptions
from esmkit.cli.train_run import INTERRUPTED, asked_to_stop, say

if TYPE_CHECKING:
    import torch
    from torch import nn

    from esmkit.config import Settings
    from esmkit.training.corpus import Corpus
    from esmkit.training.folder import TrainingFolder
    from esmkit.training.mlm import MlmTraining
    from esmkit.training.recipe import Recipe


@with_options(MlmOptions, "options")
def mlm(options: MlmOptions) -> int:
    """Train on hidden residues (masked language modelling), from random weights or on from a model.

    The same command again goes on where a run was stopped: by Ctrl-C, SIGTERM or kill -9.

    Example: esmkit train mlm proteins.fasta --layers 6 --width 160 --heads 10 --minutes 60 --out run
    """
    from esmkit.engine.model import choose_device
    from esmkit.engine.threads import set_threads
    from esmkit.training.plot import demand_matplotlib

    if options.plot is not None:
        demand_matplotlib()
    set_threads(options.threads)
    return _execute(options, choose_device(options.device))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("mlm")(mlm)


def _execute(options: MlmOptions, device: torch.device) -> int:
    from esmkit.alphabet import ResiduePolicy
    from esmkit.errors import InvalidConfigError
    from esmkit.training.corpus import Corpus
    from esmkit.training.folder import TrainingFolder

    if not options.sources or options.out is None:
        raise InvalidConfigError("name the sequences and a folder: esmkit train mlm INPUT --out run", setting="out")
    recipe = _recipe(options, device)
    module, origin = _start(options, device)
    residues = ResiduePolicy(options.lowercase, options.strip_stop)
    held_out = Corpus.read(options.valid, residues) if options.valid else None
    corpus = Corpus.read(options.sources, residues)
    data = {"train_sha256": corpus.sha256(), "valid_sha256": held_out and held_out.sha256()}
    identity = {"recipe": dataclasses.asdict(recipe), "start": origin, "data": data}
    with TrainingFolder(options.out, identity) as folder:
        return _train(options, recipe, module, folder, corpus, held_out)


def _recipe(options: MlmOptions, device: torch.device) -> Recipe:
    from esmkit.errors import InvalidConfigError
    from esmkit.training.budget import Budget, Unit
    from esmkit.training.recipe import Precision, Recipe

    budgets = [Budget(unit, amount) for unit in get_args(Unit) if (amount := getattr(options, unit)) is not None]
    if len(budgets) != 1:
        raise InvalidConfigError("say when to end: one of --steps, --tokens, --epochs, --minutes", setting="steps")
    named = {field.name for field in dataclasses.fields(Recipe)} & {field.name for field in dataclasses.fields(options)}
    fastest: Precision = "bfloat16" if device.type == "cuda" else "float32"
    precision = fastest if options.dtype == "auto" else options.dtype
    return Recipe(budget=budgets[0], precision=precision, **{name: getattr(options, name) for name in named})


def _start(options: MlmOptions, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """The model at step 0, and what identifies it."""
    from esmkit.errors import InvalidConfigError
    from esmkit.training.start import checkpoint, initialised, shape_in
    from esmkit.types import ModelShape

    sizes = (options.layers, options.width, options.heads)
    ways = [options.start is not None, options.config is not None, any(size is not None for size in sizes)]
    if sum(ways) != 1 or (ways[2] and None in sizes):
        raise InvalidConfigError(
            "say which model to train: a new one by --layers, --width and --heads, or by --config, or --from a model",
            setting="layers",
        )
    if options.start is not None:
        loaded = checkpoint(options.start, settings=_settings(options), device=device)
        return loaded.module, {key: loaded.provenance[key] for key in ("slug", "weights_sha256")}
    shape = shape_in(options.config) if options.config is not None else ModelShape(*sizes)  # type: ignore[arg-type]
    return initialised(shape, seed=options.seed, device=device), dataclasses.asdict(shape)


def _train(
    options: MlmOptions,
    recipe: Recipe,
    module: nn.Module,
    folder: TrainingFolder,
    corpus: Corpus,
    held_out: Corpus | None,
) -> int:
    import torch

    from esmkit.cli.train_progress import TrainProgress
    from esmkit.training.loop import Conduct
    from esmkit.training.mlm import MlmTraining
    from esmkit.training.plot import draw

    about: dict[str, Any] = {"slug": options.name or folder.path.resolve().name}
    with TrainProgress(enabled=not options.quiet) as progress, asked_to_stop() as stop:
        conduct = Conduct(60 * options.checkpoint_minutes, options.compiled, about, stop, progress.show)
        training = MlmTraining(module, recipe, corpus, folder, held_out=held_out, conduct=conduct)
        if training.position.step:
            say(f"going on from step {training.position.step:,}", quiet=options.quiet)
        progress.begin(recipe.budget.share(training.position), training.position.tokens)
        complete = training.run()
    if complete:
        folder.finish(partial(training.write, dtype=getattr(torch, options.out_dtype)))
    if options.plot is not None:
        draw(folder.read_log(), options.plot, about["slug"])
    _report(options, training, complete=complete)
    return 0 if complete else INTERRUPTED


def _report(options: MlmOptions, training: MlmTraining, *, complete: bool) -> None:
    """To stderr in words, or to stdout as one JSON object."""
    folder, position = training.folder, training.position
    scores = [line for line in folder.read_log() if "perplexity" in line]
    last = {name: scores[-1][name] for name in ("perplexity", "accuracy")} if scores else {}
    where = folder.product if complete else folder.checkpoint()
    facts = {"complete": complete, "steps": position.step, "tokens": position.tokens, "seconds": position.seconds}
    if options.json:
        typer.echo(json.dumps({**facts, **last, "out": str(where)}))
        return
    score = f", validation perplexity {last['perplexity']:.3f}" if last else ""
    say(
        f"{position.step:,} steps, {position.tokens:,} tokens, {position.seconds / 60:.1f} min{score}",
        quiet=options.quiet,
    )
    rest = "" if complete else "; the same command goes on from there"
    say(f"{'model' if complete else 'stopped: checkpoint'} in {where}{rest}", quiet=options.quiet)


def _settings(options: MlmOptions) -> Settings:
    from esmkit.config import Settings

    return Settings.from_env(os.environ, offline=options.offline or None)
