"""The dot plot of a comparison: similarity of every pair of residues, and the way of the alignment through it."""

from __future__ import annotations

from pathlib import Path

from esmkit.applications.comparison.comparison import Comparison
from esmkit.applications.pictures import save

_LIMITS = (1.0, 4.0)
"""Standard deviations at which the colours begin and end."""


def draw_dot_plot(found: Comparison, path: Path) -> None:
    """Writes the picture: A downwards, B to the right, 1-based positions; conserved stretches are drawn thick.

    Args:
        found: what to draw.
        path: a .png, .pdf or .svg, see `pictures.demand_picture`.
    """
    from matplotlib.figure import Figure

    length_a, length_b = found.similarity.shape
    longest = max(length_a, length_b)
    figure = Figure(
        figsize=(2.0 + 5.0 * max(length_b / longest, 0.25), 1.0 + 5.0 * max(length_a / longest, 0.25)),
        layout="constrained",
    )
    axes = figure.add_subplot()
    # The default interpolation averages where there are more residues than pixels, so that no line is lost.
    image = axes.imshow(
        found.similarity,
        cmap="Greys",
        vmin=_LIMITS[0],
        vmax=_LIMITS[1],
        extent=(0.5, length_b + 0.5, length_a + 0.5, 0.5),
        aspect="auto",
    )
    pairs = found.alignment.pairs + 1
    axes.plot(pairs[:, 1], pairs[:, 0], ".", color="#d95f02", markersize=1.6)
    for each in found.stretches:
        axes.plot((each.start_b, each.end_b), (each.start_a, each.end_a), color="#d95f02", linewidth=2.4)
    axes.set(xlim=(0.5, length_b + 0.5), ylim=(length_a + 0.5, 0.5))
    for set_label, record in ((axes.set_xlabel, found.b), (axes.set_ylabel, found.a)):
        set_label(record.id[:40], parse_math=False)
    figure.colorbar(image, ax=axes, label="similarity, standard deviations", shrink=0.85)
    save(figure, path)
