"""A map as one HTML file that needs nothing else: zoom, point at proteins, choose colours, hide categories."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications import pages
from esmkit.applications.maps.chart import Chart
from esmkit.applications.maps.columns import NOTHING_COLOR, OTHERS_COLOR, Numbers, Shown, legend

_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(chart: Chart, path: Path) -> None:
    """Writes the page, and the folder it is in."""
    pages.write_page(path, page(chart))


def page(chart: Chart) -> str:
    """The page as text; everything that comes from outside is escaped."""
    data = {
        "ids": list(chart.ids),
        "x": _rounded(chart.places[:, 0]),
        "y": _rounded(chart.places[:, 1]),
        "axes": chart.axes,
        "columns": [{"name": name, **_column(shown)} for name, shown in chart.columns.items()],
        "colorBy": list(chart.columns).index(chart.color_by),
        "greys": [OTHERS_COLOR, NOTHING_COLOR],
    }
    return pages.fill(_TEMPLATE, data, title=chart.title, about=chart.about)


def _column(shown: Shown) -> dict[str, Any]:
    if isinstance(shown, Numbers):
        return {"kind": "numbers", "values": _rounded(shown.values), "limits": shown.limits}
    entries = legend(shown)
    place = np.zeros(len(shown.names) + 1, dtype=np.int64)  # the last is -1
    for at, entry in enumerate(entries):
        place[list(entry.codes)] = at
    return {
        "kind": "categories",
        "names": shown.names,
        "codes": shown.codes.tolist(),
        "entries": [
            {"label": entry.label, "color": entry.color, "shape": entry.shape, "count": entry.count}
            for entry in entries
        ],
        "entryOf": place.tolist(),
    }


def _rounded(values: Any) -> list[float | None]:
    """Six digits, which no screen shows; None in place of NaN."""
    return [None if math.isnan(value) else float(f"{value:.6g}") for value in values.tolist()]
