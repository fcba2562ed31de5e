"""What `esmkit compare` does: read two proteins, compare, show, write."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import typer

from esmkit.applications import comparison
from esmkit.applications.comparison import view
from esmkit.applications.comparison.plot import draw_dot_plot
from esmkit.applications.pictures import demand_picture
from esmkit.cli.options import ModelOptions
from esmkit.cli.progress import Progress
from esmkit.cli.run import OK, load_model
from esmkit.cli.summary import peak_memory
from esmkit.cli.two_proteins import two_proteins
from esmkit.sinks.rows import check_rows_path, write_rows


def execute(
    options: ModelOptions,
    settings: comparison.Settings,
    sources: Sequence[str],
    sequences: Sequence[str],
    ids: Sequence[str],
    *,
    out: Path | None,
    plot: Path | None,
) -> int:
    """Runs the command and returns its exit code; the comparison is printed whatever else is written."""
    if out is not None:
        check_rows_path(out)
    if plot is not None:
        demand_picture(plot)
    a, b = two_proteins(sources, sequences, ids)
    model = load_model(options)
    started = time.perf_counter()
    runs = [a, *[b] * (1 + settings.shuffles)]
    with Progress(lambda: iter(runs), [False], enabled=not options.quiet) as progress:
        found = comparison.compare(model, a, b, settings, watcher=progress)
    if out is not None:
        write_rows(out, view.COLUMNS, view.rows(found))
    if plot is not None:
        draw_dot_plot(found, plot)
    if options.json:
        typer.echo(json.dumps(view.facts(found)))
    else:
        for line in view.text(found):
            typer.echo(line)
    if not options.quiet:
        written = "".join(f"\nesmkit: results in {path}" for path in (out, plot) if path is not None)
        seconds = time.perf_counter() - started
        print(f"esmkit: {len(runs)} proteins in {seconds:.1f} s, {peak_memory()}{written}", file=sys.stderr)  # noqa: T201
    return OK
