"""Pictures of answers as PNG, where matplotlib is installed."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from esmkit.agent.tools.base import Picture
from esmkit.applications.contact_map import draw
from esmkit.applications.mutations import Scan
from esmkit.applications.mutations.heatmap import draw_heatmap
from esmkit.errors import MissingExtraError, demand_module
from esmkit.types import FloatArray

MOST_POSITIONS = 450
"""Of a heat map: five lines of panels, some 2,000 pixels high."""
_ONE_AT_A_TIME = threading.Lock()
"""matplotlib keeps fonts for all threads together."""

Drawn = tuple[Picture | None, str]


async def heat_map(scan: Scan, name: str) -> Drawn:
    """The heat map of a scan, and what to say of it; or None, and why there is none."""
    positions = len(scan.indices)
    if positions > MOST_POSITIONS:
        return None, f"none: {positions} positions, at most {MOST_POSITIONS} are drawn; scan a region to see it"
    title = f"{name}, {', '.join(scan.models)}"
    alt = (
        f"Heat map of the substitutions of {name} at {positions} positions: red is worse, blue is better than the wild "
        "type, which has a dot"
    )
    return await asyncio.to_thread(_drawn, lambda path: draw_heatmap(scan, path, title=title), alt)


async def contact_map(contacts_LL: FloatArray, name: str) -> Drawn:
    """The map of predicted contacts, and what to say of it; or None, and why there is none."""
    residues = len(contacts_LL)
    alt = f"Contact map of {name}, {residues} x {residues} residues: darker is more probable"
    return await asyncio.to_thread(_drawn, lambda path: draw(contacts_LL, name, path), alt)


def _drawn(write: Callable[[Path], None], alt: str) -> Drawn:
    try:
        demand_module("matplotlib.backends.backend_agg", reason="pictures need matplotlib", extra="plot")
    except MissingExtraError as error:
        return None, f"none: {error.message}"
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        write(path)
        return Picture(path.read_bytes(), alt), alt
