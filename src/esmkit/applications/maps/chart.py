"""A map of proteins as one thing that can be drawn: places, and what is known of each protein."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from esmkit.applications.maps.columns import Shown
from esmkit.applications.maps.projection import Projection
from esmkit.types import FloatArray


@dataclass(frozen=True, slots=True)
class Chart:
    """Proteins in the plane.

    Attributes:
        ids: of the proteins.
        places: float [n, 2].
        axes: what is written at x and y.
        columns: what is known of each, by name.
        color_by: the column that gives the colours.
        title: any text.
        about: how it was made, any text.
    """

    ids: Sequence[str]
    places: FloatArray
    axes: tuple[str, str]
    columns: Mapping[str, Shown]
    color_by: str
    title: str = ""
    about: str = ""


def axis_labels(projection: Projection) -> tuple[str, str]:
    """Names of x and y, with the share of the variance where there is one."""
    shares = [f" ({share:.1%} of the variance)" for share in projection.explained] or ["", ""]
    x, y = (f"{name}{share}" for name, share in zip(projection.axes[:2], shares[:2], strict=True))
    return x, y
