"""What every computing command does: open the input, load the model, run, write, report."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from esmkit import sinks
from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy
from esmkit.cli.options import ModelOptions, RunOptions
from esmkit.cli.progress import Progress
from esmkit.cli.summary import RunSummary
from esmkit.engine import Model, load
from esmkit.engine.budget import give_back_freed, shard_residues, share_one_heap
from esmkit.errors import InvalidConfigError
from esmkit.inputs import check_unique, from_sequences, open_records
from esmkit.outputs import Output, OutputOptions, build
from esmkit.types import Column, Failure, Record, Result

SHARD_RECORDS = 100_000
OK, SOME_FAILED = 0, 1

Observer = Callable[[Result], None]


class Printer(Protocol):
    """Shows results on stdout when no --out is given."""

    def show(self, item: Result | Failure, *, json: bool) -> None:
        """One result, in input order."""


def execute(
    run: RunOptions,
    output_names: Sequence[str],
    options: OutputOptions,
    *,
    observer: Observer | None = None,
    asked: Mapping[str, str] | None = None,
    printer: Printer | None = None,
) -> int:
    """Runs a command and returns its exit code.

    Args:
        run: the shared options.
        output_names: what to compute.
        options: options of the outputs.
        observer: sees every result as it passes, such as a plot.
        asked: what else a resumed run must have been asked, for the observer.
        printer: shows results when there is no --out; None means that --out (or an observer) is required.

    Raises:
        EsmkitError: whatever stops the run; `main` turns it into a message and a code.
    """
    check(run, shown=printer is not None or observer is not None)
    model = load_model(run)
    arguments = {**_arguments_of(options, model), **(asked or {})}
    outputs = build(output_names, model.shape, options)
    return compute(run, model, outputs, arguments, observer=observer, printer=printer)


def compute(
    run: RunOptions,
    model: Model,
    outputs: list[Output],
    arguments: Mapping[str, Any],
    *,
    observer: Observer | None = None,
    printer: Printer | None = None,
) -> int:
    """The same for outputs of any origin, once the command line is checked and the model loaded.

    Args:
        run: the shared options.
        model: what computes.
        outputs: what to compute.
        arguments: what changes the results apart from the shared options, for the manifest and for resuming.
        observer: sees every result as it passes.
        printer: shows results when there is no --out.
    """
    return carry_out(Job(run, model, outputs, arguments, observer), printer)


def carry_out(job: Job, printer: Printer | None) -> int:
    """Runs a job into a file or to the screen, reports, and returns the exit code."""
    gc.freeze()  # modules and model stay to the end: looking through them again and again costs a tenth of reading
    run = job.run
    started = time.perf_counter()
    masks = [output.masks for output in job.outputs]
    with Progress(job.source, masks, enabled=not run.quiet, countable=job.is_readable_twice()) as progress:
        summary = job.to_files(progress) if run.out is not None else job.to_screen(progress, printer)
    summary.noun = job.noun
    summary.report(time.perf_counter() - started, quiet=run.quiet, json=run.json and run.out is not None)
    return SOME_FAILED if summary.failures else OK


def check(run: RunOptions, *, shown: bool) -> None:
    """Refuses a command line that says too little, or two things at once.

    Args:
        run: the shared options.
        shown: whether results are of use without --out.

    Raises:
        InvalidConfigError: names the option.
    """
    if bool(run.source) == bool(run.sequence):
        raise InvalidConfigError("give either INPUT or --sequence, one of the two", setting="source")
    if run.sequence and (run.input_format or run.id_column or run.sequence_column):
        raise InvalidConfigError(
            "--input-format, --id-column and --sequence-column describe INPUT; --sequence takes none of them",
            setting="sequence",
        )
    if run.out is not None and run.out.is_file() and Path(run.source).is_file() and run.out.samefile(run.source):
        raise InvalidConfigError(f"--out {run.out} is the input itself; choose another --out", setting="out")
    if run.out is None and not shown:
        raise InvalidConfigError("name a file or directory for the results: --out results.parquet", setting="out")


def load_model(run: ModelOptions) -> Model:
    """Loads the model that the options name, and says so if it is for trying things out."""
    share_one_heap()
    model = load(
        run.model,
        length=LengthPolicy(run.long, run.max_length),
        residues=ResiduePolicy(run.lowercase, run.strip_stop),
        **run.engine.loading(),
    )
    line = model.engine.loaded.notice
    if line and not run.quiet:
        print(f"esmkit: {line}", file=sys.stderr)  # noqa: T201
    return model


@dataclass(frozen=True, slots=True)
class Job:
    """One command line, ready to run; commands whose records are something else than proteins have a kind of their own.

    Attributes:
        noun: one record, in words.
    """

    noun: ClassVar[str] = "protein"

    run: RunOptions
    model: Model
    outputs: list[Output]
    arguments: Mapping[str, Any]
    observer: Observer | None

    def source(self) -> Iterator[Record]:
        """The input from its start."""
        run = self.run
        if run.sequence:
            return from_sequences(run.sequence)
        return open_records(
            run.source, format=run.input_format, id_column=run.id_column, sequence_column=run.sequence_column
        )

    def is_readable_twice(self) -> bool:
        """Whether `source` can be opened again: a pipe, named or not, is empty once it was read."""
        return bool(self.run.sequence) or Path(self.run.source).is_file()

    def columns(self) -> list[Column]:
        """What the results hold."""
        return [column for output in self.outputs for column in output.columns()]

    def records(self) -> Iterator[Record | Failure]:
        """The same with ids checked."""
        return check_unique(self.source(), on_error=self.run.on_error)

    def to_files(self, progress: Progress) -> RunSummary:
        """Shards or one file at --out."""
        run, engine = self.run, self.model.engine
        assert run.out is not None
        target = sinks.open_target(
            run.out,
            format=run.format,
            columns=self.columns(),
            dtype=run.out_dtype,
            arguments=self.asked(),
            provenance=engine.provenance,
            shard_records=SHARD_RECORDS,
            shard_residues=run.shard_residues or shard_residues(self.model.shape, engine.runner.device),
            overwrite=run.overwrite,
        )
        with target:
            for shard in target.pending(self.records()):
                progress.skip_to(shard.first)
                for item in self.results(shard.records, progress):
                    shard.write(item)
                shard.commit()
                give_back_freed()
            done = target.finish()
        return RunSummary.of_files(done, progress.residues)

    def to_screen(self, progress: Progress, printer: Printer | None) -> RunSummary:
        """Results to stdout, or only to the observer."""
        summary = RunSummary()
        shown: AbstractContextManager[Any] = progress.above() if printer else nullcontext()
        with shown:
            for item in self.results(self.records(), progress):
                summary.count(item)
                if printer is not None:
                    printer.show(item, json=self.run.json)
        return summary

    def results(self, records: Iterable[Record | Failure], progress: Progress) -> Iterator[Result | Failure]:
        """Results of a stretch of the input, seen by progress and observer."""
        results = self.model.engine.run(
            records,
            self.outputs,
            length=self.model.length,
            residues=self.model.residues,
            on_error=self.run.on_error,
            on_progress=progress.tokens,
        )
        for item in results:
            if isinstance(item, Result):
                progress.record(item.meta["length"])
                if self.observer is not None:
                    self.observer(item)
            yield item

    def asked(self) -> dict[str, Any]:
        """What changes the results, for the manifest and for resuming."""
        run = self.run
        return {
            "outputs": [output.name for output in self.outputs],
            "lowercase": run.lowercase,
            "strip_stop": run.strip_stop,
            "long": run.long,
            "max_length": run.max_length,
            "on_error": run.on_error,
            **self.arguments,
        }


def _arguments_of(options: OutputOptions, model: Model) -> dict[str, Any]:
    return {
        "layers": [model.shape.layer(layer) for layer in options.layers],
        "attention_layers": options.attention_layers and list(options.attention_layers),
        "attention_heads": options.attention_heads and list(options.attention_heads),
        "vocabulary": options.vocabulary,
        "top_k": options.top_k,
    }
