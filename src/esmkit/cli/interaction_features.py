"""`esmkit interactions features`: features of pairs, into a file that scikit-learn users can read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from esmkit.alphabet import num_residues
from esmkit.applications import interactions
from esmkit.applications.vectors import Pooling, VectorCache
from esmkit.cli.pair_options import PairOptions
from esmkit.cli.pair_run import PairJob, pairs_of, run_options
from esmkit.cli.run import Meter, carry_out, load_model
from esmkit.config import Settings
from esmkit.errors import InvalidConfigError
from esmkit.outputs import OutputOptions, build
from esmkit.types import Column, Failure, Record, Result


def execute(options: PairOptions, *, layers: tuple[int, ...], pooling: Pooling, symmetric: bool) -> int:
    """Runs the command and returns its exit code."""
    if options.out is None:
        raise InvalidConfigError("name a file or directory for the features: --out features.parquet", setting="out")
    if options.on_error == "skip":
        raise InvalidConfigError(
            "features are a matrix with a row per pair: --on-error skip would leave holes; remove bad rows instead",
            setting="on_error",
        )
    pairs = pairs_of(options)
    model = load_model(options)
    numbers = tuple(model.shape.layer(layer) for layer in layers)
    asked = {"layers": list(numbers), "pooling": pooling, "symmetric": symmetric}
    outputs = build([pooling], model.shape, OutputOptions(layers=numbers))
    job = FeatureJob(run_options(options), model, outputs, asked, None, pairs, numbers, pooling, symmetric)
    return carry_out(job, None)


@dataclass(frozen=True, slots=True)
class FeatureJob(PairJob):
    """The command line, ready to run."""

    layers: tuple[int, ...]
    pooling: Pooling
    symmetric: bool

    def columns(self) -> list[Column]:
        """Which pair, and its features."""
        width = len(interactions.BLOCKS[self.symmetric]) * len(self.layers) * self.model.width
        return self.with_about([Column("features", "float", (width,))])

    def results(self, records: Iterable[Record | Failure], progress: Meter) -> Iterator[Result | Failure]:
        """The answers for a stretch of the pairs; embeddings are kept on disk, so nothing is computed twice."""
        pairs = [self.pairs[record.index] for record in records]
        table = interactions.features(
            self.model,
            pairs,
            layers=self.layers,
            pooling=self.pooling,
            symmetric=self.symmetric,
            cache=VectorCache.default(Settings.from_env(os.environ)),
            watcher=progress,
        )
        for pair, line in zip(pairs, table, strict=True):
            arrays: dict[str, Any] = {**self.shown(pair), "features": line}
            length = num_residues(pair.a.sequence) + num_residues(pair.b.sequence)
            yield Result(pair.index, pair.id, arrays, {"length": length})
