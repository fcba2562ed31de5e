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
from esmkit.cli.run import SHARD_RECORDS, Printer
from esmkit.engine import Model, load
from esmkit.engine.budget import give_back_freed, shard_residues
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
        asked: what else a resumed run must have been asked.
        total: how many there are, if that is known.
        on_error: what a bad variant does.
    """

    options: ScoringOptions
    models: list[Model]
    variants: Callable[[], Iterator[Variant | Failure]]
    cells: list[Column]
    asked: Mapping[str, Any]
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
        started, first = time.perf_counter(), self.models[0]
        target = sinks.open_target(
            out,
            columns=[*self.cells, *score_columns(self.options.method, self.models)],
            arguments=self._arguments(),
            provenance=provenance_of(self.models),
            shard_records=SHARD_RECORDS,
            shard_residues=shard_residues(first.shape, first.engine.runner.device),
            overwrite=self.options.overwrite,
        )
        with target, self._progress() as progress:
            for shard in target.pending(self.variants()):
                progress.skip_to(shard.first)
                for item in self._scored(shard.records, progress):  # type: ignore[arg-type]
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
                for item in self._scored(self.variants(), progress):
                    self.summary.count(item)
                    if printer is not None:
                        printer.show(item, json=self.options.json)
                    if isinstance(item, Result):
                        results.append(item)
        self.summary.seconds = time.perf_counter() - started
        return results

    def _progress(self) -> VariantProgress:
        return VariantProgress(self.total, enabled=not self.options.quiet)

    def _scored(self, variants: Iterable[Variant | Failure], progress: VariantProgress) -> Iterator[Result | Failure]:
        for item in stream(self.models, variants, self.options.method, on_error=self.on_error):
            progress.advance()
            yield item

    def _arguments(self) -> dict[str, Any]:
        options = self.options
        return {
            "method": method_named(options.method).name,
            "long": options.long,
            "max_length": options.max_length,
            "on_error": self.on_error,
            **self.asked,
        }


def provenance_of(models: Sequence[Model]) -> dict[str, Any]:
    """What made a result: the provenance of the model, or of each of several."""
    if len(models) == 1:
        return models[0].provenance
    return {"models": dict(zip(names_of(models), (model.provenance for model in models), strict=True))}


def check_out(out: Path) -> None:
    """Refuses formats that do not hold a table of scores.

    Raises:
        InvalidConfigError: the suffix is that of another format.
    """
    if out.suffix and out.suffix.lower() not in FORMATS:
        raise InvalidConfigError(f"--out {out}: choose {', '.join(FORMATS)}, or a directory", setting="out")
