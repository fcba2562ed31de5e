"""What `esmkit map` does: project, cluster, colour, write."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from esmkit.applications.maps import Chart, Clusters, axis_labels, draw_chart, hdbscan, leiden, pca, umap, write_page
from esmkit.applications.maps.clusters import demand_igraph
from esmkit.applications.maps.columns import Kind, Numbers, Shown, understand
from esmkit.applications.maps.projection import Projection, demand_sklearn, demand_umap
from esmkit.applications.pictures import demand_picture
from esmkit.cli.points import Points, PointSummary, check, gather, to_file, to_screen
from esmkit.cli.run import OK
from esmkit.cli.vector_options import VectorOptions
from esmkit.errors import InvalidConfigError
from esmkit.types import Column


@dataclass(frozen=True, slots=True)
class MapRequest:
    """The command line, apart from what it shares with others."""

    method: Literal["pca", "umap"]
    components: int
    neighbors: int
    min_distance: float
    cluster: Literal["hdbscan", "leiden"] | None
    color_by: str | None
    color_as: Kind
    plots: tuple[Path, ...]
    html: Path | None

    @property
    def color(self) -> str:
        """The column that gives the colours."""
        return self.color_by or ("cluster" if self.cluster else "length")

    @property
    def is_shown(self) -> bool:
        """Whether there is a picture or a page."""
        return bool(self.plots or self.html)

    @property
    def components_names(self) -> list[str]:
        """Columns of the components that are wanted."""
        return [f"pc{number}" for number in range(1, self.components + 1)]

    @property
    def taken(self) -> list[str]:
        """Columns of the result that no column of a table may have the name of."""
        return ["x", "y", *self.components_names, *(["cluster"] if self.cluster else [])]

    def check(self) -> None:
        """Refuses before the work what could not be done after it."""
        demand_sklearn()
        for path in self.plots:
            demand_picture(path)
        if self.html is not None and self.html.suffix.lower() != ".html":
            raise InvalidConfigError(f"--html {self.html}: the name of a page ends with .html", setting="html")
        if self.method == "umap":
            demand_umap()
        if self.cluster == "leiden":
            demand_igraph()


def execute(options: VectorOptions, request: MapRequest) -> int:
    """Runs the command and returns its exit code."""
    check(options)
    request.check()
    started = time.perf_counter()
    named = request.color_by
    wanted = {f"--color-by {named}": named} if named and not _is_built_in(named, request) else {}
    points = gather(options, wanted, taken=request.taken)
    summary = PointSummary(proteins=len(points.records), started=started)
    projection, components = _project(points, request, options.seed)
    clusters = _clusters(points, request, options.seed)
    shown = _understood(points, clusters, request)
    _tell_map(summary, projection, components, clusters)
    _tell_colors(summary, request.color, shown[request.color], points.ids)
    cells, columns = _table(points, projection, components, clusters, request)
    if options.out is not None:
        to_file(options, points, cells, columns, _arguments(options, request), summary)
    _draw(points, projection, shown, request, Path(options.source).name)
    to_terminal = options.out is None and not request.is_shown
    if to_terminal:
        to_screen(options, points, cells, columns)
    summary.report(quiet=options.quiet, json=options.json and not to_terminal)
    return OK


def _is_built_in(name: str, request: MapRequest) -> bool:
    """Not a column of a table: a `cluster` that an earlier run wrote is one, if no clusters are asked for."""
    return name == "length" or (name == "cluster" and request.cluster is not None)


def _project(points: Points, request: MapRequest, seed: int) -> tuple[Projection, Projection]:
    """The map, and the principal components that are wanted or told of."""
    components = pca(points.vectors, max(2, request.components))
    if request.method == "pca":
        return components, components
    mapped = umap(points.vectors, neighbors=request.neighbors, min_distance=request.min_distance, seed=seed)
    return mapped, components


def _clusters(points: Points, request: MapRequest, seed: int) -> Clusters | None:
    if request.cluster is None:
        return None
    return hdbscan(points.vectors) if request.cluster == "hdbscan" else leiden(points.vectors, seed=seed)


def _understood(points: Points, clusters: Clusters | None, request: MapRequest) -> dict[str, Shown]:
    """Every column as what it is shown as, the one that gives the colours first."""
    cells = {**points.columns, **({"cluster": clusters.names} if clusters else {}), "length": points.lengths}
    kinds: dict[str, Kind] = {"length": "numbers", "cluster": "categories"}
    if request.color_as != "auto":
        kinds[request.color] = request.color_as
    names = sorted(cells, key=lambda name: name != request.color)
    return {name: understand(name, cells[name], kinds.get(name, "auto")) for name in names}


def _tell_map(summary: PointSummary, projection: Projection, components: Projection, clusters: Clusters | None) -> None:
    """What was found, in words and as data."""
    summary.found["explained_variance"] = [round(share, 6) for share in components.explained]
    shares = ", ".join(f"{axis} {share:.1%}" for axis, share in zip(components.axes, components.explained, strict=True))
    if projection is components:
        summary.notes.append(f"{shares} of the variance")
    if clusters is not None:
        summary.found |= {"clusters": len(clusters.sizes), "noise": clusters.noise}
        noise = f", {clusters.noise:,} proteins are noise" if clusters.noise else ""
        summary.notes.append(f"{len(clusters.sizes)} clusters{noise}")


def _tell_colors(summary: PointSummary, color: str, colors: Shown, ids: list[str]) -> None:
    """How the column of the colours was read, and what of it was no use."""
    kind = "numbers" if isinstance(colors, Numbers) else f"{len(colors.names)} categories"
    summary.found["missing_color"] = colors.missing
    summary.notes.append(f"colours: {color}, {kind}, {colors.missing:,} missing")
    if isinstance(colors, Numbers) and colors.odd:
        summary.notes.append(
            f"{len(colors.odd):,} of these hold something that is no number, the first of them {ids[colors.odd[0]]!r}"
        )


def _table(
    points: Points, projection: Projection, components: Projection, clusters: Clusters | None, request: MapRequest
) -> tuple[dict[str, Any], list[Column]]:
    """Cells by column, and the columns in order."""
    cells: dict[str, Any] = dict(zip(("x", "y"), projection.coordinates.T[:2].tolist(), strict=True))
    pairs = zip(request.components_names, components.coordinates.T, strict=False)
    cells |= {name: values.tolist() for name, values in pairs}
    columns = [Column(name, "float", ()) for name in cells]
    texts = {**points.columns, **({"cluster": clusters.names} if clusters else {})}
    return cells | texts, columns + [Column(name, "str", ()) for name in texts]


def _arguments(options: VectorOptions, request: MapRequest) -> dict[str, Any]:
    umap_only = {"neighbors": request.neighbors, "min_distance": request.min_distance}
    return {
        "method": request.method,
        "components": request.components,
        "cluster": request.cluster,
        "seed": options.seed,
        **(umap_only if request.method == "umap" else {}),
    }


def _draw(points: Points, projection: Projection, shown: dict[str, Shown], request: MapRequest, title: str) -> None:
    if not request.is_shown:
        return
    how = "PCA" if request.method == "pca" else "UMAP"
    about = f"{how} of {points.about}; {len(points.records):,} proteins"
    chart = Chart(
        points.ids, projection.coordinates[:, :2], axis_labels(projection), shown, request.color, title, about
    )
    for path in request.plots:
        draw_chart(chart, path)
    if request.html is not None:
        write_page(chart, request.html)
