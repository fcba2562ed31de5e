"""What only a CUDA device can show (`-m gpu`): its back ends, kernels and graphs against the CPU's reference."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import esmkit
from esmkit.alphabet import tokenize
from esmkit.batching import collate
from esmkit.engine.graphs import CudaRecorder, Graphs
from esmkit.engine.runner import Runner
from esmkit.layers import attention
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary, fused_kernel
from esmkit.outputs import build
from esmkit.types import Features, Needs, Row, TokenBatch
from tests.test_graphs import Asked
from tests.test_numerics import SEQUENCES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

NEEDS = Needs(layers=frozenset({0, 2, 4}), logits=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("bfloat16", 4e-2)])
@torch.inference_mode()
def test_varlen_attention_equals_eager_in_fp32(dtype: str, tolerance: float) -> None:
    layout = Layout.of((0, 3, 4, 130, 900), "cuda")
    generator = torch.Generator("cuda").manual_seed(1)
    for head_dim in (16, 24, 32, 64, 128):
        qkv = torch.randn(900, 3, 4, head_dim, device="cuda", generator=generator)
        exact = attention.eager(qkv.clone(), Rotary.of(layout.positions(), head_dim), layout)
        found = attention.varlen(qkv.to(getattr(torch, dtype)), Rotary.of(layout.positions(), head_dim), layout)
        assert (found.float() - exact).abs().max() < tolerance


@torch.inference_mode()
def test_varlen_attention_takes_empty_rows() -> None:
    """What recordings rely on: empty rows change nothing, wherever they stand."""
    generator = torch.Generator("cuda").manual_seed(1)
    qkv = torch.randn(130, 3, 4, 32, device="cuda", generator=generator).half()
    found = []
    for bounds in ((0, 3, 100, 130), (0, 3, 100, 100, 100, 130, 130)):
        layout = Layout.of(bounds, "cuda")
        found.append(attention.varlen(qkv.clone(), Rotary.of(layout.positions(), 32), layout))
    assert torch.equal(*found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_fused_rotation_equals_fp64_to_the_rounding_of_the_dtype(dtype: torch.dtype, tolerance: float) -> None:
    pytest.importorskip("triton")
    assert fused_kernel(torch.device("cuda", 0)) is not None
    for head_dim in (8, 16, 24, 32, 64, 128):
        tables = Rotary.of(torch.arange(700, device="cuda"), head_dim)
        qkv = torch.randn(700, 3, 20, head_dim, device="cuda").clamp_(-4, 4).to(dtype)
        expected = qkv.double()
        for x in expected.unbind(1)[:2]:
            tables.rotate_(x)
        with torch.inference_mode():
            tables.rotated_(qkv)
        assert ((qkv.double() - expected).abs() / expected.abs().clamp_min(1.0)).max() <= tolerance


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
    for _ in range(3):  # eagerly, recorded, replayed
        np.testing.assert_allclose(gpu.embed(SEQUENCES), cpu.embed(SEQUENCES), atol=tolerance, rtol=tolerance)
    for method in ("logits", "contacts"):
        for found, expected in zip(getattr(gpu, method)(SEQUENCES), getattr(cpu, method)(SEQUENCES), strict=True):
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(found / scale, expected / scale, atol=tolerance)


def test_a_row_on_the_gpu_does_not_depend_on_its_batch_mates(tiny_path: Any) -> None:
    together = esmkit.load(tiny_path, device="cuda", dtype="float16")
    alone = esmkit.load(tiny_path, device="cuda", dtype="float16", batch_tokens=1)
    for _ in range(3):
        np.testing.assert_allclose(together.embed(SEQUENCES), alone.embed(SEQUENCES), atol=1e-3, rtol=1e-3)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Makes torch raise where the host would wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("graphs", [False, True])
def test_no_batch_waits_for_the_device_before_its_answer_is_collected(
    tiny_path: Any, graphs: bool, request: pytest.FixtureRequest
) -> None:
    model = esmkit.load(tiny_path, device="cuda", dtype="float16")
    runner = Runner(model.engine.loaded.module, model.shape, graphs=graphs)
    rows, outputs = rows_of(SEQUENCES), build(["mean", "max", "bos", "per_residue", "logits"], model.shape)
    names = [f"p{number}" for number in range(len(rows))]
    for _ in range(3):
        runner.run(rows, names, outputs)  # compiles and records, which may wait
    request.getfixturevalue("no_waiting")
    launched = [runner.launch(rows, names, outputs) for _ in range(3)]
    torch.cuda.set_sync_debug_mode("default")
    assert [each.error for each in launched] == [None] * 3
    for each in launched:
        assert all(isinstance(parts, dict) for parts in runner.collect(each))


def rows_of(sequences: list[str]) -> list[Row]:
    return [Row(tokenize(sequence)) for sequence in sequences]


def batch_of(*lengths: int, first: str = "M") -> TokenBatch:
    rows = rows_of([first + "A" * (length - 1) for length in lengths])
    return collate(rows)


def graphs_of(model: Any, **options: Any) -> Asked:
    recorder = CudaRecorder(torch.device("cuda", 0))
    return Asked(model.engine.runner, Graphs(recorder, **{"most_tokens": 4096, **options}))


def assert_close(found: Features, expected: Features) -> None:
    assert found.layout.bounds == expected.layout.bounds
    assert torch.equal(found.layout.cu_seqlens, expected.layout.cu_seqlens)
    assert torch.equal(found.tokens_T, expected.tokens_T)
    assert found.logits is not None
    assert expected.logits is not None
    pairs = [(found.representations[layer], x) for layer, x in expected.representations.items()]
    for got, want in (*pairs, (found.logits, expected.logits)):
        scale = float(want.float().abs().max())
        torch.testing.assert_close(got, want, atol=1e-2 * scale, rtol=1e-2)


@torch.inference_mode()
def test_replays_of_several_sizes_in_any_order_equal_eager(tiny_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    """All recordings share one memory: none may disturb another's answer."""
    asked = graphs_of(esmkit.load(tiny_path, device="cuda", dtype="float16"))
    batches = [batch_of(10), batch_of(500, 3), batch_of(*[20] * 40), batch_of(100), batch_of(2000, 1000, 7)]
    with caplog.at_level(logging.WARNING):
        for round_of_batches in (batches, batches, batches[::-1], batches):
            answers = [asked(batch, NEEDS, []) for batch in round_of_batches]
            for batch, answer in zip(round_of_batches, answers, strict=True):
                assert_close(answer, asked.eager(batch, NEEDS, []))
        masked = batch_of(30, 30, 30), [1, 40, 75]
        for _ in range(3):
            assert_close(asked(masked[0], NEEDS, masked[1]), asked.eager(masked[0], NEEDS, masked[1]))
    assert not caplog.messages
    assert [recording is not None for recording in asked.graphs.recordings.values()] == [True] * 6


