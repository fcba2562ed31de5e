"""`esmkit train head` and `esmkit train finetune`: predictors of measured properties from labelled proteins."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from esmkit.cli.label_options import about
from esmkit.cli.options import numbers, with_options
from esmkit.cli.train_label_options import FinetuneOptions, HeadOptions
from esmkit.cli.train_run import INTERRUPTED, asked_to_stop, say

if TYPE_CHECKING:
    from esmkit.applications.predictors import Card
    from esmkit.batching import LengthPolicy
    from esmkit.engine import Model
    from esmkit.training.dataset import LabelledSet
    from esmkit.training.folder import TrainingFolder
    from esmkit.training.loop import Conduct
    from esmkit.training.recipe import Recipe
    from esmkit.training.supervised import Adapter, Design, LabelTraining

HEAD = "head"
"""In the folder of a fine-tuning run, that of the run which trains the head it starts with."""
PREDICTOR = "predictor"
RATES = {"none": 1e-3, "lora": 3e-4, "full": 5e-5}
"""Learning rates where none is given."""
SCORES_EVERY_S = 5.0


@with_options(HeadOptions, "options")
def head(options: HeadOptions) -> int:
    """Train a head on labels, on top of a model that stays as it is.

    Example: esmkit train head measured.csv --label-column solubility --task regression --out run
    """
    from esmkit.training.supervised import Adapter

    run = _prepare(options)
    with run.folder(options, Adapter()) as folder:
        return run.report({PREDICTOR: run.head(folder, options, Adapter())})


@with_options(FinetuneOptions, "options")
def finetune(options: FinetuneOptions) -> int:
    """Train a head on labels, then head and model together: by LoRA, or --full.

    Example: esmkit train finetune measured.csv --label-column solubility --task regression --out run
    """
    from esmkit.training.supervised import Adapter

    run = _prepare(options)
    adapter = Adapter("full") if options.full else Adapter("lora", options.lora_rank, options.lora_alpha)
    first = HeadOptions(seed=options.seed, out=run.out / HEAD)
    with run.folder(options, adapter) as folder:
        with run.folder(first, Adapter()) as inner:
            head_alone = run.head(inner, first, Adapter())
        if head_alone is None:
            return INTERRUPTED
        _say_scores(head_alone, "head alone", options)
        return run.report({HEAD: head_alone, PREDICTOR: run.model_too(folder, inner.product, options, adapter)})


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("head")(head)
    app.command("finetune")(finetune)


@dataclass(frozen=True, slots=True)
class _Run:
    """A command line with its data and model."""

    options: HeadOptions
    data: LabelledSet
    model: Model
    length: LengthPolicy

    @property
    def out(self) -> Path:
        """The folder of the run."""
        assert self.options.out is not None
        return self.options.out

    def design(self, adapter: Adapter) -> Design:
        """What is trained."""
        from esmkit.training.supervised import Design

        wanted = dict.fromkeys(
            self.model.shape.layer(number) for number in numbers(self.options.layers, setting="layers")
        )
        base = {name: self.model.provenance[name] for name in ("slug", "source", "weights_sha256")}
        long = {"policy": self.length.on_long, "max_length": self.length.limit}
        return Design(base, tuple(wanted), self.options.hidden, adapter, long)

    def recipe(self, options: HeadOptions, adapter: Adapter) -> Recipe:
        """What decides the numbers."""
        from esmkit.training.budget import Budget
        from esmkit.training.recipe import Precision, Recipe

        rate = RATES[adapter.kind] if options.learning_rate is None else options.learning_rate
        precision: Precision = "float32"
        if isinstance(options, FinetuneOptions):
            fastest: Precision = "bfloat16" if self.model.engine.runner.device.type == "cuda" else "float32"
            precision = fastest if options.dtype == "auto" else options.dtype
        names = ("batch_tokens", "accumulate", "warmup_steps", "weight_decay", "clip", "seed", "patience")
        return Recipe(
            budget=Budget("epochs", options.epochs),
            crop=self.length.limit,
            learning_rate=rate,
            validations=math.ceil(options.epochs),
            precision=precision,
            **{name: getattr(options, name) for name in names},
        )

    def folder(self, options: HeadOptions, adapter: Adapter) -> TrainingFolder:
        """The folder of a run of these options."""
        from esmkit.training.finetune import identity
        from esmkit.training.folder import TrainingFolder
        from esmkit.training.supervised import PRODUCT

        assert options.out is not None
        about = identity(self.data, self.design(adapter), self.recipe(options, adapter))
        return TrainingFolder(options.out, about, product=PRODUCT)

    def head(self, folder: TrainingFolder, options: HeadOptions, adapter: Adapter) -> Card | None:
        """Trains the head alone; None when that was stopped."""
        from esmkit.applications.predictors import Card
        from esmkit.cli.progress import Progress
        from esmkit.training.features import FrozenFeatures
        from esmkit.training.finetune import on_frozen_model

        if folder.product.exists():
            return Card.read(folder.product)
        design, records = self.design(adapter), self.data.records
        with Progress(lambda: iter(records), [False], enabled=not self.options.quiet) as bar:
            features = FrozenFeatures.of(self.model, self.data, design.layers, self.length, folder.path, bar)
        recipe = self.recipe(options, adapter)
        return self.train(folder, partial(on_frozen_model, features, self.data, design, recipe, folder))

    def model_too(self, folder: TrainingFolder, start: Path, options: FinetuneOptions, adapter: Adapter) -> Card | None:
        """Trains head and model; None when that was stopped."""
        from esmkit.applications.predictors import Card
        from esmkit.training.finetune import on_model_in_training

        if folder.product.exists():
            return Card.read(folder.product)
        design, recipe = self.design(adapter), self.recipe(options, adapter)
        return self.train(folder, partial(on_model_in_training, self.model, start, self.data, design, recipe, folder))

    def train(self, folder: TrainingFolder, begin: Callable[[Conduct], LabelTraining]) -> Card | None:
        """Runs a training to its end, or until somebody stops it."""
        from esmkit.cli.train_progress import TrainProgress
        from esmkit.training.loop import Conduct

        quiet = self.options.quiet
        with TrainProgress(enabled=not quiet, scores_every_s=SCORES_EVERY_S) as progress, asked_to_stop() as stop:
            seconds = 60 * self.options.checkpoint_minutes
            training = begin(Conduct(checkpoint_seconds=seconds, stop=stop, observe=progress.show))
            if training.position.step:
                say(f"going on from step {training.position.step:,}", quiet=quiet)
            progress.begin(training.share, training.position.tokens)
            if training.run():
                return training.finish()
        say(f"stopped: checkpoint in {folder.checkpoint()}; the same command goes on from there", quiet=quiet)
        return None

    def report(self, cards: Mapping[str, Card | None]) -> int:
        """To stderr in words, or to stdout as one JSON object; the exit code."""
        last = cards.get(PREDICTOR)
        where = None if last is None else str(self.out / PREDICTOR)
        if self.options.json:
            found = {name: card.metrics for name, card in cards.items() if card is not None}
            typer.echo(json.dumps({"complete": last is not None, "metrics": found, "out": where}))
        elif last is not None:
            _say_scores(last, PREDICTOR, self.options)
            say(f"predictor in {where}", quiet=self.options.quiet)
        return INTERRUPTED if last is None else 0


def _prepare(options: HeadOptions) -> _Run:
    """Reads the data and loads the model."""
    from esmkit.applications.labelled.metrics import demand_sklearn
    from esmkit.config import Settings
    from esmkit.engine import load

    options.demand(options.out)
    demand_sklearn()
    length = options.length()
    data = _labelled(options, length)
    settings = Settings.from_env(os.environ, offline=options.offline or None)
    model = load(options.model, device=options.device, threads=options.threads, length=length, settings=settings)
    return _Run(options, data, model, length)


def _labelled(options: HeadOptions, length: LengthPolicy) -> LabelledSet:
    """The data; says how it is split."""
    from esmkit.errors import InvalidConfigError
    from esmkit.training.dataset import read_labelled

    if options.split_column and (options.valid or options.test):
        raise InvalidConfigError(
            "give either --split-column, or --valid and --test, one of the two", setting="split_column"
        )
    sources = {"train": options.source, "valid": options.valid, "test": options.test}
    data = read_labelled(
        {part: source for part, source in sources.items() if source},
        options.columns(),
        options.what(options.level),
        residues=options.residues(),
        length=length,
        seed=options.seed,
    )
    for line in about(data):
        say(line, quiet=options.quiet)
    return data


def _say_scores(card: Card, name: str, options: HeadOptions) -> None:
    """The scores of the parts that were not trained on."""
    from esmkit.cli.train_progress import scores

    for part in ("valid", "test"):
        if part in card.metrics:
            found = {key: value for key, value in card.metrics[part].items() if key not in ("proteins", "labels")}
            say(f"{name}, {part}: {scores(found)}", quiet=options.quiet)
