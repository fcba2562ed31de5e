"""`esmkit antibody embed`: mean embeddings of heavy and light chains that were computed together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from esmkit.applications import antibodies
from esmkit.applications.antibodies.chains import COLUMNS
from esmkit.cli.pair_options import PairOptions
from esmkit.cli.pair_run import PairJob, pairs_of, run_options
from esmkit.cli.run import Meter, carry_out, load_model
from esmkit.errors import InvalidConfigError
from esmkit.outputs import OutputOptions, build
from esmkit.types import Column, Failure, Record, Result


def execute(options: PairOptions, *, layer: int, linker: int) -> int:
    """Runs the command and returns its exit code."""
    if options.out is None:
        raise InvalidConfigError("name a file or directory for the embeddings: --out antibodies.parquet", setting="out")
    pairs = pairs_of(options, COLUMNS)
    model = load_model(options)
    number = model.shape.layer(layer)
    asked = {"layers": [number], "linker_length": linker}
    outputs = build(["per_residue"], model.shape, OutputOptions(layers=(number,)))
    return carry_out(AntibodyJob(run_options(options), model, outputs, asked, None, pairs, number, linker), None)


@dataclass(frozen=True, slots=True)
class AntibodyJob(PairJob):
    """The command line, ready to run."""

    noun: ClassVar[str] = "antibody"
    ids: ClassVar[tuple[str, str]] = ("id_heavy", "id_light")

    layer: int
    linker: int

    def columns(self) -> list[Column]:
        """Which antibody, and its embeddings."""
        return self.with_about(antibodies.embedding_columns(self.model.shape, self.layer))

    def results(self, records: Iterable[Record | Failure], progress: Meter) -> Iterator[Result | Failure]:
        """The answers for a stretch of the antibodies."""
        items = antibodies.stream(
            self.model,
            (self.pairs[record.index] for record in records),
            layer=self.layer,
            linker=self.linker,
            on_error=self.run.on_error,
            on_progress=progress.tokens,
        )
        for item in items:
            if isinstance(item, Result):
                progress.record(item.meta["length"])
                item = Result(item.index, item.id, {**self.shown(self.pairs[item.index]), **item.arrays}, item.meta)
            yield item
