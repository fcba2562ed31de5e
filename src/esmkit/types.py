"""The values that flow between stages. No torch is imported here: tensors are named only for type checkers.

Shape suffixes: L residues of one record, R rows of a batch, T packed tokens of a batch (cls and eos included),
D width, N layers, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from esmkit.errors import EsmkitError, InvalidConfigError

if TYPE_CHECKING:
    import torch

    from esmkit.layers.layout import Layout

Dimension = int | str
IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]
FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was read: enough to name the line of a residue.

    Attributes:
        source: path as the user gave it, `-` for standard input.
        line: 1-based line (or table row, header counted) where the record starts.
        line_lengths: characters on each of the lines that hold the sequence; empty when it stands on `line` itself.
    """

    source: str
    line: int
    line_lengths: tuple[int, ...] = ()

    def line_of(self, offset: int) -> int:
        """1-based line that holds the character at 0-based `offset` of the sequence text."""
        for number, end in enumerate(accumulate(self.line_lengths), start=1):
            if offset < end:
                return self.line + number
        return self.line + len(self.line_lengths)


@dataclass(frozen=True, slots=True)
class Record:
    """One protein as it came in. `index` is 0-based and counts records of the input.

    `cells` is the text of further columns of a table, those that its reader was asked for, in that order.
    """

    index: int
    id: str
    sequence: str
    description: str = ""
    origin: Origin | None = None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A record without an answer; it takes the place of its Record, then of its Result, in the stream."""

    index: int
    id: str
    error: EsmkitError


@dataclass(frozen=True, slots=True)
class Column:
    """One named array of a Result, known before the run.

    Attributes:
        name: unique within a run, e.g. `mean_33`.
        dtype: `float` (stored as fp32 or fp16, as the sink is told), `int` (int32) or `str`.
        shape: a number for a fixed dimension, `"L"` for residues of the record, `"M"` for its masks; () is a scalar.
    """

    name: str
    dtype: Literal["float", "int", "str"]
    shape: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one record: named arrays (numpy, or a Python scalar for shape ()) and how it was made.

    `meta` holds at least `length` (residues of the record); `long` appears when a length policy touched it.
    """

    index: int
    id: str
    arrays: Mapping[str, Any]
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One row for the model: a record, a window of it, or either with one residue masked.

    Attributes:
        tokens: uint8 [S] ids with cls and eos.
        start: 0-based index in the record of its first residue.
        weights: float32 [S - 2] per residue, 1 / (number of windows that cover it); None means 1.
        masked: 0-based index in the row of the residue that was masked for this row, or None.
    """

    tokens: IntArray
    start: int = 0
    weights: FloatArray | None = None
    masked: int | None = None

    @property
    def num_residues(self) -> int:
        """Residues of the row, cls and eos not counted."""
        return len(self.tokens) - 2


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Rows packed end to end.

    Attributes:
        tokens: int64 [T] token ids, each row with its cls and eos.
        lengths: int32 [R] tokens per row.
        cu_seqlens: int32 [R + 1] where each row starts, then T.
    """

    tokens: IntArray
    lengths: IntArray
    cu_seqlens: IntArray

    @property
    def num_tokens(self) -> int:
        """T, all tokens of the batch."""
        return int(self.cu_seqlens[-1])


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes that define a model of a family; `config.json` of a checkpoint holds them."""

    num_layers: int
    width: int
    num_heads: int

    @property
    def head_dim(self) -> int:
        """K, the width of one head."""
        return self.width // self.num_heads

    def layer(self, number: int) -> int:
        """A layer number 0..N from one that may count from the end (-1 is N).

        Raises:
            InvalidConfigError: there is no such layer.

        Example:
            >>> ModelShape(num_layers=6, width=320, num_heads=20).layer(-1)
            6
        """
        if not -self.num_layers - 1 <= number <= self.num_layers:
            raise InvalidConfigError(
                f"layer {number} does not exist: this model has layers 0 (input embedding) to {self.num_layers}, "
                f"or -{self.num_layers + 1} to -1 counted from the end",
                setting="layers",
            )
        return number % (self.num_layers + 1)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of the model; the model computes nothing else.

    Attributes:
        layers: layers whose representation is wanted, 0 (input embedding) to N (after the final norm).
        logits: the LM head.
        contacts: the contact head.
        attention_maps: (layer, head) pairs, 0-based, whose full map is wanted.
        attention_means: per layer, attention received by each residue, averaged over heads and queries.
    """

    layers: frozenset[int] = frozenset()
    logits: bool = False
    contacts: bool = False
    attention_maps: frozenset[tuple[int, int]] = frozenset()
    attention_means: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            self.layers | other.layers,
            self.logits or other.logits,
            self.contacts or other.contacts,
            self.attention_maps | other.attention_maps,
            self.attention_means or other.attention_means,
        )

    @property
    def maps(self) -> bool:
        """Whether attention maps must be materialised."""
        return self.contacts or self.attention_means or bool(self.attention_maps)


@dataclass(frozen=True, slots=True)
class Features:
    """What the model gave for one batch, on the model's device.

    Attributes:
        layout: where the rows lie within T.
        tokens_T: int64 [T].
        representations: layer -> [T, D].
        logits: [T, 33], or one line per asked position, or None.
        contacts: per row [L, L] probabilities, or None.
        attention_maps: per row {(layer, head): [L + 2, L + 2]}, or None.
        attention_means: per row [N, L + 2], or None.
    """

    layout: Layout
    tokens_T: torch.Tensor
    representations: Mapping[int, torch.Tensor] = field(default_factory=dict)
    logits: torch.Tensor | None = None
    contacts: list[torch.Tensor] | None = None
    attention_maps: list[dict[tuple[int, int], torch.Tensor]] | None = None
    attention_means: list[torch.Tensor] | None = None
