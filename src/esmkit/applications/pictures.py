"""Pictures by matplotlib: which files they can be, and how they are written."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from esmkit.errors import InvalidConfigError, demand_module

SUFFIXES = (".png", ".pdf", ".svg")
_DPI = 110


def demand_picture(path: Path) -> None:
    """Finds out before the work whether the picture can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends with the suffix of something else.
    """
    demand_module("matplotlib.backends.backend_agg", reason="pictures need matplotlib", extra="plot")
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidConfigError(f"{path}: a picture ends with {', '.join(SUFFIXES)}", setting="plot")


def save(figure: Any, path: Path, *, dpi: int = _DPI) -> None:
    """Writes the picture, and the folder it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # letters of a title that the font lacks are drawn as boxes
        figure.savefig(path, dpi=dpi)
