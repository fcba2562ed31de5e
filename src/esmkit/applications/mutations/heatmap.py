"""The picture of a scan: 20 residues by positions, the wild type marked, colours diverging around 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.applications.mutations.panels import CELL_IN, RIGHT_IN, mark_positions, panels, stacked
from esmkit.applications.mutations.scan import Scan
from esmkit.applications.pictures import save

ROWS = "GPAVLIMCFWYSTNQHKRDE"
"""The 20 residues by kind: small, aliphatic, aromatic, polar, basic, acidic."""


def limit_of(scan: Scan) -> float:
    """Where the colours end, the same on both sides of 0: few scores lie beyond."""
    return max(float(np.quantile(np.abs(scan.scores), 0.98)), 1e-6)


def draw_heatmap(scan: Scan, path: Path, *, title: str) -> None:
    """Writes the heat map of a scan; the lowest line of each panel is the mean over the 19 substitutions.

    Args:
        scan: what to draw.
        path: a .png, .pdf or .svg.
        title: over the picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends otherwise.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    parts = panels(len(scan.indices))
    figure, all_axes = stacked(parts, height_in=22 * CELL_IN, path=path, title=title)
    order = [STANDARD.index(residue) for residue in ROWS]
    means_P = scan.scores.sum(axis=1) / (len(STANDARD) - 1)
    limit = limit_of(scan)
    norm = Normalize(-limit, limit)
    for axes, part in zip(all_axes, parts, strict=True):
        gap = np.full(part.stop - part.start, np.nan)
        picture = np.vstack([scan.scores[part][:, order].T, gap, means_P[part]])
        axes.imshow(picture, cmap="RdBu", norm=norm, aspect="auto", interpolation="nearest")
        _label(axes, scan, part)
    bar = figure.colorbar(
        ScalarMappable(norm, "RdBu"), cax=figure.add_axes(_bar_place(figure)), extend="both", ticks=[]
    )
    bar.set_ticks([-limit, 0, limit], labels=[f"{-limit:.1f}", "0", f"{limit:.1f}"])
    bar.set_label(f"{scan.method}: worse ← 0 → better", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save(figure, path)


def _label(axes: Any, scan: Scan, part: slice) -> None:
    axes.set_yticks([*range(20), 21], [*ROWS, "mean"], fontsize=6.5, family="monospace")
    mark_positions(axes, scan, part)
    wild_type = [ROWS.index(residue) for residue in scan.residues[part]]
    axes.plot(range(len(wild_type)), wild_type, "o", color="black", markersize=2.2)


def _bar_place(figure: Any) -> tuple[float, float, float, float]:
    """To the right of the first panel."""
    width, height = figure.get_size_inches()
    tall = min(2.2, height - 1.2)
    return 1 - (RIGHT_IN - 0.15) / width, 1 - (0.7 + tall) / height, 0.12 / width, tall / height
