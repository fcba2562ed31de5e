"""`esmkit fit`: a predictor of a measured property, from a table and a model that stays as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from esmkit.cli.fit_options import FitCommand
from esmkit.cli.label_options import about
from esmkit.cli.options import numbers, with_options
from esmkit.cli.train_run import say

if TYPE_CHECKING:
    from esmkit.applications.fitting import Fit, FitData, FitOptions, Trial
    from esmkit.engine import Model

SHOWN = ("r2", "spearman", "log_likelihood", "mcc")
"""Scores of a trial on stderr: what decides, and what people compare; predictor.json has all of them."""


@with_options(FitCommand, "options")
def fit(options: FitCommand) -> int:
    """Fit a predictor of a property of proteins to their embeddings; choose by cross-validation, test, save.

    Example: esmkit fit measured.csv --label-column solubility --task regression --out predictor
    """
    tried = _check(options)
    data = _read(options)
    found = _fit(options, tried, data, _load(options))
    assert options.out is not None
    folder = found.save(options.out, overwrite=options.overwrite)
    pictures = []
    if options.plot is not None:
        from esmkit.applications.fitting.plots import draw

        pictures = draw(found, options.plot)
    if options.json:
        facts = {"metrics": found.card.metrics, "trials": [trial.to_dict() for trial in found.trials]}
        typer.echo(json.dumps({**facts, "out": str(folder), "pictures": [str(path) for path in pictures]}))
        return 0
    for line in _report(found):
        say(line, quiet=options.quiet)
    for path in pictures:
        say(f"picture in {path}", quiet=options.quiet)
    say(f"predictor in {folder}", quiet=options.quiet)
    return 0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("fit")(fit)


def _check(options: FitCommand) -> FitOptions:
    """Refuses what cannot work before anything is read."""
    from esmkit.applications.fitting import FitOptions
    from esmkit.applications.fitting.fit import demand_libraries
    from esmkit.applications.fitting.result import demand_place
    from esmkit.errors import InvalidConfigError, demand_module

    options.demand(options.out)
    assert options.out is not None
    demand_place(options.out, overwrite=options.overwrite)
    if options.split_column and options.test:
        raise InvalidConfigError("give either --split-column or --test, one of the two", setting="split_column")
    demand_libraries()
    if options.plot is not None:
        demand_module("matplotlib.backends.backend_agg", reason="--plot needs matplotlib", extra="plot")
    return FitOptions(
        estimator=options.estimator,
        layers=numbers(options.layers, setting="layers") if options.layers else (),
        pooling=tuple(name.strip() for name in options.pooling.split(",")),  # type: ignore[misc]
        baselines=tuple(options.baseline or ()),  # type: ignore[arg-type]
        folds=options.folds,
        seed=options.seed,
    )


def _read(options: FitCommand) -> FitData:
    """The data; says how it is split."""
    from esmkit.applications.fitting import read_fit_data

    sources = {"train": options.source} | ({"test": options.test} if options.test else {})
    data = read_fit_data(
        sources,
        options.columns(),
        options.what(),
        split=options.split,
        residues=options.residues(),
        seed=options.seed,
    )
    for line in about(data.labelled):
        say(line, quiet=options.quiet)
    if options.split == "cluster":
        say(f"{len(set(data.groups.tolist())):,} clusters of relatives by {data.method}", quiet=options.quiet)
        if "test" in data.labelled.parts and (related := data.related("test")):
            say(f"test: {related:,} of {len(data.members('test')):,} have relatives in train", quiet=options.quiet)
    return data


def _load(options: FitCommand) -> Model:
    """The base model."""
    from esmkit.config import Settings
    from esmkit.engine import load

    model = load(
        options.model,
        device=options.device,
        threads=options.threads,
        length=options.length(),
        settings=Settings.from_env(os.environ, offline=options.offline or None),
    )
    if notice := model.engine.loaded.notice:
        say(notice, quiet=options.quiet)
    return model


def _fit(options: FitCommand, tried: FitOptions, data: FitData, model: Model) -> Fit:
    """Fits, with progress and every trial on stderr."""
    from threadpoolctl import threadpool_limits

    from esmkit.applications import fitting
    from esmkit.applications.vectors import VectorCache
    from esmkit.cli.progress import Progress
    from esmkit.config import Settings

    def show(trial: Trial) -> None:
        say(_tried(trial), quiet=options.quiet)

    records = [record for _ in tried.pooling for record in data.records]
    cache = VectorCache.default(Settings.from_env(os.environ)) if options.cache else None
    bar = Progress(lambda: iter(records), [False], enabled=not options.quiet)
    with bar, threadpool_limits(options.threads):
        return fitting.fit(model, data, tried, cache=cache, watcher=bar, observe=show)


def _tried(trial: Trial) -> str:
    """One line of the table of trials."""
    candidate = trial.candidate
    setting = f"{candidate.setting} {candidate.value:g}"
    shown = ", ".join(f"{name} {_number(trial.scores[name])}" for name in SHOWN if name in trial.scores)
    return f"  {trial.features:<16} {candidate.estimator:<9} {setting:<18} {shown}"


def _report(found: Fit) -> Iterator[str]:
    """What was chosen, and a table of how well it and the baselines do on the test part."""
    metrics, chosen = found.card.metrics, found.chosen
    yield f"chosen by cross-validation: {chosen.features}; {chosen.candidate}"
    if "test" not in metrics:
        yield "there is no test part: scores are those of the folds, which flatter a little, as they were chosen by"
        return
    tested = {"predictor": metrics["test"]} | {name: each["test"] for name, each in metrics["baselines"].items()}
    yield f"  {'test, 95% interval':<20}" + "".join(f"{name:<24}" for name in tested).rstrip()
    for name in metrics["test"]["intervals"]:
        cells = (_with_interval(scores[name], scores["intervals"][name]) for scores in tested.values())
        yield f"  {name:<20}" + "".join(f"{cell:<24}" for cell in cells).rstrip()


def _with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    """A score and how sure it is.

    Example:
        >>> _with_interval(0.5123, (0.4, 0.6)), _with_interval(None, None)
        ('0.512 [0.400, 0.600]', 'undefined')
    """
    return _number(value) + (f" [{_number(ends[0])}, {_number(ends[1])}]" if ends else "")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
