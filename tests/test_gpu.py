"""What only a CUDA device can show (`-m gpu`): its back ends against the CPU's reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import esmkit
from esmkit.layers import attention
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary
from tests.test_numerics import SEQUENCES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("bfloat16", 4e-2)])
def test_varlen_attention_equals_eager_in_fp32(dtype: str, tolerance: float) -> None:
    layout = Layout.of((0, 3, 4, 130, 900), "cuda")
    generator = torch.Generator("cuda").manual_seed(1)
    for head_dim in (16, 24, 32, 64, 128):
        qkv = torch.randn(900, 3, 4, head_dim, device="cuda", generator=generator)
        exact = attention.eager(qkv.clone(), Rotary.of(layout.positions(), head_dim, torch.float32), layout)
        half = qkv.to(getattr(torch, dtype))
        found = attention.varlen(half, Rotary.of(layout.positions(), head_dim, half.dtype), layout)
        assert (found.float() - exact).abs().max() < tolerance


@pytest.mark.parametrize(
    ("dtype", "backend", "tolerance"),
    [
        ("float32", "sdpa", 1e-4),
        ("float32", "eager", 1e-4),
        ("float16", "varlen", 2e-2),
        ("float16", "sdpa", 2e-2),
        ("bfloat16", "varlen", 1e-1),
    ],
)
def test_embeddings_logits_and_contacts_equal_the_cpu(
    tiny_path: Any, dtype: str, backend: str, tolerance: float
) -> None:
    cpu = esmkit.load(tiny_path, device="cpu", attention="eager")
    gpu = esmkit.load(tiny_path, device="cuda", dtype=dtype, attention=backend)
    np.testing.assert_allclose(gpu.embed(SEQUENCES), cpu.embed(SEQUENCES), atol=tolerance, rtol=tolerance)
    for method in ("logits", "contacts"):
        for found, expected in zip(getattr(gpu, method)(SEQUENCES), getattr(cpu, method)(SEQUENCES), strict=True):
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(found / scale, expected / scale, atol=tolerance)


def test_a_row_on_the_gpu_does_not_depend_on_its_batch_mates(tiny_path: Any) -> None:
    together = esmkit.load(tiny_path, device="cuda", dtype="float16")
    alone = esmkit.load(tiny_path, device="cuda", dtype="float16", batch_tokens=1)
    np.testing.assert_allclose(together.embed(SEQUENCES), alone.embed(SEQUENCES), atol=1e-3, rtol=1e-3)
