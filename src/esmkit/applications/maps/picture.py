"""A map as a picture, with a legend or a colour bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications.maps.chart import Chart
from esmkit.applications.maps.columns import NOTHING_COLOR, SHAPES, Categories, Numbers, legend
from esmkit.applications.pictures import demand_picture, save

RAMP = "viridis"
_MARKERS = dict(zip(SHAPES, "os^D", strict=True))
_LABEL_LETTERS, _TITLE_LETTERS = 32, 80


def draw_chart(chart: Chart, path: Path) -> None:
    """Writes the picture.

    Args:
        chart: what to draw.
        path: a .png, .pdf or .svg.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidConfigError: the path ends otherwise.
    """
    demand_picture(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.6), layout="constrained")
    axes = figure.add_subplot()
    size = float(np.clip(6000 / len(chart.ids), 4, 28))
    style = {"s": size, "linewidths": 0, "alpha": 0.85, "rasterized": True}
    shown = chart.columns[chart.color_by]
    if isinstance(shown, Numbers):
        _draw_numbers(figure, axes, chart, shown, style)
    else:
        _draw_categories(axes, chart, shown, style)
    axes.set_xlabel(chart.axes[0], parse_math=False)
    axes.set_ylabel(chart.axes[1], parse_math=False)
    axes.set_title(_short(chart.title, _TITLE_LETTERS), fontsize=10, fontweight="bold", loc="left", parse_math=False)
    axes.set_aspect("equal", adjustable="datalim")
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save(figure, path)


def _draw_numbers(figure: Any, axes: Any, chart: Chart, numbers: Numbers, style: dict[str, Any]) -> None:
    is_missing = np.isnan(numbers.values)
    axes.scatter(*chart.places[is_missing].T, color=NOTHING_COLOR, **style)
    low, high = numbers.limits
    points = axes.scatter(
        *chart.places[~is_missing].T, c=numbers.values[~is_missing], cmap=RAMP, vmin=low, vmax=high, **style
    )
    bar = figure.colorbar(points, ax=axes, shrink=0.7, extend="both")
    missing = f" (grey: {numbers.missing:,} missing)" if numbers.missing else ""
    bar.set_label(_short(chart.color_by, _LABEL_LETTERS) + missing, parse_math=False)
    bar.ax.tick_params(labelsize=8)


def _draw_categories(axes: Any, chart: Chart, categories: Categories, style: dict[str, Any]) -> None:
    entries = legend(categories)
    drawn = {}
    for entry in sorted(entries, key=lambda entry: (entry.color != NOTHING_COLOR, -entry.count)):  # small ones on top
        places = chart.places[np.isin(categories.codes, entry.codes)]
        label = f"{_short(entry.label, _LABEL_LETTERS)} ({entry.count:,})"
        drawn[entry] = axes.scatter(*places.T, color=entry.color, marker=_MARKERS[entry.shape], label=label, **style)
    box = axes.legend(
        handles=[drawn[entry] for entry in entries],
        title=_short(chart.color_by, _LABEL_LETTERS),
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=7.5,
        title_fontsize=8.5,
        alignment="left",
        borderaxespad=0,
    )
    for text in (box.get_title(), *box.get_texts()):
        text.set_parse_math(False)
    for handle in box.legend_handles:
        handle.set_sizes([24])


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 3]}..."
