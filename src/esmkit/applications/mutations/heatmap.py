"""The picture of a scan: 20 residues by positions, the wild type marked, colours diverging around 0."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.applications.mutations.scan import Scan
from esmkit.errors import InvalidConfigError, MissingExtraError

SUFFIXES = (".png", ".pdf", ".svg")
ROWS = "GPAVLIMCFWYSTNQHKRDE"
"""The 20 residues by kind: small, aliphatic, aromatic, polar, basic, acidic."""
_PER_PANEL = 90
_CELL_IN, _LEFT_IN, _RIGHT_IN, _GAP_IN = 0.13, 0.55, 0.9, 0.75
_DPI = 110
_LETTER_IN = 0.1
"""Letters of a title are at most about so wide."""


def limit_of(scan: Scan) -> float:
    """Where the colours end, the same on both sides of 0: few scores lie beyond."""
    return max(float(np.quantile(np.abs(scan.scores), 0.98)), 1e-6)


def panels(num_positions: int, most: int = _PER_PANEL) -> list[slice]:
    """The positions in stretches of like length, which are drawn one below the other."""
    count = -(-num_positions // most)
    width = -(-num_positions // count)
    return [slice(start, min(start + width, num_positions)) for start in range(0, num_positions, width)]


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
    figure, all_axes = stacked(parts, height_in=22 * _CELL_IN, path=path, title=title)
    order = [STANDARD.index(residue) for residue in ROWS]
    means_P = scan.scores.sum(axis=1) / (len(STANDARD) - 1)
    norm = Normalize(-limit_of(scan), limit_of(scan))
    for axes, part in zip(all_axes, parts, strict=True):
        gap = np.full(part.stop - part.start, np.nan)
        picture = np.vstack([scan.scores[part][:, order].T, gap, means_P[part]])
        axes.imshow(picture, cmap="RdBu", norm=norm, aspect="auto", interpolation="nearest")
        _label(axes, scan, part)
    bar = figure.colorbar(
        ScalarMappable(norm, "RdBu"), cax=figure.add_axes(_bar_place(figure)), extend="both", ticks=[]
    )
    bar.set_ticks([-limit_of(scan), 0, limit_of(scan)], labels=[f"{-limit_of(scan):.1f}", "0", f"{limit_of(scan):.1f}"])
    bar.set_label(f"{scan.method}: worse ← 0 → better", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save(figure, path)


def stacked(parts: list[slice], *, height_in: float, path: Path, title: str) -> tuple[Any, list[Any]]:
    """A figure with one axes per stretch of positions, where every position is equally wide.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends with the suffix of something else.
    """
    demand_picture(path)
    from matplotlib.figure import Figure

    widest = max(parts[0].stop - parts[0].start, 30)
    width = _LEFT_IN + widest * _CELL_IN + _RIGHT_IN
    height = 0.35 + len(parts) * (height_in + _GAP_IN)
    figure = Figure(figsize=(width, height))
    most = int((width - _LEFT_IN) / _LETTER_IN)
    figure.text(
        _LEFT_IN / width,
        1 - 0.22 / height,
        title if len(title) <= most else f"{title[: most - 3]}...",
        fontsize=10,
        fontweight="bold",
        va="center",
        parse_math=False,
    )
    all_axes = []
    for number, part in enumerate(parts):
        bottom = height - 0.35 - (number + 1) * (height_in + _GAP_IN) + 0.4
        place = (_LEFT_IN, bottom, (part.stop - part.start) * _CELL_IN, height_in)
        all_axes.append(figure.add_axes((place[0] / width, place[1] / height, place[2] / width, place[3] / height)))
    return figure, all_axes


def demand_picture(path: Path) -> None:
    """Finds out before the work whether the picture can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends with the suffix of something else.
    """
    try:
        from matplotlib.backends import backend_agg  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "pictures need matplotlib; install it with: pip install 'esmkit[plot]'", extra="plot"
        ) from error
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidConfigError(f"{path}: a picture ends with {', '.join(SUFFIXES)}", setting="plot")


def mark_positions(axes: Any, scan: Scan, part: slice) -> None:
    """Numbers every tenth position below the axes, and the first; writes the wild type above them."""
    numbers = scan.positions[part]
    ticks = [at for at, number in enumerate(numbers.tolist()) if at == 0 or number % 10 == 0]
    if len(ticks) > 1 and ticks[1] - ticks[0] < 4:
        del ticks[0]
    axes.set_xticks(ticks, [str(numbers[at]) for at in ticks], fontsize=7)
    for at, residue in enumerate(scan.residues[part]):
        axes.annotate(
            residue,
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.5,
            family="monospace",
        )
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=2)


def save(figure: Any, path: Path) -> None:
    """Writes the picture, and the folder it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # letters of a title that the font lacks are drawn as boxes
        figure.savefig(path, dpi=_DPI)


def _label(axes: Any, scan: Scan, part: slice) -> None:
    axes.set_yticks([*range(20), 21], [*ROWS, "mean"], fontsize=6.5, family="monospace")
    mark_positions(axes, scan, part)
    wild_type = [ROWS.index(residue) for residue in scan.residues[part]]
    axes.plot(range(len(wild_type)), wild_type, "o", color="black", markersize=2.2)


def _bar_place(figure: Any) -> tuple[float, float, float, float]:
    """To the right of the first panel."""
    width, height = figure.get_size_inches()
    tall = min(2.2, height - 1.2)
    return 1 - (_RIGHT_IN - 0.15) / width, 1 - (0.7 + tall) / height, 0.12 / width, tall / height
