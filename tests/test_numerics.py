"""The numerics ladder: our model against fair-esm, the reference, at 1e-5 (max-abs, never cosine)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esmkit import alphabet
from esmkit.engine import Model
from esmkit.layers import attention, linear, native
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary
from esmkit.outputs import OutputOptions
from esmkit.types import Needs
from tests.conftest import TINY, LoadTiny

NUM_LAYERS, WIDTH, NUM_HEADS = TINY
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
ALL_TOKENS = alphabet.ALLOWED
CPU_BACKENDS = ["eager", "sdpa", *(["native"] if native.available() else [])]
SEQUENCES = [
    ALL_TOKENS,
    "M",
    "MK<mask>AYIAKQR",
    "<mask>" * 3 + "GSHMLEDPVA<mask>",
    "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVVHSLAKWKRQTLGQHDFSAGEGLYTHMKALRPDEDR",
    "<mask>",
]


@pytest.fixture(scope="module")
def reference_outputs(fair_esm: Any) -> list[dict[str, Any]]:
    """fair-esm on each sequence alone: no padding, so nothing but the model."""
    outputs = []
    for sequence in SEQUENCES:
        tokens = torch.from_numpy(alphabet.tokenize(sequence).astype(np.int64))[None]
        with torch.no_grad():
            out = fair_esm(tokens, repr_layers=range(NUM_LAYERS + 1), return_contacts=True)
        outputs.append(
            {
                "layers": [out["representations"][layer][0].numpy() for layer in range(NUM_LAYERS + 1)],
                "logits": out["logits"][0].numpy(),
                "contacts": out["contacts"][0].numpy(),
                "attentions": out["attentions"][0].numpy(),
            }
        )
    return outputs


def test_tokens_equal_fair_esm() -> None:
    from esm.data import Alphabet

    theirs = Alphabet.from_architecture("ESM-1b")
    assert tuple(theirs.all_toks) == alphabet.TOKENS
    compared = 0
    for sequence in SEQUENCES:
        expected = [theirs.cls_idx, *theirs.encode(sequence), theirs.eos_idx]
        assert alphabet.tokenize(sequence).tolist() == expected
        compared += len(expected)
    assert compared == sum(alphabet.num_residues(sequence) + 2 for sequence in SEQUENCES)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_every_layer_equals_fair_esm(
    load_tiny: LoadTiny, reference_outputs: list[dict[str, Any]], backend: str
) -> None:
    layers = list(range(NUM_LAYERS + 1))
    ours = load_tiny(backend=backend).embed(SEQUENCES, layers=layers, pool="per_residue")
    compared = 0
    for layer in layers:
        for mine, reference in zip(ours[layer], reference_outputs, strict=True):
            np.testing.assert_allclose(mine, reference["layers"][layer][1:-1], **TOLERANCE)
            compared += 1
    assert compared == (NUM_LAYERS + 1) * len(SEQUENCES)


def test_pooled_embeddings_cover_residues_only(tiny: Model, reference_outputs: list[dict[str, Any]]) -> None:
    pooled = {pool: tiny.embed(SEQUENCES, layers=2, pool=pool) for pool in ("mean", "max", "bos")}
    for row, reference in enumerate(reference_outputs):
        layer = reference["layers"][2]
        np.testing.assert_allclose(pooled["mean"][row], layer[1:-1].mean(0), **TOLERANCE)
        np.testing.assert_allclose(pooled["max"][row], layer[1:-1].max(0), **TOLERANCE)
        np.testing.assert_allclose(pooled["bos"][row], layer[0], **TOLERANCE)


@pytest.mark.parametrize(("vocabulary", "columns"), [("standard", slice(4, 24)), ("full", slice(0, 33))])
def test_logits_equal_fair_esm(
    tiny: Model, reference_outputs: list[dict[str, Any]], vocabulary: Any, columns: slice
) -> None:
    for mine, reference in zip(tiny.logits(SEQUENCES, vocabulary=vocabulary), reference_outputs, strict=True):
        np.testing.assert_allclose(mine, reference["logits"][1:-1, columns], **TOLERANCE)


def test_contacts_equal_fair_esm(tiny: Model, reference_outputs: list[dict[str, Any]]) -> None:
    spread = 0.0
    for mine, reference in zip(tiny.contacts(SEQUENCES), reference_outputs, strict=True):
        np.testing.assert_allclose(mine, reference["contacts"], **TOLERANCE)
        spread = max(spread, float(np.ptp(mine)))
    assert spread > 0.1, "the maps must not be trivially flat"


def test_attention_maps_and_means_equal_fair_esm(tiny: Model, reference_outputs: list[dict[str, Any]]) -> None:
    maps = tiny.attentions(SEQUENCES, layers=range(1, NUM_LAYERS + 1))
    means = tiny.attentions(SEQUENCES)
    for mine, mean, reference in zip(maps, means, reference_outputs, strict=True):
        assert mine.shape[:2] == (NUM_LAYERS, NUM_HEADS)
        np.testing.assert_allclose(mine, reference["attentions"][:, :, 1:-1, 1:-1], **TOLERANCE)
        np.testing.assert_allclose(mean, reference["attentions"].mean(1).mean(1)[:, 1:-1], **TOLERANCE)


def test_likelihoods_equal_a_naive_loop_over_fair_esm(tiny: Model, fair_esm: Any) -> None:
    sequence = "MKTAYIAKQRXQISFVK"
    ids = torch.from_numpy(alphabet.tokenize(sequence).astype(np.int64))
    scored = [index for index in range(1, len(ids) - 1) if 4 <= ids[index] <= 23]
    masked, unmasked = 0.0, 0.0
    with torch.no_grad():
        whole = fair_esm(ids[None])["logits"][0, :, 4:24].log_softmax(-1)
        for index in scored:
            hidden = ids.clone()
            hidden[index] = alphabet.MASK_ID
            masked += float(fair_esm(hidden[None])["logits"][0, index, 4:24].log_softmax(-1)[ids[index] - 4])
            unmasked += float(whole[index, ids[index] - 4])
    assert len(scored) == 16
    assert tiny.pseudo_log_likelihood(sequence) == pytest.approx(masked, abs=1e-4)
    assert tiny.log_prob(sequence) == pytest.approx(unmasked, abs=1e-4)
    assert tiny.pseudo_perplexity(sequence) == pytest.approx(np.exp(-masked / 16), rel=1e-5)


def test_packed_batch_equals_single_in_any_order_with_any_mates(load_tiny: LoadTiny) -> None:
    whole = load_tiny(batch_tokens=10_000)
    single = load_tiny(batch_tokens=1)
    options = OutputOptions(layers=(0, 2, -1))
    names = ["mean", "max", "bos", "per_residue", "contacts", "logits", "attentions", "attention_maps"]
    alone = [single.run(sequence, names, options=options)[0] for sequence in SEQUENCES]
    compared = 0
    for order in (range(len(SEQUENCES)), reversed(range(len(SEQUENCES)))):
        numbers = list(order)
        together = whole.run([SEQUENCES[number] for number in numbers], names, options=options)
        for number, result in zip(numbers, together, strict=True):
            for name, array in result.arrays.items():
                np.testing.assert_allclose(array, alone[number].arrays[name], **TOLERANCE)
                compared += 1
    assert compared == 2 * len(SEQUENCES) * len(alone[0].arrays)


def test_padded_sdpa_for_other_devices_equals_row_by_row() -> None:
    layout = Layout.of((0, 3, 4, 17, 40), "cpu")
    q, k, v = torch.randn(3, 40, 5, 8, generator=torch.Generator().manual_seed(1)).unbind()
    padded, by_row = attention._sdpa_padded(q, k, v, layout), attention._sdpa_by_row(q, k, v, layout)
    torch.testing.assert_close(padded, by_row, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", CPU_BACKENDS)
def test_every_cpu_backend_gives_the_same_attention(name: str) -> None:
    layout = Layout.of((0, 3, 4, 17, 1100), "cpu")
    rotary = Rotary.of(layout.positions(), 16)
    qkv = torch.randn(1100, 3, 2, 16, generator=torch.Generator().manual_seed(2))
    answer = attention.BACKENDS[name](qkv.clone(), rotary, layout)
    torch.testing.assert_close(answer, attention.eager(qkv.clone(), rotary, layout), atol=1e-5, rtol=1e-5)


def test_varlen_asks_for_nothing_that_the_oldest_torch_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.of((0, 3, 4, 17, 40), "cpu")
    rotary = Rotary.of(layout.positions(), 8)
    qkv = torch.randn(40, 3, 5, 8, generator=torch.Generator().manual_seed(1))

    def torch_2_11(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seq_q: torch.Tensor, cu_seq_k: torch.Tensor,
        max_q: int, max_k: int, *, return_aux: Any = None, scale: float | None = None,
        window_size: tuple[int, int] = (-1, -1),
    ) -> torch.Tensor:  # fmt: skip
        assert (cu_seq_q.tolist(), max_q) == (cu_seq_k.tolist(), max_k) == ([0, 3, 4, 17, 40], 23)
        assert cu_seq_q.dtype == torch.int32
        return attention._sdpa_padded(query, key, value, layout)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", torch_2_11)
    expected = attention.eager(qkv.clone(), rotary, layout)
    torch.testing.assert_close(attention.varlen(qkv, rotary, layout), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("capability", "dtype", "head_dim", "expected"),
    [
        ((9, 0), torch.float16, 64, "varlen"),
        ((8, 0), torch.bfloat16, 16, "varlen"),
        ((7, 5), torch.float16, 64, "sdpa"),
        ((9, 0), torch.float32, 64, "sdpa"),
        ((9, 0), torch.float16, 20, "sdpa"),
    ],
)
def test_a_gpu_gets_flash_attention_where_it_can_run(
    capability: tuple[int, int], dtype: torch.dtype, head_dim: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cuda.is_flash_attention_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert attention.choose_backend("auto", torch.device("cuda"), dtype, head_dim) == expected


@pytest.mark.parametrize("gradients", [True, False])
def test_linear_gelu_equals_the_plain_expression(gradients: bool) -> None:
    layer, x = torch.nn.Linear(32, 48), torch.randn(70, 32)
    with torch.set_grad_enabled(gradients):
        expected = torch.nn.functional.gelu(layer(x))
        torch.testing.assert_close(linear.linear_gelu(x, layer), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_no_batch_goes_through_onednn_which_keeps_memory_for_every_size() -> None:
    answer = "import esmkit; print(esmkit.load(device='cpu').logits('MKTAYIAKQR').shape)"
    control = "import torch; torch.nn.functional.gelu(torch.ones(9, 9))"
    shown = []
    for code in (answer, control):
        environment = {**os.environ, "ONEDNN_VERBOSE": "2"}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        shown.append(run.stdout)
    assert shown[0] == "(10, 20)\n"
    assert ",exec," in shown[1]


def test_add_linear_is_the_residual_sum() -> None:
    layer, x, residual = torch.nn.Linear(32, 48), torch.randn(70, 32), torch.randn(70, 48)
    with torch.inference_mode():
        expected = residual + layer(x)
        torch.testing.assert_close(linear.add_linear_(residual, x, layer), expected, atol=1e-6, rtol=1e-6)


def test_token_dropout_scales_each_row_by_its_own_masks(tiny: Model) -> None:
    module: Any = tiny.engine.loaded.module
    rows = [alphabet.tokenize(sequence).astype(np.int64) for sequence in ("MKTA", "M<mask>TA")]
    tokens = torch.from_numpy(np.concatenate(rows))
    features = module(tokens, Layout.of((0, 6, 12), "cpu"), Needs(layers=frozenset({0})))
    table = module.embedding.weight
    torch.testing.assert_close(features.representations[0][1], 0.88 * table[alphabet.ID_OF["M"]])
    torch.testing.assert_close(features.representations[0][7], 0.88 / (1 - 1 / 6) * table[alphabet.ID_OF["M"]])
    assert not features.representations[0][8].any()


def test_nothing_is_computed_that_was_not_asked_for(tiny: Model) -> None:
    module: Any = tiny.engine.loaded.module
    ran: list[str] = []
    handles = [
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, part in module.named_modules()
        if name in {"lm_head", "final_norm", *(f"blocks.{number}" for number in range(NUM_LAYERS))}
    ]
    try:
        tiny.embed("MKTA", layers=2)
        assert ran == ["blocks.0", "blocks.1"]
        ran.clear()
        tiny.embed("MKTA", layers=0)
        assert ran == []
        tiny.attentions("MKTA", layers=[1])
        assert ran == ["blocks.0"]
        ran.clear()
        tiny.embed("MKTA")
        assert ran == [*(f"blocks.{number}" for number in range(NUM_LAYERS)), "final_norm"]
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize(
    ("sizes", "length"),
    [
        ((6, 320, 20), 60),
        ((12, 480, 20), 40),
        ((30, 640, 20), 30),
        pytest.param((33, 1280, 20), 20, marks=pytest.mark.slow),
    ],
    ids=["8m", "35m", "150m", "650m"],
)
def test_true_shapes_equal_a_transformers_checkpoint_on_disk(
    sizes: tuple[int, int, int], length: int, tmp_path: Path
) -> None:
    from transformers import EsmConfig, EsmForMaskedLM

    import esmkit

    torch.manual_seed(3)
    config = EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, num_hidden_layers=sizes[0], hidden_size=sizes[1],
        num_attention_heads=sizes[2], intermediate_size=4 * sizes[1], max_position_embeddings=1026,
        position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5,
    )  # fmt: skip
    theirs = EsmForMaskedLM(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = esmkit.load(tmp_path, dtype="float32")
    generator = np.random.default_rng(4)
    sequences = ["".join(generator.choice(list(alphabet.STANDARD), size)) for size in (length, 7)]
    layers = ours.embed(sequences, layers=[sizes[0] // 2, -1], pool="per_residue")
    logits = ours.logits(sequences, vocabulary="full")
    for row, sequence in enumerate(sequences):
        tokens = torch.from_numpy(alphabet.tokenize(sequence).astype(np.int64))[None]
        with torch.no_grad():
            expected = theirs(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True)
        np.testing.assert_allclose(logits[row], expected.logits[0, 1:-1], atol=2e-5, rtol=1e-5)
        np.testing.assert_allclose(layers[sizes[0]][row], expected.hidden_states[-1][0, 1:-1], atol=2e-5, rtol=1e-5)
        middle = expected.hidden_states[sizes[0] // 2][0, 1:-1]
        np.testing.assert_allclose(layers[sizes[0] // 2][row], middle, atol=2e-5, rtol=1e-5)
