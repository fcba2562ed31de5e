"""The two heads of ESM-2: masked-language-model logits and contacts.

Shape suffixes: T packed tokens, D width, V vocabulary, N layers, H heads, S tokens of a row, L = S - 2 residues,
M = N H attention maps, h a chunk of heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from esmkit.layers.block import NORM_EPS
from esmkit.layers.linear import linear_gelu


class LMHead(nn.Module):
    """dense, GELU, norm, then the transposed token embedding plus a bias."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x_TD: torch.Tensor, embedding_VD: torch.Tensor) -> torch.Tensor:
        """Logits [T, V]; the decoder is tied to the token embedding."""
        return F.linear(self.norm(linear_gelu(x_TD, self.dense)), embedding_VD, self.bias)


class ContactHead(nn.Module):
    """Logistic regression over all attention maps (Rao et al. 2020, doi:10.1101/2020.12.15.422761)."""

    def __init__(self, num_maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, num_maps))
        self.bias = nn.Parameter(torch.zeros(1))


class ContactSum:
    """Adds up one row's contact logits map by map, in the memory of a few L x L arrays whatever the model.

    The features are symmetrised, APC-corrected maps: with B = A + A^T, r = row sums of B and s = sum of B, a map adds
    w (B - r r^T / s). So A is summed with its weight, symmetrised once at the end, and the corrections are one
    product of the [M, L] row sums.
    """

    def __init__(self, weights: list[float], bias: float, num_residues: int, device: torch.device) -> None:
        self.weights, self.bias = weights, bias
        self.sum_LL = torch.zeros(num_residues, num_residues, device=device)
        # One array from the start: small ones, kept one by one between large ones that go, would fragment the heap.
        self.marginals_ML = torch.empty(len(weights), num_residues, device=device)
        self.seen = 0

    def add(self, probs_hSS: torch.Tensor) -> None:
        """Takes the next maps in the order layer by layer, head by head; cls and eos are cut here."""
        a_hLL = probs_hSS[:, 1:-1, 1:-1]
        for number, a_LL in enumerate(a_hLL, start=self.seen):
            self.sum_LL.add_(a_LL, alpha=self.weights[number])
        stop = self.seen + len(a_hLL)
        self.marginals_ML[self.seen : stop] = a_hLL.sum(-1) + a_hLL.sum(-2)
        self.seen = stop

    def probabilities(self) -> torch.Tensor:
        """Contact probabilities [L, L], fp32, after every map was added."""
        weights_M = torch.tensor(self.weights, device=self.sum_LL.device)
        corrections_ML = self.marginals_ML * (weights_M / self.marginals_ML.sum(-1))[:, None]
        logits_LL = self.sum_LL.T.addmm(corrections_ML.T, self.marginals_ML, alpha=-1.0)
        return logits_LL.add_(self.sum_LL).add_(self.bias).sigmoid_()
