"""Two proteins compared: similarities, the alignment that they suggest, conserved stretches, and shuffled proteins.

Shape suffixes: A, B residues of the two proteins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from esmkit.alphabet import clean, residues
from esmkit.applications.comparison.alignment import Alignment, Mode, align
from esmkit.applications.comparison.similarity import contrast, cosines
from esmkit.applications.vectors import Watcher
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError
from esmkit.outputs import OutputOptions, build
from esmkit.types import FloatArray, Record, Result

_WINDOW = 5
"""Pairs around each one over which its similarity is averaged, to find stretches."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How two proteins are compared.

    Attributes:
        layer: of the representations, 0 to N or counted from the end.
        mode: see `alignment.align`.
        background: what a pair must have to be worth aligning, in standard deviations; taken off every similarity.
        gap_open: see `alignment.align`; on the same scale.
        gap_extend: likewise.
        conserved: mean similarity of five pairs that makes the middle one conserved.
        shortest: pairs of a conserved stretch, at least.
        shuffles: how many shuffled Bs the score is compared with.
        seed: of the shuffles.
    """

    layer: int = -1
    mode: Mode = "local"
    background: float = 0.5
    gap_open: float = 2.0
    gap_extend: float = 0.5
    conserved: float = 1.5
    shortest: int = 6
    shuffles: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shuffles < 0 or self.shuffles == 1:
            raise InvalidConfigError(
                f"a standard deviation needs at least 2 shuffles, not {self.shuffles}; 0 leaves them out",
                setting="shuffles",
            )
        if self.shortest < 1:
            raise InvalidConfigError(f"a stretch has at least 1 pair, not {self.shortest}", setting="shortest")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of pairs without a gap in which the proteins are alike; positions are 1-based.

    Attributes:
        similarity: mean over its pairs, in standard deviations.
        identity: share of its pairs with one and the same residue.
    """

    start_a: int
    end_a: int
    start_b: int
    end_b: int
    similarity: float
    identity: float


