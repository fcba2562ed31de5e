"""What commands do with --ray: connect, say what is computed, show how it goes on, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from esmkit.cli.mutation_progress import VariantProgress, VariantSummary
from esmkit.cli.mutation_run import ScoringRun, names_in, scoring_run
from esmkit.cli.options import ClusterOptions, EngineOptions, RunOptions
from esmkit.cli.progress import Progress
from esmkit.cli.run import OK, SOME_FAILED, is_readable_twice, opened_job, out_text, read
from esmkit.cli.summary import RunSummary
from esmkit.cluster.connection import connect, demand_ray
from esmkit.errors import InvalidConfigError
from esmkit.inputs import check_unique
from esmkit.inputs.remote import is_url
from esmkit.inputs.source import STDIN
from esmkit.outputs import OutputOptions, known
from esmkit.sinks.manifest import FinishedShard
from esmkit.types import Failure, Record

if TYPE_CHECKING:
    from esmkit.cluster.files import tally
    from esmkit.cluster.files.pool import Pool
    from esmkit.cluster.files.work import Description


def embed_on_ray(run: RunOptions, cluster: ClusterOptions, output_names: Sequence[str], options: OutputOptions) -> int:
    """Runs a command on Ray and returns its exit code.

    Args:
        run: the shared options.
        cluster: where, and with how many workers.
        output_names: what to compute.
        options: options of the outputs.
    """
    started = time.perf_counter()
    out = _out(run.out, run.source)
    masked = [known()[name].masks for name in output_names if name in known()]
    with _connected(cluster, run.engine, quiet=run.quiet) as (pool, engine), ExitStack() as stack:
        from esmkit.cluster.files.run import Request
        from esmkit.cluster.files.run import run as run_files

        request = Request(
            work=partial(opened_job, replace(run, engine=engine, quiet=True), output_names, options),
            records=partial(_proteins, run),
            is_here=bool(run.sequence) or not is_url(run.source),
            out=out,
            format=run.format,
            dtype=run.out_dtype,
            overwrite=run.overwrite,
        )
        shown = _Proteins(run, masked, stack)
        done = run_files(request, pool, shown)
    summary = RunSummary.of_files(done, shown.residues)
    _put_url(summary, out)
    summary.report(time.perf_counter() - started, quiet=run.quiet, json=run.json)
    return SOME_FAILED if summary.failures else OK


def score_on_ray(run: ScoringRun, cluster: ClusterOptions, source: str, out: Path | None) -> tuple[str, ...]:
    """Scores variants on Ray, which the summary of the run tells of; returns the names of the models.

    Args:
        run: what is scored; its models are loaded by the workers.
        cluster: where, and with how many workers.
        source: where the variants come from.
        out: where the scores go.
    """
    started, options = time.perf_counter(), run.options
    text = _out(out, source)
    with _connected(cluster, options.engine, quiet=options.quiet) as (pool, engine), ExitStack() as stack:
        from esmkit.cluster.files.run import Request
        from esmkit.cluster.files.run import run as run_files

        settings = replace(options, engine=engine, quiet=True)
        request = Request(
            work=partial(scoring_run, settings, run.cells, run.settings, on_error=run.on_error),
            records=run.variants,
            is_here=not is_url(source),
            out=text,
            overwrite=options.overwrite,
        )
        shown = _Variants(run, stack)
        done = run_files(request, pool, shown)
    run.summary.finished(done, time.perf_counter() - started)
    _put_url(run.summary, text)
    return shown.models


def _out(out: Path | None, source: str) -> str:
    """Where results go, and that the command line is one for Ray."""
    demand_ray()
    if out is None:
        raise InvalidConfigError(
            "--ray writes to a folder that all machines share, or to a URL: name --out", setting="out"
        )
    if source == STDIN:
        raise InvalidConfigError(
            "--ray reads its input again when a machine is lost: give a file or a URL, not standard input",
            setting="source",
        )
    return out_text(out)


def _put_url(summary: RunSummary | VariantSummary, out: str) -> None:
    """Results behind a URL were prepared in a folder that is gone."""
    if is_url(out):
        summary.out = out
        summary.failures_path = summary.failures_path and f"{out}/{Path(summary.failures_path).name}"


@contextmanager
def _connected(cluster: ClusterOptions, engine: EngineOptions, *, quiet: bool) -> Iterator[tuple[Pool, EngineOptions]]:
    """Ray, the pool of workers that is asked for, and how each of them computes."""
    least, most = _workers(cluster.ray_workers)
    assert cluster.ray is not None
    with connect(cluster.ray):
        from esmkit.cluster.files.pool import Pool

        pool = Pool(
            least=least,
            most=most,
            cpus=engine.threads or 1,
            gpus=0.0 if engine.device == "cpu" and cluster.ray_gpus is None else cluster.ray_gpus,
        )
        gpus = pool.first_gpus()
        if not quiet:
            each = f"{pool.cpus} CPU{'s' if pool.cpus > 1 else ''}{', GPU' if gpus else ''}"
            room = most or pool.room(gpus)
            _say(f"on Ray ({cluster.ray}): up to {room} worker{'s' if room > 1 else ''} of {each}")
        device = "cpu" if engine.device == "auto" and not gpus else engine.device
        yield pool, replace(engine, threads=pool.cpus, device=device)


def _workers(text: str | None) -> tuple[int, int | None]:
    """The least and the most workers.

    Example:
        >>> _workers("8"), _workers("2-8"), _workers(None)
        ((1, 8), (2, 8), (1, None))
    """
    if text is None:
        return 1, None
    first, mark, last = text.partition("-")
    if not (first.isdigit() and (last.isdigit() or not mark)) or not 1 <= int(first) <= int(last or first):
        raise InvalidConfigError(f"--ray-workers {text!r}: write for example 8 or 2-8", setting="ray_workers")
    return (int(first), int(last)) if mark else (1, int(first))


def _proteins(run: RunOptions) -> Iterator[Record | Failure]:
    """The input with ids checked."""
    return check_unique(read(run), on_error=run.on_error)


class _Proteins:
    """Shows residues of all workers on one bar."""

    def __init__(self, run: RunOptions, masked: Sequence[bool], stack: ExitStack) -> None:
        self._run, self._masked, self._stack = run, masked, stack
        self._progress: Progress | None = None

    @property
    def residues(self) -> int:
        """Computed by this run."""
        return self._progress.residues if self._progress else 0

    def described(self, description: Description) -> None:
        """A notice about the model."""
        _notice(description, quiet=self._run.quiet)

    def started(self, finished: Sequence[FinishedShard]) -> None:
        """The bar counts what is left."""
        done = {index for shard in finished for index in range(shard.first, shard.first + shard.records)}
        left = partial(_left, self._run, done)
        countable = is_readable_twice(self._run)
        bar = Progress(left, self._masked, enabled=not self._run.quiet, countable=countable)
        self._progress = self._stack.enter_context(bar)

    def progressed(self, total: tally.Progress) -> None:
        """All workers together."""
        if self._progress:
            self._progress.at(residues=total.residues, tokens=total.tokens)


class _Variants:
    """Shows variants of all workers on one bar."""

    def __init__(self, run: ScoringRun, stack: ExitStack) -> None:
        self._run, self._stack = run, stack
        self._progress: VariantProgress | None = None
        self.models: tuple[str, ...] = ()

    def described(self, description: Description) -> None:
        """The names of the models, and a notice about one of them."""
        self.models = names_in(description.provenance)
        _notice(description, quiet=self._run.options.quiet)

    def started(self, finished: Sequence[FinishedShard]) -> None:
        """The bar starts where the earlier run ended."""
        bar = VariantProgress(self._run.total, enabled=not self._run.options.quiet)
        self._progress = self._stack.enter_context(bar)
        self._progress.skip_to(sum(shard.records for shard in finished))

    def progressed(self, total: tally.Progress) -> None:
        """All workers together."""
        if self._progress:
            self._progress.at(total.records)


def _left(run: RunOptions, done: set[int]) -> Iterator[Record]:
    return (record for record in read(run) if record.index not in done)


def _notice(description: Description, *, quiet: bool) -> None:
    if description.notice and not quiet:
        _say(description.notice)


def _say(line: str) -> None:
    print(f"esmkit: {line}", file=sys.stderr)  # noqa: T201
