"""Deep mutational scans: every single substitution of a protein, or of chosen positions, as one table.

Shape suffixes: P scanned positions, V = 20 amino acids in the order of alphabet.STANDARD, m models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from esmkit.alphabet import STANDARD
from esmkit.applications.mutations.methods import MethodName
from esmkit.applications.mutations.scoring import Models, listed, names_of, stream
from esmkit.applications.mutations.variants import check_wild_type, columns_of, singles
from esmkit.errors import InvalidConfigError
from esmkit.types import FloatArray, IntArray, Result


@dataclass(frozen=True, slots=True)
class PositionSummary:
    """What a scan says about one position.

    Attributes:
        position: in the numbering of the scan.
        wild_type: the residue there.
        probability: of that residue among the 20.
        entropy_bits: of the 20 probabilities; 0 is certainty, log2(20) = 4.32 is indifference.
        mean_effect: mean score of the 19 substitutions.
        best_substitution: the one with the highest score, such as A24G.
        best_score: its score.
    """

    position: int
    wild_type: str
    probability: float
    entropy_bits: float
    mean_effect: float
    best_substitution: str
    best_score: float


@dataclass(frozen=True, slots=True)
class Scan:
    """The scores of all single substitutions.

    Attributes:
        sequence: the wild type.
        indices: int64 [P], 0-based places in the sequence, ascending.
        scores: float64 [P, V]; higher is better, 0 where the residue is that of the wild type.
        method: how they were made.
        models: slugs; the scores are the mean over them.
        offset: what the numbering adds to the place in the sequence.
    """

    sequence: str
    indices: IntArray
    scores: FloatArray
    method: MethodName
    models: tuple[str, ...]
    offset: int = 0

    @property
    def positions(self) -> IntArray:
        """int64 [P], 1-based, in the numbering of the scan."""
        return self.indices + 1 + self.offset

    @property
    def residues(self) -> str:
        """The wild type at the scanned positions, P letters."""
        return "".join(self.sequence[index] for index in self.indices)

    @property
    def probabilities(self) -> FloatArray:
        """float64 [P, V], each line adding up to 1: the softmax of the scores.

        For marginals of one model that is exactly what the model predicts at the position, since a score is the log
        probability up to a constant; for several models it is their geometric mean.
        """
        shifted = np.exp(self.scores - self.scores.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    @property
    def entropy_bits(self) -> FloatArray:
        """float64 [P], entropy of the probabilities."""
        p = self.probabilities
        return np.asarray(-(p * np.log2(np.maximum(p, 1e-300))).sum(axis=1))

    def summary(self) -> list[PositionSummary]:
        """One line per position."""
        wild_type_P = columns_of(self.residues)
        rows = np.arange(len(self.indices))
        others_PV = self.scores.copy()
        others_PV[rows, wild_type_P] = -np.inf
        best_P = others_PV.argmax(axis=1)
        means_P = self.scores.sum(axis=1) / (len(STANDARD) - 1)  # the 0 of the wild type adds nothing
        probability_P, entropy_P = self.probabilities[rows, wild_type_P], self.entropy_bits
        return [
            PositionSummary(
                int(position),
                residue,
                float(probability_P[row]),
                float(entropy_P[row]),
                float(means_P[row]),
                f"{residue}{position}{STANDARD[best_P[row]]}",
                float(others_PV[row, best_P[row]]),
            )
            for row, position, residue in zip(rows.tolist(), self.positions.tolist(), self.residues, strict=True)
        ]


def scan(
    models: Models,
    sequence: str,
    *,
    method: MethodName = "masked_marginal",
    positions: Sequence[int] | None = None,
    offset: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Scan:
    """Scores every single substitution of a protein.

    Args:
        models: one, or several whose scores are averaged.
        sequence: of the 20 amino acids.
        method: see `methods`. The marginals of the wild type cost one pass, or one per position; `mutant_marginal` and
            `one_pass_pll` cost 19 passes per position, `pseudo_log_likelihood` 19 x L.
        positions: 1-based, plus the offset; all by default.
        offset: what the numbering adds to the place in the sequence: 23 if its first residue is 24.
        on_progress: called with the number of variants scored so far.

    Raises:
        InvalidConfigError: a position does not exist, or another argument is wrong.
        UserError: the sequence holds other residues, or is too long for the model's length policy.

    Example:
        >>> import esmkit
        >>> found = scan(esmkit.load(), "MKTAYIAKQR", method="wt_marginal", positions=[2, 5])
        >>> found.scores.shape, found.residues
        ((2, 20), 'KY')
    """
    indices = scan_indices(sequence, positions, offset=offset)
    results = stream(models, singles(sequence, indices=indices, offset=offset), method)
    scores = []
    for number, result in enumerate(results, start=1):
        assert isinstance(result, Result)
        scores.append(result.arrays[method])
        if on_progress is not None:
            on_progress(number)
    return assembled(sequence, indices, scores, method=method, models=names_of(listed(models)), offset=offset)


def assembled(
    sequence: str,
    indices: Sequence[int],
    scores: Iterable[float],
    *,
    method: MethodName,
    models: tuple[str, ...],
    offset: int = 0,
) -> Scan:
    """A scan from the scores of `variants.singles`, in that order."""
    at = np.asarray(indices, dtype=np.int64)
    wild_type_P = columns_of("".join(sequence[index] for index in indices))
    by_letter = np.argsort(np.frombuffer(STANDARD.encode(), dtype=np.uint8))
    others = by_letter[None, :] != wild_type_P[:, None]
    rows, order = np.nonzero(others)
    scores_PV = np.zeros((len(at), len(STANDARD)))
    scores_PV[rows, by_letter[order]] = np.fromiter(scores, dtype=np.float64)
    return Scan(sequence, at, scores_PV, method, models, offset)


def scan_indices(sequence: str, positions: Sequence[int] | None, *, offset: int = 0) -> list[int]:
    """0-based places of the positions to scan, ascending; all when None.

    Raises:
        InvalidConfigError: a position does not exist.
        InvalidSequenceError: the sequence does not consist of the 20 amino acids.
    """
    length = len(check_wild_type(sequence, offset=offset))
    if positions is None:
        return list(range(length))
    for position in positions:
        if not 1 <= position - offset <= length:
            raise InvalidConfigError(
                f"position {position} does not exist: they run from {1 + offset} to {length + offset}",
                setting="positions",
            )
    if not positions:
        raise InvalidConfigError("name at least one position to scan", setting="positions")
    return sorted({position - 1 - offset for position in positions})
