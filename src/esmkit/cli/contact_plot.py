"""Pictures of contact maps, one per record."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import InvalidConfigError, MissingExtraError
from esmkit.types import Result

SUFFIXES = (".png", ".pdf", ".svg")


class ContactPlots:
    """Draws the map of every result it is shown: into one file, or into a directory, one file per record.

    Args:
        target: a .png, .pdf or .svg for a single record, otherwise a directory.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.is_file = target.suffix.lower() in SUFFIXES
        self.drawn = 0
        try:
            from matplotlib.backends import backend_agg  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "--plot needs matplotlib; install it with: pip install 'esmkit[plot]'", extra="plot"
            ) from error

    def __call__(self, result: Result) -> None:
        """Draws one result.

        Raises:
            InvalidConfigError: a second record comes for a single file.
        """
        if self.is_file and self.drawn:
            raise InvalidConfigError(
                f"--plot {self.target} is one picture, but there are several records; give a directory", setting="plot"
            )
        path = self.target if self.is_file else self.target / self._file_name(result)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(np.asarray(result.arrays["contacts"]), result.id, path)
        self.drawn += 1

    def _file_name(self, result: Result) -> str:
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
    image = axes.imshow(
        contacts_LL, cmap="Blues", vmin=0, vmax=1, origin="lower", extent=(*edges, *edges), interpolation="nearest"
    )
    axes.set(title=title if len(title) <= 60 else f"{title[:57]}...", xlabel="position", ylabel="position")
    figure.colorbar(image, ax=axes, label="contact probability", shrink=0.85)
    figure.savefig(path, dpi=160)
