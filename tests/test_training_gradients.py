"""The model that answers is the model that is trained: its gradients are those of transformers' EsmForMaskedLM."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from esmkit import alphabet
from esmkit.layers import attention
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary
from esmkit.models.base import TRANSFORMERS
from esmkit.models.esm2 import FAMILY, Esm2
from esmkit.types import ModelShape, Needs
from tests.checkpoint_files import SHAPE, transformers_model
from tests.conftest import randomize

ROWS = ["MK<mask>AYIAKQRQISF", "<mask>SHFSRQLEERLG<mask>V", "MKTAYIAKQRQISF", "MKT"]
KEYS = FAMILY.formats[TRANSFORMERS].keys


def packed() -> tuple[torch.Tensor, tuple[int, ...]]:
    """Rows of unequal length, two neighbours of equal length among them."""
    rows = [alphabet.tokenize(row).astype(np.int64) for row in ROWS]
    return torch.from_numpy(np.concatenate(rows)), (0, *np.cumsum([len(row) for row in rows]).tolist())


def same_weights() -> tuple[Esm2, Any]:
    ours, theirs = Esm2(SHAPE), transformers_model()
    state = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(torch.cat([state[part] for part in KEYS.names(name)]))
    return ours, theirs


def test_gradients_of_every_parameter_equal_those_of_transformers() -> None:
    ours, theirs = same_weights()
    tokens, bounds = packed()
    weights = torch.randn(len(tokens), 33, generator=torch.Generator().manual_seed(5))
    logits = ours(tokens, Layout.of(bounds, "cpu"), Needs(logits=True)).logits
    (logits * weights).sum().backward()
    for start, stop in pairwise(bounds):
        row = theirs(tokens[None, start:stop], attention_mask=torch.ones(1, stop - start, dtype=torch.long)).logits[0]
        torch.testing.assert_close(logits[start:stop], row, atol=1e-5, rtol=1e-5)
        (row * weights[start:stop]).sum().backward()
    state = dict(theirs.named_parameters())
    compared = 0
    for name, parameter in ours.named_parameters():
        if name.startswith("contact_head"):
            assert parameter.grad is None
            continue
        expected = torch.cat([state[part].grad for part in KEYS.names(name)])
        assert parameter.grad is not None
        scale = expected.abs().max()
        torch.testing.assert_close(parameter.grad / scale, expected / scale, atol=1e-5, rtol=1e-4)
        compared += parameter.numel()
    assert compared == sum(p.numel() for n, p in ours.named_parameters() if not n.startswith("contact_head"))


@pytest.mark.parametrize("differentiable", [attention._sdpa_by_length, attention._sdpa_padded])
def test_gradients_of_sdpa_equal_those_of_attention_written_out(differentiable: Any) -> None:
    layout = Layout.of((0, 3, 6, 17, 40), "cpu")
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(40, 5, 8, generator=generator, requires_grad=True) for _ in range(3)]
    weights = torch.randn(40, 5, 8, generator=generator)
    found = torch.autograd.grad((differentiable(*inputs, layout) * weights).sum(), inputs)
    out = [
        (q.transpose(0, 1) @ k.permute(1, 2, 0) / 8**0.5).softmax(-1) @ v.transpose(0, 1)
        for q, k, v in (tuple(x[start:stop] for x in inputs) for start, stop in layout.spans)
    ]
    written_out = torch.cat(out, dim=1).transpose(0, 1)
    expected = torch.autograd.grad((written_out * weights).sum(), inputs)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_rotation_with_gradients_equals_rotation_in_place() -> None:
    rotary = Rotary.of(torch.arange(30), 16)
    x = torch.randn(30, 2, 16, generator=torch.Generator().manual_seed(3))
    in_place = x.clone()
    rotary.rotate_(in_place)
    torch.testing.assert_close(rotary.rotated(x), in_place, atol=1e-6, rtol=1e-6)
    assert rotary.rotated(x.bfloat16()).dtype == torch.bfloat16


def test_answers_with_and_without_gradients_are_the_same() -> None:
    module = Esm2(SHAPE)
    randomize(module)
    tokens, bounds = packed()
    with_gradients = module(tokens, Layout.of(bounds, "cpu"), Needs(logits=True)).logits
    with torch.inference_mode():
        without = module(tokens, Layout.of(bounds, "cpu"), Needs(logits=True)).logits
    torch.testing.assert_close(with_gradients.detach(), without, atol=1e-5, rtol=1e-5)


def like_varlen(qkv_T3HK: torch.Tensor, rotary: Rotary, layout: Layout) -> torch.Tensor:
    """Attention that asks the layout for what `varlen` asks it for: boundaries on the device and the longest row."""
    q, k, v = (x.transpose(0, 1) for x in rotary.rotated_(qkv_T3HK))
    row_T = torch.bucketize(torch.arange(q.shape[1]), layout.cu_seqlens, right=True)
    inside_TT = (row_T[:, None] == row_T) & (torch.arange(q.shape[1])[:, None] < q.shape[1] + layout.max_tokens)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=inside_TT).transpose(0, 1).contiguous()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's compiler looks at it
def test_layers_compile_to_one_graph_for_rows_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(attention.BACKENDS, "sdpa", like_varlen)
    module = Esm2(ModelShape(num_layers=4, width=32, num_heads=4))
    randomize(module)
    tokens, bounds = packed()
    batches = [(tokens[: bounds[rows]], Layout.of(bounds[: rows + 1], "cpu")) for rows in (len(bounds) - 1, 2, 3)]

    def gradients() -> list[torch.Tensor]:
        losses = [module(*batch, Needs(logits=True)).logits.logsumexp(-1).sum() for batch in batches]
        return [torch.autograd.grad(loss, module.embedding.weight)[0] for loss in losses]

    expected = gradients()
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    for block in module.blocks:
        block.compile(dynamic=True, fullgraph=True, backend=counter)
    for mine, plain in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-4)
    assert counter.frame_count <= 2  # for all layers and batches: the first layer's input may be laid out otherwise
