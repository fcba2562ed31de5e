"""Rotary embedding as one Triton kernel, run by Triton's interpreter on the CPU; needs `pip install triton`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary

HEAD_DIMS = (8, 16, 24, 32, 64, 128)
ROUNDINGS = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""Largest error per number, for numbers up to 4: about one rounding of the result in that dtype."""


def exact(qkv: torch.Tensor, tables: Rotary) -> torch.Tensor:
    """Queries and keys rotated in fp64."""
    rotated = qkv.double()
    for x in rotated.unbind(1)[:2]:
        tables.rotate_(x)
    return rotated


def largest_errors(dtype: torch.dtype) -> dict[str, float]:
    """By head_dim: of the kernel, and of the plain torch code, against fp64."""
    from esmkit.layers.triton_rotary import rotate_

    layout = Layout.of((0, 3, 4, 50), "cpu")
    found: dict[str, Any] = {}
    for head_dim in HEAD_DIMS:
        generator = torch.Generator().manual_seed(head_dim)
        qkv = torch.randn(50, 3, 5, head_dim, generator=generator).clamp_(-4, 4).to(dtype)
        tables = Rotary.of(layout.positions(), head_dim)
        expected, fused, plain = exact(qkv, tables), qkv.clone(), qkv.clone()
        rotate_(fused, tables.cos_T1J, tables.sin_T1J)
        with torch.inference_mode():
            tables.rotated_(plain)
        assert torch.equal(fused[:, 2], qkv[:, 2]), "values are left alone"
        assert not torch.equal(fused[:, :2], qkv[:, :2])
        scale = expected.abs().clamp_min(1.0)
        found[f"{head_dim}"] = [float(((x.double() - expected).abs() / scale).max()) for x in (fused, plain)]
    return found


@pytest.mark.skipif(find_spec("triton") is None, reason="no triton; it comes with CUDA builds of torch only")
def test_fused_rotation_equals_fp64_to_the_rounding_of_the_dtype() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_rotary"],
        env={**os.environ, "TRITON_INTERPRET": "1"},  # read when triton is imported, so in a process of its own
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == len(ROUNDINGS) * len(HEAD_DIMS)


def test_plain_rotation_keeps_lengths_and_leaves_the_first_token_alone() -> None:
    qkv = torch.randn(7, 3, 2, 16, generator=torch.Generator().manual_seed(1))
    before = qkv.clone()
    with torch.inference_mode():
        q, k, v = Rotary.of(torch.arange(7), 16).rotated_(qkv)
    torch.testing.assert_close(qkv[0], before[0])
    torch.testing.assert_close(v, before[:, 2])
    for rotated, original in ((q, before[:, 0]), (k, before[:, 1])):
        assert not torch.allclose(rotated[1:], original[1:])
        torch.testing.assert_close(rotated.norm(dim=-1), original.norm(dim=-1))


if __name__ == "__main__":
    for dtype, bound in ROUNDINGS.items():
        for head_dim, (fused, plain) in largest_errors(dtype).items():
            sys.stdout.write(f"{dtype} head_dim {head_dim}: fused {fused:.1e}, plain {plain:.1e}, bound {bound:.0e}\n")
            assert fused <= bound, (dtype, head_dim, fused)
