"""Alignment by dynamic programming on a matrix of scores: Needleman-Wunsch or Smith-Waterman, with affine gaps.

A library that aligns sequences takes a table of residue pairs; here every pair of positions has a score of its own. The
recursion is Gotoh's (1982, doi:10.1016/0022-2836(82)90398-9), a row at a time: gaps along the row are a running
maximum, since a gap that opens where another one ends is never better than a longer one.

Shape suffixes: A, B residues of the two proteins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from esmkit.errors import InvalidConfigError
from esmkit.types import FloatArray, IntArray

Mode = Literal["local", "global"]
_STOP, _PAIR, _GAP_IN_B, _GAP_IN_A = range(4)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which residues correspond.

    Attributes:
        score: sum of the scores of the pairs, minus the gaps.
        pairs: int64 [n, 2], 0-based indices in A and in B, both rising.
    """

    score: float
    pairs: IntArray


def align(scores_AB: FloatArray, *, mode: Mode = "local", gap_open: float = 2.0, gap_extend: float = 0.5) -> Alignment:
    """The alignment with the highest score.

    Args:
        scores_AB: of every pair of residues; for a local alignment most of them must be negative.
        mode: `global` aligns all of both proteins, `local` the stretches that score highest, which may be none.
        gap_open: cost of the first residue of a gap; gaps at the ends of a global alignment cost the same.
        gap_extend: cost of each further one, at most gap_open.

    Raises:
        InvalidConfigError: gap costs are negative or at odds, or there is no such mode.

    Example:
        >>> found = align(np.array([[2.0, -1, -1], [-1, -1, 3.0]]), gap_open=1)
        >>> found.score, found.pairs.tolist()
        (4.0, [[0, 0], [1, 2]])
    """
    if not 0 <= gap_extend <= gap_open:
        raise InvalidConfigError(
            f"gaps cost 0 or more, and a longer one not more per residue: open {gap_open}, extend {gap_extend}",
            setting="gap_extend",
        )
    if mode not in ("local", "global"):
        raise InvalidConfigError(f"mode {mode!r}: choose local or global", setting="mode")
    table = _Table.of(np.asarray(scores_AB, dtype=np.float64), mode == "local", gap_open, gap_extend)
    return Alignment(table.score, table.trace())


@dataclass(slots=True)
class _Table:
    """How each cell was reached; cell (i, j) is that of residue i of A and j of B.

    Attributes:
        moves: uint8 [A, B], what the best alignment that ends here ends with.
        rows: int32 [A, B], where the gap in B that ends here was opened: the last row before it, -1 the border.
        columns: int32 [A, B], the same for the gap in A.
        end: the cell where the best alignment ends.
    """

    moves: IntArray
    rows: IntArray
    columns: IntArray
    end: tuple[int, int]
    score: float

    @classmethod
    def of(cls, scores_AB: FloatArray, local: bool, gap_open: float, gap_extend: float) -> _Table:
        """Fills the table."""
        height, width = scores_AB.shape
        moves = np.zeros((height, width), dtype=np.uint8)
        rows, columns = np.empty((height, width), dtype=np.int32), np.empty((height, width), dtype=np.int32)
        steps = np.arange(width + 1)
        border = np.zeros if local else _border(gap_open, gap_extend)
        above, first = border(width + 1), border(height + 1)
        down, opened = np.full(width, -np.inf), np.full(width, -1, dtype=np.int32)
        end, best = (height - 1, width - 1), 0.0
        for row, scores in enumerate(scores_AB):
            opens = above[1:] - gap_open >= down - gap_extend
            opened = np.where(opens, row - 1, opened)
            down = np.where(opens, above[1:] - gap_open, down - gap_extend)
            pair = above[:-1] + scores
            ending = np.maximum(pair, down)
            moves[row] = np.where(pair >= down, _PAIR, _GAP_IN_B)
            if local:
                moves[row][ending <= 0] = _STOP
                ending = np.maximum(ending, 0.0)
            # A gap in A that starts after column k has paid for its opening there: compare them all at column 0.
            starts = np.concatenate([first[row + 1 : row + 2], ending]) + gap_extend * steps
            highest = np.maximum.accumulate(starts)
            columns[row] = np.maximum.accumulate(np.where(starts == highest, steps, 0))[:-1] - 1
            across = highest[:-1] - gap_open - gap_extend * steps[:-1]
            moves[row][across > ending] = _GAP_IN_A
            rows[row] = opened
            above = np.concatenate([first[row + 1 : row + 2], np.maximum(ending, across)])
            if local and above.max() > best:
                end, best = (row, int(above.argmax()) - 1), float(above.max())
        return cls(moves, rows, columns, end, best if local else float(above[-1]))

    def trace(self) -> IntArray:
        """The pairs of the alignment, from its end back to its start."""
        pairs: list[tuple[int, int]] = []
        row, column = self.end
        while row >= 0 and column >= 0 and self.moves[row, column] != _STOP:
            move = self.moves[row, column]
            if move == _PAIR:
                pairs.append((row, column))
                row, column = row - 1, column - 1
            elif move == _GAP_IN_B:
                row = int(self.rows[row, column])
            else:
                column = int(self.columns[row, column])
        return np.array(pairs[::-1], dtype=np.int64).reshape(-1, 2)


def _border(gap_open: float, gap_extend: float) -> Any:
    """Scores of gaps before the first residue, by their length."""

    def scores(count: int) -> FloatArray:
        lengths = np.arange(count)
        return np.where(lengths > 0, -gap_open - gap_extend * (lengths - 1), 0.0)

    return scores
