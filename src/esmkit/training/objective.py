"""From a masked batch to what is minimised: the cross-entropy of the hidden residues.

Shape suffixes: T packed tokens, M chosen residues, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from esmkit.layers.layout import Layout, upload
from esmkit.training.masking import MaskedBatch
from esmkit.types import IntArray, Needs


def guesses(
    module: nn.Module, batch: MaskedBatch, device: torch.device, backend: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the chosen residues, fp32 [M, V], and what these are, int64 [M]; the LM head sees no other token."""
    features = module(
        _uploaded(batch.tokens, device),
        Layout.of(batch.bounds, device),
        Needs(logits=True),
        logits_at=_uploaded(batch.chosen, device),
        backend=backend,
    )
    return features.logits.float(), _uploaded(batch.targets, device)


def summed_loss(module: nn.Module, batch: MaskedBatch, device: torch.device, backend: str) -> torch.Tensor:
    """Cross-entropy in nats, summed over the chosen residues of a batch."""
    logits_MV, targets_M = guesses(module, batch, device, backend)
    return F.cross_entropy(logits_MV, targets_M, reduction="sum")


def _uploaded(values: IntArray, device: torch.device) -> torch.Tensor:
    return upload(torch.from_numpy(np.asarray(values, dtype=np.int64)), device)
