"""`esmkit mutations scan`: every single substitution of a protein, as a table, as pictures, and by position."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer

from esmkit.alphabet import STANDARD
from esmkit.applications.hydropathy import Hydropathy, hydropathy
from esmkit.applications.mutations.heatmap import draw_heatmap
from esmkit.applications.mutations.logo import draw_logo
from esmkit.applications.mutations.page import write_page
from esmkit.applications.mutations.scan import Scan, assembled, scan_indices
from esmkit.applications.mutations.scoring import names_of
from esmkit.applications.mutations.variants import AMINO_ACIDS, SINGLE_COLUMNS, check_protein, check_wild_type, singles
from esmkit.applications.pictures import SUFFIXES, demand_picture
from esmkit.cli.mutation_options import ScoringOptions
from esmkit.cli.mutation_run import ScoringRun, load_models, one_protein
from esmkit.cli.options import ClusterOptions
from esmkit.cli.run import OK
from esmkit.errors import InvalidConfigError
from esmkit.inputs.rows import open_rows
from esmkit.sinks.files import write_whole
from esmkit.types import Record

_DERIVED = (".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """The command line, apart from what it shares with others."""

    source: str
    sequence: str | None
    protein_id: str | None
    positions: str | None
    offset: int
    out: Path | None
    heatmaps: tuple[Path, ...]
    logo: Path | None
    summary: Path | None
    hydropathy: bool = False

    @property
    def has_derived(self) -> bool:
        """Whether pictures or the summary shall be written."""
        return bool(self.heatmaps or self.logo or self.summary)

    def protein(self) -> Record:
        """What to scan."""
        return given_protein(self.source, self.sequence, self.protein_id, offset=self.offset)

    def check(self) -> None:
        """Refuses before the work what could not be written after it."""
        pictures = [path for path in self.heatmaps if path.suffix.lower() != ".html"]
        for path in (*pictures, *((self.logo,) if self.logo else ())):
            if path.suffix.lower() not in SUFFIXES:
                raise InvalidConfigError(
                    f"{path}: a picture ends with {', '.join(SUFFIXES)}, a heat map also with .html", setting="plot"
                )
            demand_picture(path)
        if self.has_derived and self.out is not None and self.out.suffix.lower() not in _DERIVED:
            raise InvalidConfigError(
                f"--out {self.out}: pictures and summary are made from one file, {' or '.join(_DERIVED)}", setting="out"
            )


def execute(options: ScoringOptions, request: ScanRequest, cluster: ClusterOptions) -> int:
    """Runs the command and returns its exit code."""
    request.check()
    protein = request.protein()
    wanted = None if request.positions is None else position_list(request.positions)
    indices = scan_indices(protein.sequence, wanted, offset=request.offset)
    models = load_models(options) if cluster.ray is None else []
    names = names_of(models)
    run = ScoringRun(
        options,
        models,
        partial(singles, protein.sequence, indices=indices, offset=request.offset),
        list(SINGLE_COLUMNS),
        {
            "offset": request.offset,
            "wild_type_sha256": hashlib.sha256(protein.sequence.encode()).hexdigest(),
            "positions": request.positions,
        },
        total=len(indices) * (len(STANDARD) - 1),
    )
    if cluster.ray is not None:
        from esmkit.cli.ray_run import score_on_ray

        names = score_on_ray(run, cluster, "", request.out)
    elif request.out is not None:
        run.to_file(request.out)
    if request.out is None:
        scores = [result.arrays[options.method] for result in run.to_screen(None)]
    else:
        scores = _read_back(request.out, options.method) if request.out.suffix.lower() in _DERIVED else []
    if scores:
        _derive(_scan(protein, indices, scores, options, names, request.offset), protein, request, options)
    run.summary.report(quiet=options.quiet, json=options.json and request.out is not None)
    if request.hydropathy and not options.quiet:
        print(f"esmkit: {segment_list(hydropathy(protein.sequence), request.offset)}", file=sys.stderr)  # noqa: T201
    return OK


def given_protein(source: str, sequence: str | None, protein_id: str | None, *, offset: int) -> Record:
    """The wild type of a command that takes a file, or the residues themselves.

    Raises:
        InvalidConfigError: neither was given, or both.
        InvalidInputError: the file holds no such protein, or several.
        InvalidSequenceError: it holds other residues than the 20.
    """
    if bool(source) == bool(sequence):
        raise InvalidConfigError("give either PROTEIN or --sequence, one of the two", setting="source")
    if sequence:
        return Record(0, "sequence", check_wild_type(sequence, offset=offset))
    return check_protein(one_protein(source, protein_id), offset=offset)


def segment_list(found: Hydropathy, offset: int) -> str:
    """The hydrophobic segments in the numbering of the scan, as text."""
    count = len(found.segments)
    where = ", ".join(f"{start + offset}-{stop + offset}" for start, stop in found.segments)
    name = f"{count or 'no'} hydrophobic segment{'' if count == 1 else 's'}"
    return f"{name} (mean of {found.window} residues at least {found.threshold}){': ' if where else ''}{where}"


def position_list(text: str) -> list[int]:
    """Positions from a list such as `24-40,55`.

    Raises:
        InvalidConfigError: it is no such list.

    Example:
        >>> position_list("3-5,9")
        [3, 4, 5, 9]
    """
    positions: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            positions += range(int(first), int(last or first) + 1)
        except ValueError:
            raise InvalidConfigError(
                f"--positions {text!r} is no list of positions; write for example 24-40,55", setting="positions"
            ) from None
    return positions


def _scan(
    protein: Record,
    indices: Sequence[int],
    scores: Sequence[float],
    options: ScoringOptions,
    names: tuple[str, ...],
    offset: int,
) -> Scan:
    return assembled(protein.sequence, indices, scores, method=options.method, models=names, offset=offset)


def _read_back(path: Path, column: str) -> list[float]:
    """The scores from the file: what an earlier run computed is there and nowhere else."""
    names, rows = open_rows(path)
    at = names.index(column)
    return [float(cells[at]) for _, cells in rows]


def _derive(scan: Scan, protein: Record, request: ScanRequest, options: ScoringOptions) -> None:
    """Pictures and summary; the summary to the screen when nothing else was asked for."""
    title = f"{protein.id} {protein.description}".strip() if request.source else f"{len(scan.sequence)} residues"
    track = hydropathy(protein.sequence) if request.hydropathy else None
    for path in request.heatmaps:
        if path.suffix.lower() == ".html":
            write_page(scan, path, title=title, hydropathy=track)
        else:
            draw_heatmap(scan, path, title=title, hydropathy=track)
    if request.logo is not None:
        draw_logo(scan, request.logo, title=title)
    if request.summary is not None:
        request.summary.parent.mkdir(parents=True, exist_ok=True)
        write_whole(request.summary, summary_csv(_lines(scan, track)))
    if request.out is None and not request.has_derived:
        _show(_lines(scan, track), scan, json_lines=options.json)


def _lines(scan: Scan, track: Hydropathy | None) -> list[dict[str, Any]]:
    """The summary by position, with the hydropathy where it was asked for."""
    lines = [dataclasses.asdict(line) for line in scan.summary()]
    if track is not None:
        for line, mean in zip(lines, track.means[scan.indices].tolist(), strict=True):
            line["hydropathy"] = mean
    return lines


def summary_csv(lines: Sequence[Mapping[str, Any]]) -> str:
    """The summary as a table."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(lines[0])
    for line in lines:
        rows.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in line.values()])
    return text.getvalue()


def _show(lines: Sequence[Mapping[str, Any]], scan: Scan, *, json_lines: bool) -> None:
    """One line per position: a table for people, or everything as JSON."""
    if json_lines:
        columns = [STANDARD.index(residue) for residue in AMINO_ACIDS]
        for line, scores in zip(lines, scan.scores[:, columns].tolist(), strict=True):
            typer.echo(json.dumps({**line, "scores": dict(zip(AMINO_ACIDS, scores, strict=True))}))
        return
    track = "  hydro" if "hydropathy" in lines[0] else ""
    typer.echo(f"position  wild type  probability  entropy  mean effect  best substitution{track}")
    for line in lines:
        typer.echo(
            f"{line['position']:>8}  {line['wild_type']:>9}  {line['probability']:>11.4f}  "
            f"{line['entropy_bits']:>7.4f}  {line['mean_effect']:>11.4f}  {line['best_substitution']:>8} "
            f"{line['best_score']:>8.4f}" + (f"{line['hydropathy']:>7.2f}" if track else "")
        )
