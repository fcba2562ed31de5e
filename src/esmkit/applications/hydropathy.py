"""Hydropathy along a protein, and the stretches that are hydrophobic enough to cross a membrane.

Scale, window of 19 residues and threshold of 1.6 are those of Kyte and Doolittle 1982
(doi:10.1016/0022-2836(82)90515-0), who found membrane-spanning segments of known proteins above it and nearly all
segments of soluble proteins below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from esmkit.errors import InvalidConfigError, InvalidSequenceError
from esmkit.types import FloatArray

KYTE_DOOLITTLE = {
    **{"I": 4.5, "V": 4.2, "L": 3.8, "F": 2.8, "C": 2.5, "M": 1.9, "A": 1.8, "G": -0.4, "T": -0.7, "S": -0.8},
    **{"W": -0.9, "Y": -1.3, "P": -1.6, "H": -3.2, "E": -3.5, "Q": -3.5, "D": -3.5, "N": -3.5, "K": -3.9, "R": -4.5},
}
"""Higher is more hydrophobic."""
WINDOW, THRESHOLD = 19, 1.6


@dataclass(frozen=True, slots=True)
class Hydropathy:
    """The hydropathy of a protein.

    Attributes:
        means: float64 [L], the mean over the window around each residue, or over the part of it that there is.
        segments: first and last position, 1-based, of windows above the threshold that do not overlap, ascending.
        window: residues of a window.
        threshold: the mean that a window must reach.
    """

    means: FloatArray
    segments: tuple[tuple[int, int], ...]
    window: int
    threshold: float


def hydropathy(sequence: str, *, window: int = WINDOW, threshold: float = THRESHOLD) -> Hydropathy:
    """Means over windows, and the segments above a threshold.

    Segments are found from the most hydrophobic window downwards: each is taken unless it overlaps with one that was
    taken before. So every segment is one window long, and two helices with a short loop between them stay two.

    Args:
        sequence: of the 20 amino acids.
        window: residues; an odd number.
        threshold: on the scale of Kyte and Doolittle, -4.5 to 4.5.

    Raises:
        InvalidSequenceError: a residue has no place on the scale.
        InvalidConfigError: the window is even or smaller than 1.

    Example:
        >>> found = hydropathy("KKKVVVKKK", window=3, threshold=2)
        >>> found.segments, found.means[:2].round(2).tolist()
        (((4, 6),), [-3.9, -3.9])
    """
    if window < 1 or window % 2 == 0:
        raise InvalidConfigError(f"the window must be an odd number of residues, not {window}", setting="window")
    # Whole tenths, so that windows of the same residues have the same mean, whatever stands before them.
    tenths = [round(10 * _value(sequence, index)) for index in range(len(sequence))]
    sums = np.concatenate([[0], np.cumsum(tenths, dtype=np.int64)])
    places, half = np.arange(len(sequence)), window // 2
    starts, stops = np.maximum(places - half, 0), np.minimum(places + half + 1, len(sequence))
    means = (sums[stops] - sums[starts]) / (10 * (stops - starts))
    whole = means[half : len(sequence) - half] if len(sequence) >= window else means[:0]
    return Hydropathy(means, _segments(whole, window, threshold), window, threshold)


def _value(sequence: str, index: int) -> float:
    value = KYTE_DOOLITTLE.get(sequence[index])
    if value is None:
        raise InvalidSequenceError(
            f"position {index + 1}: {sequence[index]!r} has no hydropathy; only the 20 amino acids have",
            record_id="sequence",
            position=index + 1,
            residue=sequence[index],
        )
    return value


def _segments(means: FloatArray, window: int, threshold: float) -> tuple[tuple[int, int], ...]:
    """From the mean of each whole window, by its start."""
    starts: list[int] = []
    for start in np.argsort(-means, kind="stable").tolist():
        if means[start] < threshold:
            break
        if all(abs(start - other) >= window for other in starts):
            starts.append(start)
    return tuple((start + 1, start + window) for start in sorted(starts))
