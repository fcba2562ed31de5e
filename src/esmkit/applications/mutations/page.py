"""The heat map of a scan as one HTML file that needs nothing else: no network, no library."""

from __future__ import annotations

from pathlib import Path

from esmkit.alphabet import STANDARD
from esmkit.applications.mutations.heatmap import ROWS, limit_of
from esmkit.applications.mutations.scan import Scan
from esmkit.applications.pages import fill
from esmkit.applications.pages import write_page as write

_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(scan: Scan, path: Path, *, title: str) -> None:
    """Writes the page, and the folder it is in.

    Args:
        scan: what to show.
        path: the .html file.
        title: over the map; any text.
    """
    write(path, page(scan, title=title))


def page(scan: Scan, *, title: str) -> str:
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
    }
    return fill(_TEMPLATE, data, title=title, about=f"{scan.method}, {', '.join(scan.models)}")
