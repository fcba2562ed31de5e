"""What the commands of `esmkit design` share: constraints from options, and a ranked table to a file or the screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from esmkit import sinks
from esmkit.applications.design import Space
from esmkit.applications.design.constraints import mutation_range, region_positions, residues_by_position
from esmkit.applications.mutations.variants import AMINO_ACIDS
from esmkit.cli.design_options import SpaceOptions
from esmkit.cli.mutation_options import ModelsOptions
from esmkit.cli.mutation_progress import VariantSummary
from esmkit.cli.mutation_run import FORMATS
from esmkit.cli.mutation_scan import position_list
from esmkit.cli.run import OK, SHARD_RECORDS
from esmkit.cli.tables import Table, id_cell
from esmkit.errors import InvalidConfigError
from esmkit.types import Column, Record, Result

_SHARD_RESIDUES = 10**9
"""A ranked table is one shard."""


def space_of(options: SpaceOptions, parent: str, *, offset: int, mutations: tuple[int, int]) -> Space:
    """The space that the options describe.

    Args:
        options: of the command line.
        parent: what designs start from.
        offset: of the numbering.
        mutations: at least and at most, where the options say nothing.
    """
    positions = None if options.positions is None else position_list(options.positions)
    if options.regions is not None:
        wanted = [] if options.only_regions is None else [name.strip() for name in options.only_regions.split(",")]
        inside = region_positions(str(options.regions), wanted)
        positions = inside if positions is None else sorted(set(positions) & set(inside))
    elif options.only_regions is not None:
        raise InvalidConfigError("--only-regions needs the table of --regions", setting="only_regions")
    return Space.of(
        parent,
        positions=positions,
        fixed=() if options.fixed is None else position_list(options.fixed),
        allowed=AMINO_ACIDS if options.allowed is None else options.allowed,
        allowed_at=None if options.allowed_at is None else residues_by_position(options.allowed_at),
        mutations=mutations if options.mutations is None else mutation_range(options.mutations),
        offset=offset,
    )


@dataclass(frozen=True)
class Delivery:
    """A ranked table on its way to a file or the screen.

    Attributes:
        options: the shared options.
        out: the file, or None for the screen.
        columns: of the table.
        arguments: what decides it, for the manifest.
        provenance: what computes it.
        made: computes it.
    """

    options: ModelsOptions
    out: Path | None
    columns: list[Column]
    arguments: Mapping[str, Any]
    provenance: Mapping[str, Any]
    made: Callable[[], list[Result]]
    summary: VariantSummary = field(default_factory=VariantSummary)

    def run(self) -> int:
        """Computes the table and hands it over, or finds it finished; returns the exit code."""
        started = time.perf_counter()
        if self.out is None:
            self._to_screen()
        else:
            self.summary.finished(self._to_file(self.out), 0.0)
        self.summary.seconds = time.perf_counter() - started
        self.summary.report(quiet=self.options.quiet, json=self.options.json and self.out is not None)
        return OK

    def _to_screen(self) -> None:
        table = RankedTable()
        for result in self.made():
            self.summary.count(result)
            table.show(result, json=self.options.json)

    def _to_file(self, out: Path) -> sinks.Summary:
        if out.suffix.lower() not in FORMATS:
            raise InvalidConfigError(f"--out {out}: choose {', '.join(FORMATS)}", setting="out")
        target = sinks.open_target(
            out,
            columns=self.columns,
            arguments=self.arguments,
            provenance=self.provenance,
            shard_records=SHARD_RECORDS,
            shard_residues=_SHARD_RESIDUES,
            overwrite=self.options.overwrite,
        )
        with target:
            if out.is_file() and target.summary.shards:
                return target.summary  # an earlier run of the same arguments finished it
            results = self.made()
            records = [Record(each.index, each.id, each.arrays["mutated_sequence"]) for each in results]
            for shard in target.pending(records):
                for record in shard.records:
                    shard.write(results[record.index])
                shard.commit()
            return target.finish()


class RankedTable(Table):
    """One line per variant: its rank, what it is, the numbers, and last the reason."""

    def header(self, first: Result) -> str:
        """Column names."""
        names = " ".join(f"{name:>{_width(name)}}" for name in _numbers(first))
        return f"rank  {'mutant':20} {names}  reason"

    def lines(self, result: Result) -> list[str]:
        """One line."""
        numbers = " ".join(f"{value:>{_width(name)}.4f}" for name, value in _numbers(result).items())
        return [f"{result.arrays['rank']:>4}  {id_cell(result.id)} {numbers}  {result.arrays['reason']}"]


def _numbers(result: Result) -> dict[str, float]:
    return {name: value for name, value in result.arrays.items() if isinstance(value, float)}


def _width(name: str) -> int:
    return max(len(name), 8)
