"""The heat map of a scan as one HTML file that needs nothing else: no network, no library."""

from __future__ import annotations

import html
import json
from pathlib import Path

from esmkit.alphabet import STANDARD
from esmkit.applications.mutations.heatmap import ROWS, limit_of
from esmkit.applications.mutations.scan import Scan
from esmkit.sinks.files import write_whole

_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(scan: Scan, path: Path, *, title: str) -> None:
    """Writes the page, and the folder it is in.

    Args:
        scan: what to show.
        path: the .html file.
        title: over the map; any text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page(scan, title=title))


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
    about = f"{scan.method}, {', '.join(scan.models)}"
    parts = {
        "title": html.escape(title),
        "about": html.escape(about),
        # Within <script> only a < can end or open anything.
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    before, *places = text.split("{{")
    return before + "".join(parts[name] + rest for name, rest in (place.split("}}", 1) for place in places))
