"""What the commands about mutations do: load the models, stream variants through them, write, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from esmkit import sinks
from esmkit.applications.mutations.methods import method_named
from esmkit.applications.mutations.scoring import listed, names_of, score_columns, stream
from esmkit.applications.mutations.variants import Variant
from esmkit.batching import LengthPolicy
from esmkit.cli.mutation_options import ModelsOptions, ScoringOptions
from esmkit.cli.mutation_progress import VariantProgress, VariantSummary
from esmkit.cli.run import SHARD_RECORDS, Meter, Printer
from esmkit.engine import Model, load
from esmkit.engine.budget import give_back_freed, shard_residues
from esmkit.engine.engine import Engine
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.inputs import open_records
from esmkit.types import Column, Failure, Record, Result

DEFAULT_MODEL = "esm2-mini"
FORMATS = (".csv", ".parquet", ".jsonl")


def load_models(options: ModelsOptions) -> list[Model]:
    """The models in the order given; a notice about an embedded one goes to stderr."""
    models = []
    for name in options.model or [DEFAULT_MODEL]:
        model = load(name, length=LengthPolicy(options.long, options.max_length), **options.engine.loading())
        models.append(model)
        notice = model.engine.loaded.notice
        if notice and not options.quiet:
            print(f"esmkit: {notice}", file=sys.stderr)  # noqa: T201
    return listed(models)


def one_protein(source: str, wanted: str | None) -> Record:
    """The one protein of a file, or the one with an id; FASTA, CSV, TSV or Parquet, or - for standard input.

    Raises:
        InvalidInputError: there is no such protein, or several and no id was given.
    """
    found = None
    for record in open_records(source):
        if wanted is not None and record.id != wanted:
            continue
        if found is not None and wanted is None:
            raise InvalidInputError(
                f"{source} holds several proteins, {found.id!r} and {record.id!r} first; choose one with --id",
                source=source,
            )
        found = found or record
    if found is None:
        raise InvalidInputError(f"{source} holds no protein {wanted!r}; check --id", source=source)
    return found


@dataclass(frozen=True)
class ScoringRun:
    """Variants on their way to a file or the screen.

    Attributes:
        options: the shared options.
        models: what they are scored with.
        variants: opens them from the start.
        cells: columns that the variants bring.
        settings: what else a resumed run must have been asked.
        total: how many there are, if that is known.
        on_error: what a bad variant does.
    """

    options: ScoringOptions
    models: list[Model]
    variants: Callable[[], Iterator[Variant | Failure]]
    cells: list[Column]
    settings: Mapping[str, Any]
    total: int | None = None
    on_error: Literal["stop", "skip"] = "stop"
    summary: VariantSummary = field(default_factory=VariantSummary)

    def __post_init__(self) -> None:
        scores = {column.name for column in score_columns(self.options.method, self.models)}
        if taken := sorted(scores & {column.name for column in self.cells}):
            raise InvalidConfigError(
                f"the table has a column {taken[0]!r} already, which is that of the scores; rename or remove it",
                setting="method",
            )

    def to_file(self, out: Path) -> VariantSummary:
        """Scores everything into a file or a directory of shards, or goes on where an earlier run stopped."""
        check_out(out)
        started = time.perf_counter()
        target = sinks.open_target(
            out,
            columns=self.columns(),
            arguments=self.asked(),
            provenance=self.provenance(),
            **self.sizing(),
            overwrite=self.options.overwrite,
        )
        with target, self._progress() as progress:
            for shard in target.pending(self.variants()):
                progress.skip_to(shard.first)
                for item in self.results(shard.records, progress):
                    shard.write(item)
                shard.commit()
                give_back_freed()
            done = target.finish()
        self.summary.finished(done, time.perf_counter() - started)
        return self.summary

    def to_screen(self, printer: Printer | None) -> list[Result]:
        """Scores everything, shows it, and keeps it."""
        started, results = time.perf_counter(), []
        with self._progress() as progress:
            shown: AbstractContextManager[Any] = progress.above() if printer else nullcontext()
            with shown:
                for item in self.results(self.variants(), progress):
                    self.summary.count(item)
                    if printer is not None:
                        printer.show(item, json=self.options.json)
                    if isinstance(item, Result):
                        results.append(item)
        self.summary.seconds = time.perf_counter() - started
        return results

    def _progress(self) -> VariantProgress:
        return VariantProgress(self.total, enabled=not self.options.quiet)

    @property
    def engines(self) -> list[Engine]:
        """Of its models."""
        return [model.engine for model in self.models]

    def columns(self) -> list[Column]:
        """What the variants bring, and the scores."""
        return [*self.cells, *score_columns(self.options.method, self.models)]

    def provenance(self) -> dict[str, Any]:
        """What makes the scores."""
        return provenance_of(self.models)

    def sizing(self) -> dict[str, Any]:
        """Where shards end."""
        first = self.models[0]
        residues = shard_residues(first.shape, first.engine.runner.device)
        return {"shard_records": SHARD_RECORDS, "shard_residues": residues}

    def results(self, variants: Iterable[Record | Failure], progress: Meter) -> Iterator[Result | Failure]:
        """Scores of a stretch of the variants, seen by progress."""
        for item in stream(self.models, variants, self.options.method, on_error=self.on_error):  # type: ignore[arg-type]
            progress.record(item.meta["length"] if isinstance(item, Result) else 0)
            yield item

    def asked(self) -> dict[str, Any]:
        """What changes the scores, for the manifest."""
        options = self.options
        return {
            "method": method_named(options.method).name,
            "long": options.long,
            "max_length": options.max_length,
            "on_error": self.on_error,
            **self.settings,
        }


def scoring_run(
    options: ScoringOptions,
    cells: list[Column],
    asked: Mapping[str, Any],
    *,
    on_error: Literal["stop", "skip"],
) -> ScoringRun:
    """A run with its models loaded, for variants that others hand it."""
    return ScoringRun(options, load_models(options), lambda: iter(()), cells, asked, on_error=on_error)


def provenance_of(models: Sequence[Model]) -> dict[str, Any]:
    """What made a result: the provenance of the model, or of each of several."""
    if len(models) == 1:
        return models[0].provenance
    return {"models": dict(zip(names_of(models), (model.provenance for model in models), strict=True))}


def names_in(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the models of `provenance_of`."""
    return tuple(provenance["models"]) if "models" in provenance else (provenance["slug"],)


def check_out(out: Path) -> None:
    """Refuses formats that do not hold a table of scores.

    Raises:
        InvalidConfigError: the suffix is that of another format.
    """
    if out.suffix and out.suffix.lower() not in FORMATS:
        raise InvalidConfigError(f"--out {out}: choose {', '.join(FORMATS)}, or a directory", setting="out")
