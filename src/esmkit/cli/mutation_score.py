"""`esmkit mutations score`: a table of variants, through the models, to a table with scores."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Literal

from esmkit.applications.mutations.table import VariantTable
from esmkit.applications.mutations.variants import check_protein
from esmkit.cli.mutation_options import ScoringOptions
from esmkit.cli.mutation_run import ScoringRun, load_models, one_protein
from esmkit.cli.options import ClusterOptions
from esmkit.cli.run import OK, SOME_FAILED
from esmkit.cli.tables import ScalarTable
from esmkit.errors import InvalidConfigError
from esmkit.inputs.rows import open_rows
from esmkit.sinks.files import sha256_of


def execute(
    options: ScoringOptions,
    table: VariantTable,
    *,
    out: Path | None,
    on_error: Literal["stop", "skip"],
    cluster: ClusterOptions = ClusterOptions(),
) -> int:
    """Runs the command and returns its exit code."""
    is_file = Path(table.source).is_file()
    if out is not None and is_file and out.is_file() and out.samefile(table.source):
        raise InvalidConfigError(f"--out {out} is the input itself; choose another --out", setting="out")
    run = ScoringRun(
        options,
        load_models(options) if cluster.ray is None else [],
        partial(table.variants, on_error=on_error),
        table.cells,
        {
            "offset": table.offset,
            "wild_type_sha256": table.wild_type and hashlib.sha256(table.wild_type.encode()).hexdigest(),
            "table_sha256": sha256_of(Path(table.source)) if is_file else None,
        },
        total=sum(1 for _ in open_rows(table.source)[1]) if is_file and not options.quiet else None,
        on_error=on_error,
    )
    if cluster.ray is not None:
        from esmkit.cli.ray_run import score_on_ray

        score_on_ray(run, cluster, table.source, out)
    elif out is None:
        run.to_screen(ScalarTable())
    else:
        run.to_file(out)
    run.summary.report(quiet=options.quiet, json=options.json and out is not None)
    return SOME_FAILED if run.summary.failures else OK


def wild_type_of(given: str | None, protein_id: str | None, *, offset: int) -> str | None:
    """The wild type, from a file or as it was written."""
    if given is None:
        return None
    if Path(given).is_file() or given == "-" or protein_id is not None or not given.isalpha():
        return check_protein(one_protein(given, protein_id), offset=offset).sequence
    return given
