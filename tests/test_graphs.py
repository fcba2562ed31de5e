"""Replayed batches on the CPU: padding, buffers and bookkeeping are real; only the CUDA graph itself is stood in for.

The stand-in for a graph computes eagerly, from the buffer and the shapes of the recording alone, and writes into the
same tensors every time, as a replay does.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from esmkit import alphabet
from esmkit.batching import collate
from esmkit.engine import Model
from esmkit.engine.graphs import Compute, Graphs, Size, eagerly
from esmkit.engine.runner import Runner
from esmkit.layers import attention
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary
from esmkit.types import Features, Needs, Row, TokenBatch
from tests.conftest import LoadTiny

EVERYTHING = Needs(layers=frozenset(range(5)), logits=True)
SEQUENCES = ["MKTAYIAKQR", "M<mask>TAYI", "A" * 90, "GSHMX", "W", "LLVV" * 30]


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def varlen(qkv: torch.Tensor, rotary: Rotary, layout: Layout) -> torch.Tensor:
    """For the CPU, from what a kernel may use: row boundaries on the device, and sizes."""
    return attention._sdpa_padded(*rotary.rotated_(qkv), layout)


class Recorder:
    """What `CudaRecorder` does, without CUDA; counts recordings and replays."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def __call__(self, compute: Compute) -> Compute:
        self.recordings += 1
        static = compute()
        static.layout.cu_seqlens.zero_()  # recording computes nothing: what it leaves behind is no answer

        def replay() -> Features:
            self.replays += 1
            for kept, new in zip(tensors(static), tensors(compute()), strict=True):
                kept.copy_(new)
            return static

        return replay


def tensors(features: Features) -> list[torch.Tensor]:
    logits = [] if features.logits is None else [features.logits]
    return [features.layout.cu_seqlens, *features.representations.values(), *logits]


def batch_of(sequences: list[str]) -> TokenBatch:
    return collate([Row(alphabet.tokenize(sequence)) for sequence in sequences])


class Asked:
    """A runner's model, with its graphs or eagerly."""

    def __init__(self, runner: Runner, graphs: Graphs) -> None:
        self.forward, self.device, self.graphs = runner._forward, runner.device, graphs

    def __call__(self, batch: TokenBatch, needs: Needs, logits_at: list[int]) -> Features:
        return self.graphs(self.forward, batch, needs, logits_at, self.device)

    def eager(self, batch: TokenBatch, needs: Needs, logits_at: list[int]) -> Features:
        return eagerly(self.forward, batch, needs, logits_at, self.device)


def graphs_of(model: Model, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Asked, Recorder]:
    """Installs graphs in the runner of a model."""
    monkeypatch.setitem(attention.BACKENDS, "varlen", varlen)
    runner, recorder = model.engine.runner, Recorder()
    runner.backend = "varlen"
    runner.features = Graphs(**{"record": recorder, "most_tokens": 4096, **options})
    return Asked(runner, runner.features), recorder


