"""Pictures of contact maps, one per record."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import InvalidConfigError, demand_module
from esmkit.types import Result

SUFFIXES = (".png", ".pdf", ".svg")


class ContactPlots:
    """Draws the map of every result it is shown: into one file, or into a directory, one file per record.

    Args:
        target: a .png, .pdf or .svg for a single record, otherwise a directory.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the target has the suffix of something else.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.is_file = target.suffix.lower() in SUFFIXES and not target.is_dir()
        self._only: Result | None = None
        demand_module("matplotlib.backends.backend_agg", reason="--plot needs matplotlib", extra="plot")
        if target.suffix and not self.is_file and not target.is_dir():
            raise InvalidConfigError(
                f"--plot {target}: a picture ends with {', '.join(SUFFIXES)}; a directory for one picture per record "
                "has a name without a dot, or is there already",
                setting="plot",
            )

    def __call__(self, result: Result) -> None:
        """Draws one result into the directory, or keeps it for `finish`: only the end shows that it was alone.

        Raises:
            InvalidConfigError: a second record comes for a single file.
        """
        if not self.is_file:
            draw(np.asarray(result.arrays["contacts"]), result.id, self.target / _file_name(result))
            return
        if self._only is not None:
            raise InvalidConfigError(
                f"--plot {self.target} is one picture, but there are several records; give a directory", setting="plot"
            )
        self._only = result

    def finish(self) -> None:
        """Draws the single file."""
        if self._only is not None:
            draw(np.asarray(self._only.arrays["contacts"]), self._only.id, self.target)


def _file_name(result: Result) -> str:
    """Number and the harmless characters of the id: an id never chooses a path."""
    safe = re.sub(r"[^A-Za-z0-9]+", "_", result.id).strip("_")[:60]
    return f"{result.index + 1:05d}_{safe}.png"


def draw(contacts_LL: np.ndarray[Any, Any], title: str, path: Path) -> None:
    """Writes one contact map as a picture; axes are 1-based positions."""
    from matplotlib.figure import Figure

    length = len(contacts_LL)
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    axes = figure.add_subplot()
    edges = (0.5, length + 0.5)
    # The default interpolation averages where a map has more residues than the picture pixels, so that no contact
    # falls between two pixels.
    image = axes.imshow(contacts_LL, cmap="Blues", vmin=0, vmax=1, origin="lower", extent=(*edges, *edges))
    axes.set_title(title if len(title) <= 60 else f"{title[:57]}...", parse_math=False)
    axes.set(xlabel="position", ylabel="position")
    figure.colorbar(image, ax=axes, label="contact probability", shrink=0.85)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # letters of an id that the font lacks are drawn as boxes
        figure.savefig(path, dpi=160)
