"""What a design may change: which residues may stand at which positions, and how many may differ from the parent.

Members of a space are as long as the parent: a design substitutes residues, and neither inserts nor deletes any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Self

import numpy as np

from esmkit.applications.mutations.scan import scan_indices
from esmkit.applications.mutations.variants import AMINO_ACIDS
from esmkit.errors import InvalidConfigError

_WHOLE_BELOW = 4
"""A space is enumerated where it has fewer members than so many times those that are wanted."""


@dataclass(frozen=True)
class Space:
    """All variants of a parent that keep the constraints; `Space.of` makes one from positions.

    Attributes:
        parent: the sequence that designs start from.
        choices: for each index that may change, ascending, the residues that may replace the parent's; never empty.
        fewest: mutations that a member has at least.
        most: mutations that it has at most.
    """

    parent: str
    choices: dict[int, str]
    fewest: int
    most: int

    @classmethod
    def of(
        cls,
        parent: str,
        *,
        positions: Sequence[int] | None = None,
        fixed: Sequence[int] = (),
        allowed: str = AMINO_ACIDS,
        allowed_at: Mapping[int, str] | None = None,
        mutations: tuple[int, int] = (1, 3),
        offset: int = 0,
    ) -> Self:
        """A space from positions, which are 1-based plus the offset.

        Args:
            parent: of the 20 amino acids.
            positions: those that may change; all by default.
            fixed: those that may not.
            allowed: residues that may be put in.
            allowed_at: the same for single positions, instead of `allowed`.
            mutations: how many a member has, at least and at most.
            offset: what the numbering adds to places in the parent: 23 if its first residue is 24.

        Raises:
            InvalidSequenceError: the parent holds other residues.
            InvalidConfigError: a position or residue does not exist, or nothing is left that may change.

        Example:
            >>> space = Space.of("MKTAY", positions=[2, 4], allowed="AKR", mutations=(1, 2))
            >>> space.choices, space.size
            ({1: 'AR', 3: 'KR'}, 8)
        """
        own = dict(allowed_at or {})
        designable = set(scan_indices(parent, positions, offset=offset) if positions is None or positions else ())
        designable -= set(scan_indices(parent, fixed, offset=offset) if fixed else ())
        for position in own:
            (index,) = scan_indices(parent, [position], offset=offset)
            if index not in designable:
                raise InvalidConfigError(
                    f"position {position} has residues of its own, but may not change; take it out of one of the two",
                    setting="allowed_at",
                )
        choices = {}
        for index in sorted(designable):
            residues = _checked(own.get(index + 1 + offset, allowed))
            if others := residues.replace(parent[index], ""):
                choices[index] = others
        return cls(parent, choices, *_range(mutations, len(choices)))

    @cached_property
    def indices(self) -> tuple[int, ...]:
        """0-based places that may change, ascending."""
        return tuple(self.choices)

    def mutated(self, sequence: str) -> list[int]:
        """The indices, of those that may change, at which a sequence differs from the parent."""
        return [index for index in self.indices if sequence[index] != self.parent[index]]

    def holds(self, sequence: str) -> bool:
        """Whether a sequence is a member."""
        if len(sequence) != len(self.parent):
            return False
        changed = [index for index, (old, new) in enumerate(zip(self.parent, sequence, strict=True)) if old != new]
        return self.fewest <= len(changed) <= self.most and all(
            sequence[index] in self.choices.get(index, "") for index in changed
        )

    def steps(self, sequence: str) -> Iterator[str]:
        """Every sequence with one mutation more, by position and residue."""
        for index, residues in self.choices.items():
            if sequence[index] == self.parent[index]:
                yield from (substituted(sequence, index, residue) for residue in residues)

    @cached_property
    def size(self) -> int:
        """How many members there are."""
        return sum(self._ways[0][self.fewest :])

    def members(self) -> Iterator[str]:
        """All of them: those with few mutations first."""
        for count in range(self.fewest, self.most + 1):
            for indices in combinations(self.indices, count):
                for residues in product(*(self.choices[index] for index in indices)):
                    yield _with(self.parent, indices, residues)

    def draw(self, random: np.random.Generator) -> str:
        """A member, all being equally likely."""
        ways = self._ways
        left = self._drawn_count(random)
        letters = list(self.parent)
        for place, (index, residues) in enumerate(self.choices.items()):
            if left and random.random() >= ways[place + 1][left] / ways[place][left]:
                letters[index] = residues[random.integers(len(residues))]
                left -= 1
        return "".join(letters)

    def sample(self, number: int, random: np.random.Generator) -> list[str]:
        """So many different members, all being equally likely; all of them if there are no more."""
        if self.size <= number:
            return list(self.members())
        if self.size <= _WHOLE_BELOW * number:
            members = list(self.members())
            return [members[at] for at in np.sort(random.permutation(len(members))[:number])]
        found: dict[str, None] = {}
        while len(found) < number:
            found[self.draw(random)] = None
        return list(found)

    @cached_property
    def _ways(self) -> list[list[int]]:
        """[place][k]: how many ways there are to make k mutations at the places from this one on."""
        ways = [[1] + [0] * self.most]
        for residues in reversed(self.choices.values()):
            after = ways[-1]
            ways.append([1, *(after[k] + len(residues) * after[k - 1] for k in range(1, self.most + 1))])
        return ways[::-1]

    def _drawn_count(self, random: np.random.Generator) -> int:
        """A number of mutations, as likely as it has members."""
        point, below = random.random(), 0
        for count in range(self.fewest, self.most):
            below += self._ways[0][count]
            if point < below / self.size:
                return count
        return self.most


def substituted(sequence: str, index: int, residue: str) -> str:
    """The sequence with another residue at an index."""
    return f"{sequence[:index]}{residue}{sequence[index + 1 :]}"


def _with(sequence: str, indices: Iterable[int], residues: Iterable[str]) -> str:
    letters = list(sequence)
    for index, residue in zip(indices, residues, strict=True):
        letters[index] = residue
    return "".join(letters)


def _checked(residues: str) -> str:
    """Residues in the order of the alphabet, each once."""
    if other := next((letter for letter in residues if letter not in AMINO_ACIDS), None):
        raise InvalidConfigError(
            f"{other!r} among the allowed residues {residues!r} is none of the 20 amino acids {AMINO_ACIDS}",
            setting="allowed",
        )
    return "".join(letter for letter in AMINO_ACIDS if letter in residues)


def _range(mutations: tuple[int, int], places: int) -> tuple[int, int]:
    """Fewest and most mutations, where so many places may change."""
    fewest, most = mutations
    if not places:
        raise InvalidConfigError(
            "no position is left that may change; allow more positions or residues", setting="positions"
        )
    if not 1 <= fewest <= most:
        raise InvalidConfigError(
            f"{fewest} to {most} mutations: give at least 1, and no more at least than at most", setting="mutations"
        )
    if fewest > places:
        raise InvalidConfigError(
            f"at least {fewest} mutations are asked for, and {places} positions may change; ask for fewer mutations "
            "or allow more positions",
            setting="mutations",
        )
    return fewest, min(most, places)
