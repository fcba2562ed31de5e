"""The sizing table on the page about scaling is what the formula gives, and the formula is the one of the benches."""

from __future__ import annotations

from pathlib import Path

import pytest
from benches import sizing
from benches.markdown import table

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"


def test_the_page_has_the_table_of_the_script() -> None:
    assert table(sizing.HEAD, sizing.rows()) in PAGE.read_text()


def test_650m_on_an_l4_by_hand() -> None:
    flop = 33 * (24 * 1280**2 + 4 * 317 * 1280)
    rate = 0.35 * 121e12 / flop * 315 / 317
    assert sizing.gpu_residues_per_s(33, 1280, sizing.GPUS[0]) == pytest.approx(rate)
    assert sizing.usd_per_million(rate, 0.80) == pytest.approx(2.25, abs=0.005)


def test_small_models_are_bound_by_memory_and_then_by_reading() -> None:
    l4, h100 = sizing.GPUS[0], sizing.GPUS[-1]
    assert sizing.gpu_residues_per_s(6, 320, l4) == pytest.approx(0.35 * 0.3e12 / (44 * 6 * 320) * 315 / 317)
    assert sizing.gpu_residues_per_s(6, 320, h100) == sizing.INPUT_RESIDUES_PER_S
