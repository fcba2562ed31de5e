"""Labels taken over from the nearest labelled proteins, each with the probability that it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from esmkit.applications.search.calibration import Calibration, calibration
from esmkit.applications.search.index import Index
from esmkit.applications.search.votes import vote
from esmkit.errors import InvalidConfigError
from esmkit.types import FloatArray

UNKNOWN = "unknown"
NEIGHBOURS = 3
MIN_RELIABILITY = 0.5


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the neighbours of a protein say.

    Attributes:
        label: the best one, or `unknown` if it is not reliable enough.
        reliability: the probability that the best one is right, see `calibration`.
        neighbour: the nearest protein that has the best label.
        cosine: to that.
        best: the best label in any case.
        second: the label with the second most votes, or None.
    """

    label: str
    reliability: float
    neighbour: str
    cosine: float
    best: str
    second: str | None


@dataclass(frozen=True, slots=True)
class Annotator:
    """Annotates with one column of an index.

    Attributes:
        index: the labelled proteins.
        calibration: of the column and the number of neighbours.
        min_reliability: below which the label is `unknown`.
        exact: never search approximately.
    """

    index: Index
    calibration: Calibration
    min_reliability: float = MIN_RELIABILITY
    exact: bool = False

    @classmethod
    def of(
        cls,
        index: Index,
        label: str,
        *,
        neighbours: int = NEIGHBOURS,
        min_reliability: float = MIN_RELIABILITY,
        exact: bool = False,
    ) -> Annotator:
        """An annotator; at the first use of a column its reliability is measured, and kept with the index.

        Raises:
            InvalidConfigError: the index has no such column of text, or a number is out of its range.
            InvalidInputError: too few proteins have a label.
        """
        if not 0 <= min_reliability <= 1:
            raise InvalidConfigError(
                f"a reliability is between 0 and 1, not {min_reliability}", setting="min_reliability"
            )
        if neighbours < 1:
            raise InvalidConfigError(f"k must be at least 1, not {neighbours}", setting="k")
        return cls(index, calibration(index, label, neighbours), min_reliability, exact)

    def annotate(self, vectors: FloatArray) -> Iterator[Annotation]:
        """One annotation per query.

        Args:
            vectors: float [Q, F], see `Index.search`.
        """
        known = self.calibration
        for hits in self.index.search(vectors, k=known.neighbours, where=known.where(), exact=self.exact):
            outcome = vote(hits, known.label)
            assert outcome is not None  # calibrated on labelled proteins, and only they are searched
            reliability = known.reliability(outcome.nearest.cosine)
            label = outcome.label if reliability >= self.min_reliability else UNKNOWN
            nearest = outcome.nearest
            yield Annotation(label, reliability, nearest.id, nearest.cosine, outcome.label, outcome.second)
