"""Public weights against the numbers of transformers' own integration tests; needs the hub (`-m network`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from esmkit.config import Settings
from esmkit.layers.layout import Layout
from esmkit.models import hub
from esmkit.models.weights import load
from esmkit.types import Features, Needs

pytestmark = pytest.mark.network

LOGITS = [[8.9215, -10.5898, -6.4671], [-6.3967, -13.9114, -1.1212], [-7.7812, -13.9516, -3.7406]]
LAST_LAYER = [[0.1444, 0.5413, 0.3248], [0.3034, 0.0053, 0.3108], [0.3228, -0.2499, 0.3415]]


def run(tokens: list[int], needs: Needs, home: Path) -> Features:
    settings = Settings(home=home, offline=False)
    hub.pull("esm2-8m", settings)
    loaded = load("esm2-8m", settings=settings, device=torch.device("cpu"), dtype=torch.float32)
    with torch.inference_mode():
        features: Features = loaded.module(torch.tensor(tokens), Layout.of((0, len(tokens)), "cpu"), needs)
    return features


def test_logits_of_esm2_8m(tmp_path: Path) -> None:
    features = run([0, 1, 2, 3, 4, 5], Needs(logits=True), tmp_path)
    assert features.logits is not None
    torch.testing.assert_close(features.logits[:3, :3], torch.tensor(LOGITS), atol=1e-4, rtol=1e-4)


def test_last_layer_of_esm2_8m(tmp_path: Path) -> None:
    features = run([0, 6, 4, 13, 5, 4, 16, 12, 11, 7, 2], Needs(layers=frozenset({6})), tmp_path)
    torch.testing.assert_close(features.representations[6][:3, :3], torch.tensor(LAST_LAYER), atol=1e-4, rtol=1e-4)
