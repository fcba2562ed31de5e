"""The picture of one contact map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications.pictures import save

_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_TICKS = 12
"""Along an axis, at most."""


def draw(
    contacts_LL: np.ndarray[Any, Any], title: str, path: Path, *, lengths: Mapping[str, int] | None = None
) -> None:
    """Writes one contact map as a picture; axes are 1-based positions.

    Args:
        contacts_LL: probabilities.
        title: over the picture; any text.
        path: a .png, .pdf or .svg.
        lengths: residues of each chain by its name, where the map is that of several: borders are drawn, and positions
            count from 1 in every chain.
    """
    from matplotlib.figure import Figure

    length = len(contacts_LL)
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    axes = figure.add_subplot()
    edges = (0.5, length + 0.5)
    # The default interpolation averages where a map has more residues than the picture pixels, so that no contact
    # falls between two pixels.
    image = axes.imshow(contacts_LL, cmap="Blues", vmin=0, vmax=1, origin="lower", extent=(*edges, *edges))
    axes.set_title(title if len(title) <= 60 else f"{title[:57]}...", parse_math=False)
    label = f"position in {' | '.join(name[:24] for name in lengths)}" if lengths else "position"
    axes.set_xlabel(label, parse_math=False)
    axes.set_ylabel(label, parse_math=False)
    if lengths:
        _mark_chains(axes, list(lengths.values()))
    figure.colorbar(image, ax=axes, label="contact probability", shrink=0.85)
    save(figure, path, dpi=160)


def _mark_chains(axes: Any, lengths: list[int]) -> None:
    """Lines between the chains, and ticks that count from 1 in each."""
    step = next((each for each in _STEPS if sum(lengths) / each <= _TICKS), _STEPS[-1])
    ticks, start = [], 0
    for length in lengths:
        ticks += [(start + number, str(number)) for number in range(step, length + 1, step)]
        start += length
        if start < sum(lengths):
            axes.axhline(start + 0.5, color="#d95f02", linewidth=0.8)
            axes.axvline(start + 0.5, color="#d95f02", linewidth=0.8)
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks([place for place, _ in ticks], [text for _, text in ticks])
