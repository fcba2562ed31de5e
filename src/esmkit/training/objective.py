"""From a masked batch to what is minimised: the cross-entropy of the hidden residues.

Shape suffixes: T packed tokens, M chosen residues, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from esmkit.training.masking import MaskedBatch
from esmkit.types import IntArray, Needs


def guesses(
    module: nn.Module, batch: MaskedBatch, device: torch.device, backend: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the chosen residues, fp32 [M, V], and what these are, int64 [M]; the LM head sees no other token."""
    features = module(
        _to_device(batch.tokens, device),
        batch.bounds,
        Needs(logits=True),
        logits_at=_to_device(batch.chosen, device),
        backend=backend,
    )
    return features.logits.float(), _to_device(batch.targets, device)


def summed_loss(module: nn.Module, batch: MaskedBatch, device: torch.device, backend: str) -> torch.Tensor:
    """Cross-entropy in nats, summed over the chosen residues of a batch."""
    logits_MV, targets_M = guesses(module, batch, device, backend)
    return F.cross_entropy(logits_MV, targets_M, reduction="sum")


def _to_device(values: IntArray, device: torch.device) -> torch.Tensor:
    """To the device without waiting: a copy to CUDA is asynchronous only from pinned memory."""
    tensor = torch.from_numpy(np.asarray(values, dtype=np.int64))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
