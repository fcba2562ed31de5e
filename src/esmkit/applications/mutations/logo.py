"""The sequence logo of a scan: what the model expects at each position.

Letters are as high as their probability times the information of the position, log2(20) - entropy, in bits
(Schneider and Stephens 1990, doi:10.1093/nar/18.20.6097); probabilities are no counts, so none of the corrections for
small samples applies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.applications.mutations.panels import mark_positions, panels, stacked
from esmkit.applications.mutations.scan import Scan
from esmkit.applications.pictures import save

COLORS = {
    **dict.fromkeys("AVLIMC", "#2b2b2b"),
    **dict.fromkeys("FWY", "#b8860b"),
    **dict.fromkeys("GP", "#7a7a7a"),
    **dict.fromkeys("STNQ", "#2e8b57"),
    **dict.fromkeys("HKR", "#1f5fbf"),
    **dict.fromkeys("DE", "#c62828"),
}
"""By kind: aliphatic, aromatic, small, polar, basic, acidic."""
_SMALLEST = 0.04
"""Letters below this share of the height of the logo are left out: nobody could read them."""


def draw_logo(scan: Scan, path: Path, *, title: str) -> None:
    """Writes the logo of a scan; the letters above it are the wild type.

    Args:
        scan: what to draw.
        path: a .png, .pdf or .svg.
        title: over the picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends otherwise.
    """
    parts = panels(len(scan.indices))
    figure, all_axes = stacked(parts, height_in=1.3, path=path, title=title)
    bits = np.log2(len(STANDARD)) - scan.entropy_bits
    heights = scan.probabilities * np.maximum(bits, 0)[:, None]
    top = max(float(heights.sum(axis=1).max()) * 1.05, 0.1)
    shapes = _letter_shapes()
    for axes, part in zip(all_axes, parts, strict=True):
        for at, column in enumerate(heights[part]):
            _stack(axes, at, column, shapes, smallest=_SMALLEST * top)
        axes.set(xlim=(-0.5, part.stop - part.start - 0.5), ylim=(0, top))
        axes.set_ylabel("bits", fontsize=7)
        axes.tick_params(axis="y", labelsize=7)
        mark_positions(axes, scan, part)
        axes.spines["left"].set_visible(True)
    save(figure, path)


def _stack(axes: Any, at: int, heights_V: np.ndarray[Any, Any], shapes: dict[str, Any], *, smallest: float) -> None:
    """The letters of one position, the most probable on top."""
    from matplotlib.patches import PathPatch
    from matplotlib.transforms import Affine2D

    bottom = 0.0
    for column in np.argsort(heights_V):
        height = float(heights_V[column])
        if height >= smallest:
            letter = STANDARD[column]
            place = Affine2D().scale(0.92, height).translate(at - 0.46, bottom) + axes.transData
            axes.add_patch(PathPatch(shapes[letter], color=COLORS[letter], linewidth=0, transform=place))
        bottom += height


def _letter_shapes() -> dict[str, Any]:
    """Each letter as an outline that fills the unit square."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    font = FontProperties(family="DejaVu Sans", weight="bold")
    shapes = {}
    for letter in STANDARD:
        outline = TextPath((0, 0), letter, size=1, prop=font)
        box = outline.get_extents()
        width = max(box.width, 0.35) if letter == "I" else box.width  # an I as wide as an M would be a block
        fitted = Affine2D().translate(-box.x0 - (box.width - width) / 2, -box.y0).scale(1 / width, 1 / box.height)
        shapes[letter] = fitted.transform_path(outline)
    return shapes
