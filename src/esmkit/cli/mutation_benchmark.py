"""`esmkit benchmark proteingym`: each assay scored into a file of its own, then compared with what was measured."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import typer

from esmkit.applications.mutations.proteingym import (
    Agreement,
    Assay,
    agreement,
    find_assays,
    mean_spearman,
    official_mean,
)
from esmkit.applications.mutations.table import VariantTable
from esmkit.cli.mutation_options import ScoringOptions
from esmkit.cli.mutation_run import ScoringRun, load_models
from esmkit.cli.run import OK, SOME_FAILED
from esmkit.cli.tables import id_cell
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError
from esmkit.inputs.rows import open_rows
from esmkit.sinks.files import sha256_of, write_whole

SUMMARY = "spearman.csv"


def execute(
    options: ScoringOptions,
    folder: Path,
    *,
    out: Path,
    reference: Path | None,
    only: Sequence[str],
    on_error: Literal["stop", "skip"],
) -> int:
    """Runs the command and returns its exit code."""
    if out.resolve() == folder.resolve():
        raise InvalidConfigError(f"--out {out} is the folder of the assays; choose another --out", setting="out")
    assays = find_assays(folder, reference=reference, only=only)
    models = load_models(options)
    found, failures = [], 0
    for assay in assays:
        run = _run(options, models, assay, on_error)
        scored = out / f"{assay.name}.csv"
        failures += run.to_file(scored).failures
        found.append(agreement(assay, scored, options.method))
        if not options.json:
            if len(found) == 1:
                typer.echo(f"{'assay':36} {'variants':>9} {'spearman':>9}")
            typer.echo(f"{id_cell(assay.name):36} {found[-1].variants:>9,} {found[-1].spearman:>9.4f}")
    write_whole(out / SUMMARY, _table(found, options.method))
    _show(found, options)
    if failures:
        print(f"esmkit: {failures:,} variants failed, listed in {out}/*.failures.jsonl", file=sys.stderr)  # noqa: T201
    return SOME_FAILED if failures else OK


def _run(options: ScoringOptions, models: list[Model], assay: Assay, on_error: Literal["stop", "skip"]) -> ScoringRun:
    table = VariantTable(assay.path, wild_type=assay.wild_type)
    return ScoringRun(
        options,
        models,
        lambda: table.variants(on_error=on_error),
        table.cells,
        {
            "wild_type_sha256": hashlib.sha256(assay.wild_type.encode()).hexdigest(),
            "table_sha256": sha256_of(assay.path),
        },
        total=None if options.quiet else sum(1 for _ in open_rows(assay.path)[1]),
        on_error=on_error,
    )


def _table(found: Sequence[Agreement], method: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["assay", "method", "variants", "spearman", "UniProt_ID", "coarse_selection_type"])
    for each in found:
        assay = each.assay
        rows.writerow([assay.name, method, each.variants, f"{each.spearman:.6f}", assay.protein, assay.selection])
    return text.getvalue()


def _show(found: Sequence[Agreement], options: ScoringOptions) -> None:
    mean, official = mean_spearman(found), official_mean(found)
    if options.json:
        assays = {each.assay.name: {"variants": each.variants, "spearman": each.spearman} for each in found}
        whole = {"method": options.method, "assays": assays, "mean": mean, "proteingym_mean": official}
        typer.echo(json.dumps(whole))
        return
    typer.echo(f"{'mean of assays':36} {len(found):>9,} {mean:>9.4f}")
    if official is not None:
        typer.echo(f"{'mean as ProteinGym takes it':36} {'':>9} {official:>9.4f}")
