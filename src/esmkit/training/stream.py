"""The order of a training set: which crops form which batch, a function of seed, epoch and number alone.

So a run is resumed from two numbers, and the batch it goes on with is the one it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from esmkit.batching import collate, window_rows
from esmkit.training.budget import Place
from esmkit.training.corpus import Corpus
from esmkit.training.masking import MaskedBatch, mask
from esmkit.types import IntArray


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the data in one order.

    Attributes:
        order: int64 [n] sequence numbers, shuffled.
        first: int64 [n] 0-based residue at which the crop of each starts, in that order.
        length: int64 [n] residues of each crop, in that order.
        ends: where in that order each batch ends.
    """

    order: IntArray
    first: IntArray
    length: IntArray
    ends: IntArray


@dataclass(frozen=True, slots=True)
class Stream:
    """Endless batches of crops.

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

    def batches(self, epoch: int = 0, batch: int = 0) -> Iterator[tuple[MaskedBatch, Place]]:
        """Batches from a place on, epoch after epoch, each with the place after it."""
        for number in count(epoch):
            plan = self.plan(number)
            for each in range(batch if number == epoch else 0, len(plan.ends)):
                is_last = each + 1 == len(plan.ends)
                epochs = number + (each + 1) / len(plan.ends)
                after = Place(number + 1, 0, epochs) if is_last else Place(number, each + 1, epochs)
                yield self.batch(plan, number, each), after

    def plan(self, epoch: int) -> Epoch:
        """The order and the crops of an epoch, packed in that order: a batch is full to within one row."""
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(self.corpus))
        whole = self.corpus.lengths[order]
        length = np.minimum(whole, self.crop)
        first = (generator.random(len(order)) * (whole - length + 1)).astype(np.int64)
        ends: list[int] = []
        room = self.token_budget
        for number, tokens in enumerate((length + 2).tolist()):
            if tokens > room and number:
                ends.append(number)
                room = self.token_budget
            room -= tokens
        return Epoch(order, first, length, np.array([*ends, len(order)]))

    def batch(self, plan: Epoch, epoch: int, number: int) -> MaskedBatch:
        """One batch, longest rows first, so that rows of equal length are neighbours."""
        members = np.arange(plan.ends[number - 1] if number else 0, plan.ends[number])
        members = members[np.argsort(-plan.length[members], kind="stable")]
        rows = []
        for member in members.tolist():
            start = int(plan.first[member])
            rows += window_rows(self.corpus.ids(plan.order[member]), [(start, start + int(plan.length[member]))])
        packed = collate(rows)
        return mask(packed, np.random.default_rng((self.seed, epoch, number)), only_masks=self.only_masks)
