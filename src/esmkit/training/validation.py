"""How well a model guesses held-out residues: the same sequences, crops and masks every time, whatever the seed.

15 % of the residues are hidden, all behind <mask>: perplexity is then what it is called, and 18 for a model that knows
how frequent each residue is and nothing else. The loss of training is lower by its easy tenth, which stays visible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from esmkit.layers.attention import choose_backend
from esmkit.training.corpus import Corpus
from esmkit.training.masking import MaskedBatch
from esmkit.training.objective import guesses
from esmkit.training.stream import Stream

SEED = 20221122
BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Score:
    """Of the hidden residues of a validation set.

    Attributes:
        loss: mean cross-entropy in nats.
        accuracy: share whose first guess is right.
        residues: how many were hidden.
    """

    loss: float
    accuracy: float
    residues: int

    @property
    def perplexity(self) -> float:
        """exp(loss): between how many residues, on average, the model is in doubt."""
        return math.exp(self.loss)


@dataclass(frozen=True, slots=True)
class Validation:
    """A held-out set with fixed masks.

    Attributes:
        corpus: the sequences.
        crop: residues of a row at most, as in training.
    """

    corpus: Corpus
    crop: int

    def batches(self) -> Iterator[MaskedBatch]:
        """Every sequence once."""
        stream = Stream(self.corpus, self.crop, BATCH_TOKENS, SEED, only_masks=True)
        return (batch for batch, _ in islice(stream.batches(), len(stream.plan(0).ends)))

    @torch.inference_mode()
    def score(self, module: nn.Module, head_dim: int) -> Score:
        """Scores a model the way it is used: in fp32, with the back end of inference."""
        device = next(module.parameters()).device
        backend = choose_backend("auto", device, torch.float32, head_dim)
        sums = torch.zeros(2, dtype=torch.float64)
        residues = 0
        for batch in self.batches():
            logits_MV, targets_M = guesses(module, batch, device, backend)
            right = (logits_MV.argmax(-1) == targets_M).sum()
            sums += torch.stack([F.cross_entropy(logits_MV, targets_M, reduction="sum"), right]).double().cpu()
            residues += len(targets_M)
        loss, right_share = (sums / residues).tolist()
        return Score(loss, right_share, residues)
