"""What `esmkit cluster` does: cluster, compare with labels, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from esmkit.applications.maps import Agreement, Clusters, agreement, hdbscan, leiden
from esmkit.applications.maps.clusters import demand_igraph
from esmkit.applications.maps.columns import MISSING
from esmkit.applications.maps.projection import demand_sklearn
from esmkit.cli.points import Points, PointSummary, check, gather, to_file, to_screen
from esmkit.cli.run import OK
from esmkit.cli.vector_options import VectorOptions
from esmkit.errors import InvalidInputError
from esmkit.types import Column

_OWN = ("cluster", "probability", "representative")
_SIZES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """The command line, apart from what it shares with others."""

    method: Literal["hdbscan", "leiden"]
    components: int
    min_size: int
    min_samples: int | None
    neighbors: int
    resolution: float
    compare_with: str | None

    def cluster(self, points: Points, seed: int) -> Clusters:
        """What is asked for."""
        if self.method == "hdbscan":
            return hdbscan(
                points.vectors, min_size=self.min_size, min_samples=self.min_samples, components=self.components
            )
        return leiden(
            points.vectors,
            neighbors=self.neighbors,
            resolution=self.resolution,
            seed=seed,
            components=self.components,
        )

    def arguments(self, seed: int) -> dict[str, Any]:
        """What changes the result."""
        own = (
            {"min_size": self.min_size, "min_samples": self.min_samples}
            if self.method == "hdbscan"
            else {"neighbors": self.neighbors, "resolution": self.resolution, "seed": seed}
        )
        return {"method": self.method, "components": self.components, **own}


def execute(options: VectorOptions, request: ClusterRequest) -> int:
    """Runs the command and returns its exit code."""
    check(options)
    demand_sklearn()
    if request.method == "leiden":
        demand_igraph()
    started = time.perf_counter()
    labels = request.compare_with
    wanted = {f"--compare-with {labels}": labels} if labels else {}
    points = gather(options, wanted, taken=_OWN)
    summary = PointSummary(proteins=len(points.records), started=started)
    clusters = request.cluster(points, options.seed)
    _tell(summary, clusters)
    if labels:
        _compare(summary, clusters, points.columns[labels], labels)
    cells, columns = _table(points, clusters)
    if options.out is None:
        to_screen(options, points, cells, columns)
    else:
        to_file(options, points, cells, columns, request.arguments(options.seed), summary)
    summary.report(quiet=options.quiet, json=options.json and options.out is not None)
    return OK


def _tell(summary: PointSummary, clusters: Clusters) -> None:
    sizes, total = clusters.sizes, len(clusters.names)
    summary.found |= {"clusters": len(sizes), "sizes": sizes, "noise": clusters.noise}
    noise = f", {clusters.noise:,} of {total:,} proteins ({clusters.noise / total:.0%}) are noise"
    summary.notes.append(f"{len(sizes):,} clusters{noise if clusters.noise else ''}")
    if sizes:
        first = ", ".join(str(size) for size in islice(sizes.values(), _SIZES_SHOWN))
        summary.notes.append(f"sizes: {first}{', ...' if len(sizes) > _SIZES_SHOWN else ''}")


def _compare(summary: PointSummary, clusters: Clusters, cells: Sequence[str], column: str) -> None:
    labels = ["" if cell.strip().lower() in MISSING else cell.strip() for cell in cells]
    whole = agreement(clusters, labels)
    if whole is None:
        raise InvalidInputError(f"column {column!r} holds no label; choose another one with --compare-with")
    without_noise = agreement(clusters, labels, with_noise=False) if clusters.noise else None
    for name, what, found in (
        ("agreement", f"with {column}", whole),
        ("agreement_without_noise", "without noise", without_noise),
    ):
        if found is not None:
            summary.found[name] = _plain(found)
            summary.notes.append(
                f"{what}: adjusted Rand index {found.adjusted_rand:.3f}, adjusted mutual information "
                f"{found.adjusted_mutual_information:.3f} ({found.proteins:,} proteins)"
            )


def _plain(found: Agreement) -> dict[str, float]:
    return {
        "proteins": found.proteins,
        "adjusted_rand": found.adjusted_rand,
        "adjusted_mutual_information": found.adjusted_mutual_information,
    }


def _table(points: Points, clusters: Clusters) -> tuple[dict[str, Any], list[Column]]:
    """Cells by column, and the columns in order."""
    cells: dict[str, Any] = {"cluster": clusters.names}
    columns = [Column("cluster", "str", ())]
    if clusters.probabilities is not None:
        cells["probability"] = clusters.probabilities.tolist()
        columns.append(Column("probability", "float", ()))
    cells["representative"] = clusters.representatives.astype(int).tolist()
    columns.append(Column("representative", "int", ()))
    return cells | points.columns, columns + [Column(name, "str", ()) for name in points.columns]