@dataclass(frozen=True, slots=True)
class Significance:
    """The scores of alignments with shuffled Bs: the same residues in random order, put through the model anew.

    Attributes:
        scores: one per shuffle.
        z_score: how many of their standard deviations the score of B lies above their mean; None if they are all the
            same.
    """

    scores: tuple[float, ...]
    z_score: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out.

    Attributes:
        a: the first protein, clean.
        b: the second.
        cosines: float64 [A, B], of representations.
        similarity: float64 [A, B], their contrast, in standard deviations.
        alignment: score and pairs.
        stretches: the conserved ones, in order.
        significance: None without shuffles.
        settings: how it was made.
        model: slug.
    """

    a: Record
    b: Record
    cosines: FloatArray
    similarity: FloatArray
    alignment: Alignment
    stretches: tuple[Stretch, ...]
    significance: Significance | None
    settings: Settings
    model: str

    @property
    def pair_cosines(self) -> FloatArray:
        """float64 [n], of the aligned pairs."""
        return np.asarray(self.cosines[tuple(self.alignment.pairs.T)])

    @property
    def pair_similarity(self) -> FloatArray:
        """float64 [n], of the aligned pairs, in standard deviations."""
        return np.asarray(self.similarity[tuple(self.alignment.pairs.T)])

    @property
    def identical(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool]]:
        """bool [n], whether an aligned pair is one and the same residue."""
        first, second = np.array(residues(self.a.sequence)), np.array(residues(self.b.sequence))
        return np.asarray(first[self.alignment.pairs[:, 0]] == second[self.alignment.pairs[:, 1]])

    @property
    def identity(self) -> float:
        """Share of the aligned pairs that are one and the same residue; 0 when nothing is aligned."""
        return float(self.identical.mean()) if len(self.alignment.pairs) else 0.0


def compare(
    model: Model,
    a: str | Record,
    b: str | Record,
    settings: Settings | None = None,
    *,
    watcher: Watcher | None = None,
) -> Comparison:
    """Compares two proteins.

    Args:
        model: whose representations are compared.
        a: the first protein.
        b: the second.
        settings: the default ones are for finding what two proteins share.
        watcher: sees how far it is.

    Raises:
        UserError: a sequence is not acceptable, or a setting wrong.

    Example:
        >>> import esmkit
        >>> found = compare(esmkit.load(), "MKTAYIAKQRQISFVK", "MKTAYIAKQRQISFVK", Settings(shuffles=0))
        >>> found.identity, len(found.alignment.pairs)
        (1.0, 16)
    """
    settings = settings or Settings()
    first, second = (
        clean(Record(0, name, each) if isinstance(each, str) else each, model.residues)
        for name, each in (("A", a), ("B", b))
    )
    representations = _representations(model, [first, second, *_shuffled(second, settings)], settings, watcher)
    a_AD, b_BD = next(representations), next(representations)
    cosine_AB = cosines(a_AD, b_BD)
    similarity_AB = contrast(cosine_AB)
    alignment = _aligned(similarity_AB, settings)
    found = Comparison(
        first, second, cosine_AB, similarity_AB, alignment, (), None, settings, str(model.provenance["slug"])
    )
    scores = tuple(_aligned(contrast(cosines(a_AD, other)), settings).score for other in representations)
    significance = _significance(alignment.score, scores) if scores else None
    return replace(found, stretches=tuple(_stretches(found)), significance=significance)


def _representations(
    model: Model, records: Sequence[Record], settings: Settings, watcher: Watcher | None
) -> Iterator[FloatArray]:
    """[L, D] of each."""
    (output,) = build(["per_residue"], model.shape, OutputOptions(layers=(settings.layer,)))
    (column,) = output.columns()
    numbered = [replace(record, index=index) for index, record in enumerate(records)]
    on_progress = None if watcher is None else watcher.tokens
    results = model.engine.run(
        numbered, [output], length=model.length, residues=model.residues, on_progress=on_progress
    )
    for result in results:
        assert isinstance(result, Result)
        if watcher is not None:
            watcher.record(result.meta["length"])
        yield result.arrays[column.name]


def _shuffled(record: Record, settings: Settings) -> Iterator[Record]:
    generator = np.random.default_rng(settings.seed)
    letters = residues(record.sequence)
    for number in range(settings.shuffles):
        yield replace(record, id=f"shuffle {number + 1}", sequence="".join(generator.permutation(letters)))


def _aligned(similarity_AB: FloatArray, settings: Settings) -> Alignment:
    return align(
        similarity_AB - settings.background,
        mode=settings.mode,
        gap_open=settings.gap_open,
        gap_extend=settings.gap_extend,
    )


def _significance(score: float, scores: tuple[float, ...]) -> Significance:
    spread = float(np.std(scores, ddof=1))
    return Significance(scores, (score - float(np.mean(scores))) / spread if spread > 0 else None)


def _stretches(found: Comparison) -> Iterator[Stretch]:
    """Runs of pairs without a gap whose smoothed similarity stays above the bound."""
    pairs, similarity, identical = found.alignment.pairs, found.pair_similarity, found.identical
    if not len(pairs):
        return
    breaks = [at + 1 for at, (one, two) in enumerate(pairwise(pairs.tolist())) if two != [one[0] + 1, one[1] + 1]]
    for start, stop in pairwise([0, *breaks, len(pairs)]):
        is_high = _smoothed(similarity[start:stop]) >= found.settings.conserved
        edges = np.flatnonzero(np.diff(np.concatenate([[False], is_high, [False]]))) + start
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if last - first >= found.settings.shortest:
                (start_a, start_b), (end_a, end_b) = (pairs[first] + 1).tolist(), (pairs[last - 1] + 1).tolist()
                of_pairs = slice(first, last)
                yield Stretch(
                    *(start_a, end_a, start_b, end_b),
                    float(similarity[of_pairs].mean()),
                    float(identical[of_pairs].mean()),
                )


def _smoothed(values: FloatArray) -> FloatArray:
    """Means over the window around each value, or over the part of it that there is."""
    weights = np.ones(_WINDOW)
    return (
        np.convolve(values, weights)[_WINDOW // 2 :][: len(values)]
        / np.convolve(np.ones(len(values)), weights)[_WINDOW // 2 :][: len(values)]
    )
