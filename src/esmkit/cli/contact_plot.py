"""Pictures of contact maps, one per record."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from esmkit.applications.contact_map import draw
from esmkit.applications.pictures import SUFFIXES
from esmkit.errors import InvalidConfigError, demand_module
from esmkit.types import Result


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
            self._draw(result, self.target / _file_name(result))
            return
        if self._only is not None:
            raise InvalidConfigError(
                f"--plot {self.target} is one picture, but there are several records; give a directory", setting="plot"
            )
        self._only = result

    def finish(self) -> None:
        """Draws the single file."""
        if self._only is not None:
            self._draw(self._only, self.target)

    def _draw(self, result: Result, path: Path) -> None:
        lengths = {name: stop - start + 1 for name, (start, stop) in result.meta.get("chains", {}).items()}
        draw(np.asarray(result.arrays["contacts"]), result.id, path, lengths=lengths)


def _file_name(result: Result) -> str:
    """Number and the harmless characters of the id: an id never chooses a path."""
    safe = re.sub(r"[^A-Za-z0-9]+", "_", result.id).strip("_")[:60]
    return f"{result.index + 1:05d}_{safe}.png"
