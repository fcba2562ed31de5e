"""The model in the box knows real proteins: claims about its answers for examples/proteins.fasta."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

import esmkit
from esmkit.alphabet import STANDARD
from esmkit.engine import Model
from tests.cli_calls import examples

SHORT = 160
"""Residues; masking every residue of all examples takes minutes."""


@pytest.fixture(scope="module")
def model() -> Model:
    return esmkit.load()


def shuffled(sequence: str, draw: random.Random) -> str:
    return "".join(draw.sample(sequence, len(sequence)))


@pytest.mark.parametrize("longest", [SHORT, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_shuffled_protein_scores_worse_than_the_real_one_for_nine_of_ten(model: Model, longest: int) -> None:
    draw = random.Random(0)
    pairs = [(sequence, shuffled(sequence, draw)) for sequence in examples().values()]
    real, mixed = zip(*(pair for pair in pairs if len(pair[0]) <= longest), strict=True)
    worse = model.pseudo_log_likelihood(mixed) < model.pseudo_log_likelihood(real)
    assert len(worse) == (16 if longest == SHORT else 48)
    assert worse.mean() >= 0.9


def test_masked_predictions_beat_the_best_unigram(model: Model) -> None:
    """Even the one that was counted on these very proteins."""
    proteins = [
        sequence for sequence in examples().values() if len(sequence) <= SHORT and set(sequence) <= set(STANDARD)
    ]
    counts = np.array(list(Counter("".join(proteins)).values()))
    unigram = float((counts * np.log(counts / counts.sum())).sum())
    assert len(proteins) >= 10
    assert model.pseudo_log_likelihood(proteins).sum() > unigram
