"""The heat map of a scan as one HTML file that needs nothing else: no network, no library."""

from __future__ import annotations

from pathlib import Path

from esmkit.alphabet import STANDARD
from esmkit.applications.hydropathy import Hydropathy
from esmkit.applications.mutations.heatmap import HYDROPATHY_LIMIT, ROWS, limit_of
from esmkit.applications.mutations.scan import Scan
from esmkit.applications.pages import fill
from esmkit.applications.pages import write_page as write

_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(scan: Scan, path: Path, *, title: str, hydropathy: Hydropathy | None = None) -> None:
    """Writes the page, and the folder it is in.

    Args:
        scan: what to show.
        path: the .html file.
        title: over the map; any text.
        hydropathy: of the scanned protein, to be drawn below the map.
    """
    write(path, page(scan, title=title, hydropathy=hydropathy))


def page(scan: Scan, *, title: str, hydropathy: Hydropathy | None = None) -> str:
    """The page as text; everything that comes from outside is escaped."""
    order = [STANDARD.index(residue) for residue in ROWS]
    data = {
        "rows": ROWS,
        "method": scan.method,
        "residues": scan.residues,
        "positions": scan.positions.tolist(),
        "scores": [[round(value, 4) for value in line] for line in scan.scores[:, order].tolist()],
        "probabilities": [[round(value, 5) for value in line] for line in scan.probabilities[:, order].tolist()],
        "limit": limit_of(scan),
        "hydropathy": None if hydropathy is None else _track(hydropathy, scan),
    }
    return fill(_TEMPLATE, data, title=title, about=f"{scan.method}, {', '.join(scan.models)}")


def _track(hydropathy: Hydropathy, scan: Scan) -> dict[str, object]:
    """What the page draws of the hydropathy, for the scanned positions."""
    segments = [
        any(start <= index + 1 <= stop for start, stop in hydropathy.segments) for index in scan.indices.tolist()
    ]
    return {
        "means": [round(value, 3) for value in hydropathy.means[scan.indices].tolist()],
        "segments": segments,
        "threshold": hydropathy.threshold,
        "window": hydropathy.window,
        "limit": HYDROPATHY_LIMIT,
    }
