"""Contacts between two proteins: both in one sequence, joined with a glycine linker that is cut out of the map.

The model was trained on single chains, so this asks it to take two for one. Shape suffixes: A, B residues of the two
proteins, P = A + B.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from esmkit.alphabet import residues
from esmkit.applications import chains
from esmkit.applications.chains import LINKER_LENGTH
from esmkit.applications.pairs import Pair, linked, pair_of
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError
from esmkit.outputs import build
from esmkit.types import Failure, FloatArray, Record, Result


@dataclass(frozen=True, slots=True)
class InterfaceResidue:
    """A residue that touches the other protein, and the residue there that it touches most probably.

    Attributes:
        chain: A or B.
        position: 1-based, in its own protein.
        residue: what stands there.
        probability: of the contact with the partner, the highest of all contacts with the other protein.
        partner_position: 1-based, in the other protein.
        partner_residue: what stands there.
    """

    chain: Literal["A", "B"]
    position: int
    residue: str
    probability: float
    partner_position: int
    partner_residue: str


@dataclass(frozen=True, slots=True)
class PairContacts:
    """The contact map of two proteins.

    Attributes:
        pair: the proteins.
        contacts: float32 [P, P], symmetric, the linker cut out: A first, then B.
        meta: of the result: provenance and lengths.
    """

    pair: Pair
    contacts: FloatArray
    meta: dict[str, Any]

    @property
    def border(self) -> int:
        """Residues of A."""
        return int(self.meta["chains"][0][1])

    @property
    def aa(self) -> FloatArray:
        """Within A, [A, A]."""
        return self.contacts[: self.border, : self.border]

    @property
    def bb(self) -> FloatArray:
        """Within B, [B, B]."""
        return self.contacts[self.border :, self.border :]

    @property
    def ab(self) -> FloatArray:
        """Between the two, [A, B]."""
        return self.contacts[: self.border, self.border :]

    @property
    def best(self) -> InterfaceResidue:
        """The most probable contact between the two, as its residue of A."""
        return self._residue("A", self.ab, int(self.ab.max(axis=1).argmax()))

    def interface(self, threshold: float = 0.5) -> list[InterfaceResidue]:
        """The residues of A, then those of B, that touch the other protein with at least this probability.

        Raises:
            InvalidConfigError: the threshold is no probability.
        """
        check_threshold(threshold)
        blocks: tuple[tuple[Literal["A", "B"], FloatArray], ...] = (("A", self.ab), ("B", self.ab.T))
        return [
            self._residue(chain, block, index)
            for chain, block in blocks
            for index in np.flatnonzero(block.max(axis=1) >= threshold).tolist()
        ]

    def _residue(self, chain: Literal["A", "B"], block: FloatArray, index: int) -> InterfaceResidue:
        """The residue at a 0-based line of its block."""
        own, other = (self.pair.a, self.pair.b) if chain == "A" else (self.pair.b, self.pair.a)
        partner = int(block[index].argmax())
        return InterfaceResidue(
            chain,
            index + 1,
            residues(own.sequence)[index],
            float(block[index, partner]),
            partner + 1,
            residues(other.sequence)[partner],
        )


def check_threshold(threshold: float) -> None:
    """Refuses what is no probability.

    Raises:
        InvalidConfigError: it is outside 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise InvalidConfigError(f"the threshold is a probability, 0 to 1, not {threshold}", setting="threshold")


def contacts(model: Model, a: str | Record, b: str | Record, *, linker: int = LINKER_LENGTH) -> PairContacts:
    """The contact map of two proteins.

    Args:
        model: what computes.
        a: the first protein.
        b: the second, which may be the same.
        linker: glycines between them.

    Raises:
        UserError: a sequence is not acceptable, or both together are too long.

    Example:
        >>> import esmkit
        >>> found = contacts(esmkit.load(), "MKTAYIAKQR", "GSHMLEDP")
        >>> found.contacts.shape, found.ab.shape
        ((18, 18), (10, 8))
    """
    first, second = (Record(0, name, each) if isinstance(each, str) else each for name, each in (("A", a), ("B", b)))
    (found,) = stream(model, [pair_of(first, second)], linker=linker)
    assert isinstance(found, PairContacts)
    return found


def stream(
    model: Model,
    pairs: Iterable[Pair],
    *,
    linker: int = LINKER_LENGTH,
    on_error: Literal["stop", "skip"] = "stop",
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[PairContacts | Failure]:
    """Contact maps of any number of pairs, in order, in bounded memory.

    Args:
        model: what computes.
        pairs: numbered 0, 1, 2 ...
        linker: glycines between the two proteins.
        on_error: `stop` raises at the first pair without an answer; `skip` puts a Failure in its place.
        on_progress: called with the tokens computed since the last call.
    """
    records = (linked(pair, model.residues, linker=linker, on_error=on_error) for pair in pairs)
    results = chains.stream(
        model, records, build(["contacts"], model.shape), on_error=on_error, on_progress=on_progress
    )
    for result in results:
        yield result if isinstance(result, Failure) else of_result(result)


def of_result(result: Result) -> PairContacts:
    """The map of a pair that was joined by `linked`."""
    return PairContacts(result.arrays["pair"], result.arrays["contacts"], dict(result.meta))