def assert_equal(found: Features, expected: Features) -> None:
    assert found.layout.bounds == expected.layout.bounds
    assert found.layout.max_tokens == expected.layout.max_tokens
    assert found.layout.num_tokens == expected.layout.num_tokens
    assert found.layout.cu_seqlens.dtype == expected.layout.cu_seqlens.dtype
    assert torch.equal(found.tokens_T, expected.tokens_T)
    assert found.representations.keys() == expected.representations.keys()
    for got, want in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "sequences",
    [
        ["MKTAYIAKQR"],
        ["A" * 62],  # fills its size: no padding, an empty last row
        ["A" * 63],  # one token more: most of the last row is padding
        SEQUENCES,
        ["MKT"] * 7,
        ["MKT", "G<mask>H"] * 4,  # one row more than eight rows leave beside the padding
        ["A" * 500, "W"],
    ],
    ids=["one", "full", "over", "mixed", "seven", "eight", "long"],
)
def test_padded_replay_equals_the_eager_answer_in_every_layer_and_logit(
    sequences: list[str], load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, recorder = graphs_of(load_tiny(), monkeypatch)
    batch = batch_of(sequences)
    expected = asked.eager(batch, EVERYTHING, [])
    answers = [asked(batch, EVERYTHING, []) for _ in range(3)]
    assert (recorder.recordings, recorder.replays) == (1, 2)
    for answer in answers:
        assert_equal(answer, expected)


def test_one_recording_serves_different_batches_and_an_answer_outlives_the_next(
    load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, recorder = graphs_of(load_tiny(), monkeypatch)
    batches = [batch_of(sequences) for sequences in (["MKTAYIAKQR"], ["GSHM" * 10, "M<mask>T"], ["W", "AC", "DEF"])]
    assert len({Size.of(batch) for batch in batches}) == 1
    asked(batches[0], EVERYTHING, [])
    answers = [asked(batch, EVERYTHING, []) for batch in batches]
    assert (recorder.recordings, recorder.replays) == (1, 3)
    for batch, answer in zip(batches, answers, strict=True):
        assert_equal(answer, asked.eager(batch, EVERYTHING, []))


def test_logits_of_chosen_tokens_are_those_of_the_eager_answer(
    load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, recorder = graphs_of(load_tiny(), monkeypatch)
    batch, needs = batch_of(SEQUENCES), Needs(logits=True)
    for chosen in ([1], [3, 14, 20], [3, 20, 14]):
        answer, expected = asked(batch, needs, chosen), asked.eager(batch, needs, chosen)
        assert answer.logits is not None
        assert answer.logits.shape == (len(chosen), 33)
        assert_equal(answer, expected)
    assert (recorder.recordings, recorder.replays) == (1, 2)


def test_every_output_is_the_same_with_and_without_graphs(load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, model = load_tiny(), load_tiny()
    _, recorder = graphs_of(model, monkeypatch)
    outputs = ["mean", "max", "bos", "per_residue", "logits", "log_prob", "pseudo_log_likelihood"]
    sequences = ["MKTAYIAKQR", "A" * 20, "GSHMX"]
    expected = plain.run(sequences, outputs)
    for _ in range(3):
        for found, want in zip(model.run(sequences, outputs), expected, strict=True):
            assert found.arrays.keys() == want.arrays.keys()
            for name, array in want.arrays.items():
                np.testing.assert_allclose(found.arrays[name], array, atol=1e-5, rtol=1e-5)
    assert recorder.recordings == 2  # plain rows and masked rows
    assert recorder.replays == 4


def test_a_replayed_row_does_not_depend_on_its_batch_mates(
    load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_tiny()
    _, recorder = graphs_of(model, monkeypatch)
    alone = [[model.embed(sequence, pool="per_residue") for _ in range(2)][1] for sequence in SEQUENCES]
    together = [model.embed(SEQUENCES, pool="per_residue") for _ in range(2)][1]
    assert recorder.replays > 2
    for one, many in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, many, atol=1e-5, rtol=1e-5)


def test_a_size_is_recorded_when_it_comes_again_and_forgotten_when_others_came_since(
    load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, recorder = graphs_of(load_tiny(), monkeypatch, most_recordings=2)
    needs = Needs(layers=frozenset({4}))
    recorded = []
    for length in (10, 10, 100, 100, 10, 200, 200, 100, 100, 200):
        asked(batch_of(["A" * length]), needs, [])
        recorded.append(recorder.recordings)
        assert len(asked.graphs.recordings) <= 2
    assert recorded == [0, 1, 1, 2, 2, 2, 3, 3, 4, 4]


def test_large_batches_and_maps_are_left_alone(load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_tiny()
    asked, recorder = graphs_of(model, monkeypatch, most_tokens=100)
    for _ in range(3):
        model.embed("A" * 99)
        model.contacts("MKTAYIAKQR")
        model.attentions("MKTAYIAKQR")
    assert recorder.recordings == 0
    assert not asked.graphs.recordings


def refuses(compute: Compute) -> Compute:
    raise RuntimeError("operation not permitted when stream is capturing")


def forgets_a_row(compute: Compute) -> Compute:
    def replay() -> Features:
        features = compute()
        features.representations[4][20:25] = 0.0
        return features

    return replay


@pytest.mark.parametrize(
    ("record", "reason"), [(refuses, "stream is capturing"), (forgets_a_row, "does not give the eager answer")]
)
def test_where_recording_fails_or_differs_answers_stay_right_and_one_line_says_so(
    record: Any, reason: str, load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_tiny()
    expected = model.embed(SEQUENCES)
    asked, _ = graphs_of(model, monkeypatch, record=record)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            np.testing.assert_allclose(model.embed(SEQUENCES), expected, atol=1e-5, rtol=1e-5)
    assert [reason in line for line in caplog.messages] == [True]
    assert not asked.graphs.recordings


def test_an_overflow_of_the_model_is_not_blamed_on_the_recording(
    load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_tiny()
    model.engine.loaded.module.embedding.weight[alphabet.ID_OF["X"]] = float("inf")
    asked, recorder = graphs_of(model, monkeypatch)
    for _ in range(3):
        answer = asked(batch_of(SEQUENCES), Needs(layers=frozenset({4})), [])
        assert not answer.representations[4].isfinite().all()
    assert (recorder.recordings, recorder.replays) == (1, 2)


def test_sizes_pad_little_and_leave_a_row_for_the_padding() -> None:
    sizes = set()
    for num_tokens in range(2, 4097):
        size = Size.of(TokenBatch(np.zeros(num_tokens), np.array([num_tokens]), np.array([0, num_tokens])))
        sizes.add(size)
        assert num_tokens <= size.tokens <= max(num_tokens + 63, 1.25 * num_tokens)
        assert max(num_tokens, size.tokens - num_tokens) <= size.longest <= size.tokens
    assert len(sizes) == 20
    for num_rows in (1, 7, 8, 31, 32, 500):
        size = Size.of(batch_of(["A"] * num_rows))
        assert num_rows < size.rows <= max(8, 4 * num_rows)


def test_graphs_are_for_varlen_attention_only(load_tiny: LoadTiny) -> None:
    loaded = load_tiny().engine.loaded
    for backend in ("eager", "sdpa"):
        assert not isinstance(Runner(loaded.module, loaded.shape, backend=backend).features, Graphs)


def test_a_model_that_nobody_holds_is_gone_at_once(load_tiny: LoadTiny) -> None:
    """No cycle through the runner: memory of a model comes back without waiting for the garbage collector."""
    model = load_tiny()
    model.embed("MKT")
    module = weakref.ref(model.engine.loaded.module)
    gc.disable()
    try:
        del model
        assert module() is None
    finally:
        gc.enable()
