"""The frame of the pictures of a scan: stretches of positions one below the other, with their numbers and wild type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esmkit.applications.mutations.scan import Scan
from esmkit.applications.pictures import demand_picture

_PER_PANEL = 90
CELL_IN, _LEFT_IN, RIGHT_IN, _GAP_IN = 0.13, 0.55, 0.9, 0.75
_LETTER_IN = 0.1
"""Letters of a title are at most about so wide."""


def panels(num_positions: int, most: int = _PER_PANEL) -> list[slice]:
    """The positions in stretches of like length, which are drawn one below the other."""
    count = -(-num_positions // most)
    width = -(-num_positions // count)
    return [slice(start, min(start + width, num_positions)) for start in range(0, num_positions, width)]


def stacked(parts: list[slice], *, height_in: float, path: Path, title: str) -> tuple[Any, list[Any]]:
    """A figure with one axes per stretch of positions, where every position is equally wide.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends with the suffix of something else.
    """
    demand_picture(path)
    from matplotlib.figure import Figure

    widest = max(parts[0].stop - parts[0].start, 30)
    width = _LEFT_IN + widest * CELL_IN + RIGHT_IN
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
        place = (_LEFT_IN, bottom, (part.stop - part.start) * CELL_IN, height_in)
        all_axes.append(figure.add_axes((place[0] / width, place[1] / height, place[2] / width, place[3] / height)))
    return figure, all_axes


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
