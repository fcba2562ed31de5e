"""What an output is: its needs, its columns, what it takes from a batch, and how windows of one record are merged.

Shape suffixes: T packed tokens, R rows, L residues of a record, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from esmkit import alphabet
from esmkit.errors import InvalidConfigError
from esmkit.types import Column, Features, IntArray, ModelShape, Needs, Record, Row

if TYPE_CHECKING:
    import torch

Axis = Literal["rows", "residues", "each"]
Merge = Literal["sum", "max", "mean", "residues", "masked", "none"]
Vocabulary = Literal["standard", "full"]


@dataclass(frozen=True, slots=True)
class Part:
    """One array that an output takes from every row, before rows of one record are put together.

    Attributes:
        axis: `rows` a tensor [R, ...]; `residues` a tensor [T, ...] of which a row takes its residues; `each` a list
            of one tensor per row.
        merge: how windows of a record combine: `sum`, `max`, `mean` over windows; `residues` weighted per residue;
            `masked` one value per masked row, put at the masked residue; `none` cannot be computed in windows.
    """

    axis: Axis
    merge: Merge


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What a caller may choose about outputs; each output takes the options it knows.

    Attributes:
        layers: layers of embeddings, 0..N or counted from the end.
        attention_layers: layers of full attention maps, 1..N or counted from the end; None means all.
        attention_heads: heads of full attention maps, 1..H; None means all.
        vocabulary: columns of logits and the softmax of probabilities: the 20 amino acids, or all 33 tokens.
        top_k: residues listed per masked position.
        positions: residues that masked_log_probs masks, 1-based, ascending; None means all.
    """

    layers: tuple[int, ...] = (-1,)
    attention_layers: tuple[int, ...] | None = None
    attention_heads: tuple[int, ...] | None = None
    vocabulary: Vocabulary = "standard"
    top_k: int = 5
    positions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise InvalidConfigError("name at least one layer, such as --layers -1", setting="layers")
        if self.vocabulary not in ("standard", "full"):
            raise InvalidConfigError(
                f"vocabulary {self.vocabulary!r}: choose standard (20 amino acids) or full (33 tokens)",
                setting="vocabulary",
            )
        if not 1 <= self.top_k <= len(alphabet.STANDARD):
            raise InvalidConfigError(f"top-k must be 1 to {len(alphabet.STANDARD)}, not {self.top_k}", setting="top_k")
        if self.positions is not None and (not self.positions or list(self.positions) != sorted(set(self.positions))):
            raise InvalidConfigError("name at least one position, each once and in rising order", setting="positions")

    def columns(self) -> slice:
        """Which of the 33 logits the vocabulary keeps."""
        return alphabet.STANDARD_IDS if self.vocabulary == "standard" else slice(0, len(alphabet.TOKENS))

    def tokens(self) -> tuple[str, ...]:
        """The tokens of these columns, in order."""
        return alphabet.TOKENS[self.columns()]


Parts = Mapping[str, Any]


@dataclass(frozen=True)
class Output(ABC):
    """One kind of answer. Subclasses are frozen dataclasses in a file of this folder.

    Attributes:
        name: how shells ask for it.
        requires: features of a family that it needs.
        masks: whether it needs one row per residue with that residue masked, instead of the plain row.
    """

    shape: ModelShape
    options: OutputOptions = field(default_factory=OutputOptions)

    name: ClassVar[str]
    requires: ClassVar[frozenset[str]]
    masks: ClassVar[bool] = False

    @classmethod
    def of(cls, shape: ModelShape, options: OutputOptions) -> Output:
        """The output for a model of this shape."""
        return cls(shape, options)

    @abstractmethod
    def needs(self) -> Needs:
        """What the model must compute."""

    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The arrays of a result."""

    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """The arrays taken from each row."""

    @abstractmethod
    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, torch.Tensor | list[torch.Tensor]]:
        """The parts of a batch, on the model's device."""

    def check(self, record: Record) -> None:
        """Refuses a clean record that has no answer, by raising a UserError; most outputs answer every record."""
        return

    def positions(self, ids: IntArray) -> Sequence[int]:
        """0-based residues to mask, one row each, for outputs with `masks`."""
        return range(len(ids) - 2)

    def finish(self, parts: Parts, ids: IntArray) -> Mapping[str, Any]:
        """The arrays of the result, from merged parts and the token ids of the record (cls and eos included)."""
        return parts

    def resolved_layers(self) -> tuple[int, ...]:
        """The layers asked for as numbers 0..N, each once, in the order given."""
        return tuple(dict.fromkeys(self.shape.layer(number) for number in self.options.layers))
