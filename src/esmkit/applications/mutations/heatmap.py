"""The picture of a scan: 20 residues by positions, the wild type marked, colours diverging around 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.applications.hydropathy import Hydropathy
from esmkit.applications.mutations.panels import CELL_IN, RIGHT_IN, mark_positions, panels, stacked
from esmkit.applications.mutations.scan import Scan
from esmkit.applications.pictures import save
from esmkit.types import IntArray

ROWS = "GPAVLIMCFWYSTNQHKRDE"
"""The 20 residues by kind: small, aliphatic, aromatic, polar, basic, acidic."""
_MEAN = 21
"""Line of the means, below an empty one."""
_TRACK_TOP, _TRACK_LINES = 23, 5
"""The curve of the hydropathy, below another one: as high as so many residues, from -LIMIT to LIMIT."""
HYDROPATHY_LIMIT = 3.0
"""Means over a window hardly go beyond; where they do, the curve is cut."""


def limit_of(scan: Scan) -> float:
    """Where the colours end, the same on both sides of 0: few scores lie beyond."""
    return max(float(np.quantile(np.abs(scan.scores), 0.98)), 1e-6)


def draw_heatmap(scan: Scan, path: Path, *, title: str, hydropathy: Hydropathy | None = None) -> None:
    """Writes the heat map of a scan; the lowest line of each panel is the mean over the 19 substitutions.

    Args:
        scan: what to draw.
        path: a .png, .pdf or .svg.
        title: over the picture.
        hydropathy: of the scanned protein, to be drawn as a curve below.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends otherwise.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    parts = panels(len(scan.indices))
    lines = _MEAN + 1 if hydropathy is None else _TRACK_TOP + _TRACK_LINES
    figure, all_axes = stacked(parts, height_in=lines * CELL_IN, path=path, title=title)
    order = [STANDARD.index(residue) for residue in ROWS]
    means_P = scan.scores.sum(axis=1) / (len(STANDARD) - 1)
    limit = limit_of(scan)
    norm = Normalize(-limit, limit)
    for axes, part in zip(all_axes, parts, strict=True):
        gap = np.full(part.stop - part.start, np.nan)
        picture = np.vstack([scan.scores[part][:, order].T, gap, means_P[part]])
        axes.imshow(picture, cmap="RdBu", norm=norm, aspect="auto", interpolation="nearest")
        _label(axes, scan, part)
        if hydropathy is not None:
            _draw_track(axes, hydropathy, scan.indices[part])
    bar = figure.colorbar(
        ScalarMappable(norm, "RdBu"), cax=figure.add_axes(_bar_place(figure)), extend="both", ticks=[]
    )
    bar.set_ticks([-limit, 0, limit], labels=[f"{-limit:.1f}", "0", f"{limit:.1f}"])
    bar.set_label(f"{scan.method}: worse ← 0 → better", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save(figure, path)


def _label(axes: Any, scan: Scan, part: slice) -> None:
    axes.set_yticks([*range(20), _MEAN], [*ROWS, "mean"], fontsize=6.5, family="monospace")
    mark_positions(axes, scan, part)
    wild_type = [ROWS.index(residue) for residue in scan.residues[part]]
    axes.plot(range(len(wild_type)), wild_type, "o", color="black", markersize=2.2)


def _draw_track(axes: Any, hydropathy: Hydropathy, indices: IntArray) -> None:
    """The hydropathy (Kyte-Doolittle) as a curve below the map; the dashed line is the threshold, bars are segments."""
    middle, scale = _TRACK_TOP + (_TRACK_LINES - 1) / 2, (_TRACK_LINES - 1) / 2 / HYDROPATHY_LIMIT
    heights = middle - scale * hydropathy.means[indices].clip(-HYDROPATHY_LIMIT, HYDROPATHY_LIMIT)
    places = np.arange(len(indices))
    axes.fill_between(places, heights, middle, color="#c9a227", alpha=0.35, linewidth=0)
    axes.plot(places, heights, color="#8a6d00", linewidth=1)
    axes.axhline(middle, color="#888888", linewidth=0.5)
    axes.axhline(middle - scale * hydropathy.threshold, color="#8a6d00", linewidth=0.6, linestyle="--")
    for start, stop in hydropathy.segments:
        inside = places[(indices + 1 >= start) & (indices + 1 <= stop)]
        if len(inside):
            line = (inside[0] - 0.5, inside[-1] + 0.5)
            axes.plot(line, (_TRACK_TOP - 0.5,) * 2, color="#8a6d00", linewidth=3, solid_capstyle="butt")
    axes.set_ylim(_TRACK_TOP + _TRACK_LINES - 0.5, -0.5)
    ticks = [*range(len(ROWS)), _MEAN, middle]
    axes.set_yticks(ticks, [*ROWS, "mean", "KD"], fontsize=6.5, family="monospace")


def _bar_place(figure: Any) -> tuple[float, float, float, float]:
    """To the right of the first panel."""
    width, height = figure.get_size_inches()
    tall = min(2.2, height - 1.2)
    return 1 - (RIGHT_IN - 0.15) / width, 1 - (0.7 + tall) / height, 0.12 / width, tall / height
