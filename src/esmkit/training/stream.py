"""The order of a training set: which crops form which batch, a function of seed, epoch and number alone.

So a run is resumed from two numbers, and the batch it goes on with is the one it would have had.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

import numpy as np

from esmkit.batching import collate, window_rows
from esmkit.training.budget import Place
from esmkit.training.corpus import Corpus
from esmkit.training.masking import MaskedBatch, mask
from esmkit.types import IntArray


@dataclass(frozen=True, slots=True)
class Order:
    """One pass over the data in one order.

    Attributes:
        order: int64 [n] sequence numbers, shuffled.
        ends: where in that order each batch ends.
    """

    order: IntArray
    ends: IntArray

    def places(self, number: int) -> IntArray:
        """Places in the order that make up a batch."""
        return np.arange(self.ends[number - 1] if number else 0, self.ends[number])


@dataclass(frozen=True, slots=True)
class Crops(Order):
    """The same with a stretch of every sequence.

    Attributes:
        first: int64 [n] 0-based residue at which the crop of each starts, in that order.
        length: int64 [n] residues of each crop, in that order.
    """

    first: IntArray
    length: IntArray


P = TypeVar("P", bound=Order)
B = TypeVar("B")


class Epochs(ABC, Generic[P, B]):
    """Endless batches, epoch after epoch."""

    def batches(self, epoch: int = 0, batch: int = 0) -> Iterator[tuple[B, Place]]:
        """Batches from a place on, each with the place after it."""
        for number in count(epoch):
            plan = self.plan(number)
            for each in range(batch if number == epoch else 0, len(plan.ends)):
                is_last = each + 1 == len(plan.ends)
                epochs = number + (each + 1) / len(plan.ends)
                after = Place(number + 1, 0, epochs) if is_last else Place(number, each + 1, epochs)
                yield self.batch(plan, number, each), after

    @abstractmethod
    def plan(self, epoch: int) -> P:
        """The order of an epoch."""

    @abstractmethod
    def batch(self, plan: P, epoch: int, number: int) -> B:
        """One batch of it."""


def batch_ends(tokens: Iterable[int], token_budget: int) -> IntArray:
    """Where batches end that take rows of so many tokens as they come: each is full to within one row.

    Example:
        >>> batch_ends([4, 4, 4, 20, 4], 10).tolist()
        [2, 3, 4, 5]
    """
    ends: list[int] = []
    room, number = token_budget, -1
    for number, row_tokens in enumerate(tokens):
        if row_tokens > room and number:
            ends.append(number)
            room = token_budget
        room -= row_tokens
    return np.array([*ends, number + 1])


@dataclass(frozen=True, slots=True)
class Stream(Epochs[Crops, MaskedBatch]):
    """Endless batches of crops with hidden residues.

    Attributes:
        corpus: the sequences.
        crop: residues of a row at most.
        token_budget: tokens of a batch at most; a row that is longer is a batch of its own.
        seed: of order, crops and masks.
        only_masks: see `mask`.
    """

    corpus: Corpus
    crop: int
    token_budget: int
    seed: int
    only_masks: bool = False

    def plan(self, epoch: int) -> Crops:
        """The order and the crops of an epoch, packed in that order."""
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(self.corpus))
        whole = self.corpus.lengths[order]
        length = np.minimum(whole, self.crop)
        first = (generator.random(len(order)) * (whole - length + 1)).astype(np.int64)
        return Crops(order, batch_ends((length + 2).tolist(), self.token_budget), first, length)

    def batch(self, plan: Crops, epoch: int, number: int) -> MaskedBatch:
        """One batch, longest rows first, so that rows of equal length are neighbours."""
        members = plan.places(number)
        members = members[np.argsort(-plan.length[members], kind="stable")]
        rows = []
        for member in members.tolist():
            start = int(plan.first[member])
            rows += window_rows(self.corpus.ids(plan.order[member]), [(start, start + int(plan.length[member]))])
        packed = collate(rows)
        return mask(packed, np.random.default_rng((self.seed, epoch, number)), only_masks=self.only_masks)