@torch.inference_mode()
def test_one_recording_answers_different_batches_of_its_size(tiny_path: Any) -> None:
    asked = graphs_of(esmkit.load(tiny_path, device="cuda", dtype="float16"))
    batches = [batch_of(10), batch_of(40, first="W"), batch_of(3, 4, 5), batch_of(25, 25)]
    answers = [asked(batch, NEEDS, []) for batch in [batches[0], *batches]][1:]
    for batch, answer in zip(batches, answers, strict=True):
        assert_close(answer, asked.eager(batch, NEEDS, []))
    assert len(asked.graphs.recordings) == 1


@torch.inference_mode()
def test_forgotten_recordings_are_made_again_and_memory_does_not_grow(tiny_path: Any) -> None:
    asked = graphs_of(esmkit.load(tiny_path, device="cuda", dtype="float16"), most_recordings=2)
    batches, held = [batch_of(100), batch_of(300), batch_of(900)], []
    for _ in range(4):
        for batch in batches:
            for _ in range(3):
                assert_close(asked(batch, NEEDS, []), asked.eager(batch, NEEDS, []))
            assert len(asked.graphs.recordings) <= 2
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved())
    assert held[-1] <= held[1]


def test_threads_share_recordings_without_mixing_their_answers(tiny_path: Any) -> None:
    model = esmkit.load(tiny_path, device="cuda", dtype="float16")
    sequences = ["MKTAYIAKQR", "GSHM" * 4, "W" * 20]
    expected = [model.embed(sequence) for sequence in sequences]
    wrong: list[str] = []

    def ask(sequence: str, answer: Any) -> None:
        for _ in range(50):
            if not np.allclose(model.embed(sequence), answer, atol=1e-2, rtol=1e-2):
                wrong.append(sequence)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(sequences, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@torch.inference_mode()
def test_where_recording_fails_the_runner_goes_on_eagerly(tiny_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The failure is a real one: a wait for the device in the middle of a recording."""
    model = esmkit.load(tiny_path, device="cuda", dtype="float16")
    asked = graphs_of(model)

    def waits(tokens_T: torch.Tensor, layout: Layout, needs: Needs, at: torch.Tensor | None) -> Features:
        tokens_T.sum().item()
        features: Features = model.engine.runner._forward(tokens_T, layout, needs, at)
        return features

    asked.forward = waits
    stream = torch.cuda.current_stream()
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            assert_close(asked(batch_of(50), NEEDS, []), asked.eager(batch_of(50), NEEDS, []))
    assert len(caplog.messages) == 1
    assert torch.cuda.current_stream() == stream
