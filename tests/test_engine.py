"""The engine: order, look-ahead, duplicates, windows, failures of every kind, and streams."""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esmkit import alphabet
from esmkit.batching import LengthPolicy
from esmkit.engine import Engine, Model, budget, prefetch, threads
from esmkit.engine.budget import free_bytes, shard_residues, token_budget
from esmkit.errors import (
    DeviceMemoryError,
    InvalidConfigError,
    InvalidInputError,
    InvalidSequenceError,
    ModelExecutionError,
    SequenceTooLongError,
    UnsupportedOutputError,
)
from esmkit.layers.layout import Layout
from esmkit.outputs import OutputOptions, build, known
from esmkit.types import Failure, ModelShape, Record, Result, Row
from tests.conftest import LoadTiny

GENERATOR = np.random.default_rng(7)


def random_sequence(length: int) -> str:
    return "".join(GENERATOR.choice(list(alphabet.STANDARD), length))


def records(sequences: list[str]) -> list[Record]:
    return [Record(index, f"p{index}", sequence) for index, sequence in enumerate(sequences)]


def run(model: Model, sequences: list[str], names: list[str], **options: Any) -> list[Result | Failure]:
    return list(model.engine.run(records(sequences), build(names, model.shape), **options))


class Recorder(torch.nn.Module):
    """Stands before the module and notes how many rows each call had."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module, self.rows = module, []

    def forward(self, tokens: torch.Tensor, layout: Layout, *rest: Any, **more: Any) -> Any:
        self.rows.append(layout.lengths)
        return self.module(tokens, layout, *rest, **more)


def record_calls(model: Model) -> Recorder:
    recorder = Recorder(model.engine.runner.module)
    model.engine.runner.module = recorder
    return recorder


def test_results_come_in_input_order_whatever_the_batches(load_tiny: LoadTiny) -> None:
    sequences = [random_sequence(length) for length in (50, 3, 120, 1, 7, 7, 90, 2, 60, 33)]
    reference = load_tiny(batch_tokens=1).embed(sequences)
    for batch_tokens in (10, 64, 150, 100_000):
        results = run(load_tiny(batch_tokens=batch_tokens), sequences, ["mean"])
        assert [(result.index, result.id) for result in results] == [(n, f"p{n}") for n in range(len(sequences))]
        found = np.stack([result.arrays["mean_4"] for result in results if isinstance(result, Result)])
        np.testing.assert_allclose(found, reference, atol=1e-5, rtol=1e-5)


def test_batches_keep_to_the_token_budget(load_tiny: LoadTiny) -> None:
    model = load_tiny(batch_tokens=100)
    recorder = record_calls(model)
    run(model, [random_sequence(30) for _ in range(10)], ["mean"])
    assert sum(len(rows) for rows in recorder.rows) == 10
    assert max(sum(rows) for rows in recorder.rows) <= 100


def test_equal_sequences_are_computed_once(load_tiny: LoadTiny) -> None:
    model = load_tiny()
    recorder = record_calls(model)
    results = run(model, ["MKTAY", "GSH", "MKTAY", "MKTAY"], ["mean"])
    assert sum(len(rows) for rows in recorder.rows) == 2
    assert [result.id for result in results] == ["p0", "p1", "p2", "p3"]
    np.testing.assert_array_equal(results[0].arrays["mean_4"], results[3].arrays["mean_4"])


def test_every_result_says_what_made_it(tiny: Model) -> None:
    (result,) = tiny.run("MKT", ["mean"])
    provenance = result.meta["provenance"]
    assert set(provenance) >= {"slug", "weights_sha256", "dtype", "attention", "device", "esmkit", "torch"}
    assert len(provenance["weights_sha256"]) == 64
    assert result.meta["length"] == 3


def test_windows_average_where_they_overlap(load_tiny: LoadTiny) -> None:
    model, sequence = load_tiny(), random_sequence(25)
    policy = LengthPolicy("window", 10)
    (result,) = run(model, [sequence], ["mean", "per_residue", "max", "bos", "logits"], length=policy)
    assert isinstance(result, Result)
    spans = [(start - 1, stop) for start, stop in result.meta["long"]["windows"]]
    assert result.meta["long"]["policy"] == "window"
    total, count = np.zeros((25, model.width)), np.zeros((25, 1))
    pieces = [model.embed(sequence[start:stop], pool="per_residue") for start, stop in spans]
    for (start, stop), piece in zip(spans, pieces, strict=True):
        total[start:stop] += piece
        count[start:stop] += 1
    expected = total / count
    np.testing.assert_allclose(result.arrays["per_residue_4"], expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(result.arrays["mean_4"], expected.mean(0), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(result.arrays["max_4"], np.max([p.max(0) for p in pieces], 0), atol=1e-5, rtol=1e-5)
    bos = np.mean([model.embed(sequence[start:stop], pool="bos") for start, stop in spans], 0)
    np.testing.assert_allclose(result.arrays["bos_4"], bos, atol=1e-5, rtol=1e-5)
    assert result.arrays["logits"].shape == (25, 20)


def test_pseudo_log_likelihood_in_windows_averages_log_probs(load_tiny: LoadTiny) -> None:
    model, sequence = load_tiny(), random_sequence(13)
    (result,) = run(model, [sequence], ["pseudo_log_likelihood"], length=LengthPolicy("window", 8))
    total, count = np.zeros(13), np.zeros(13)
    for start, stop in [(first - 1, last) for first, last in result.meta["long"]["windows"]]:
        for index in range(start, stop):
            residues = list(sequence[start:stop])
            residues[index - start] = alphabet.MASK
            logits = model.logits("".join(residues))[index - start].astype(np.float64)
            total[index] += logits[alphabet.STANDARD.index(sequence[index])] - np.log(np.exp(logits).sum())
            count[index] += 1
    assert result.arrays["pseudo_log_likelihood"] == pytest.approx((total / count).sum(), abs=1e-4)


def test_truncate_computes_the_first_residues_and_says_so(load_tiny: LoadTiny) -> None:
    model, sequence = load_tiny(), random_sequence(25)
    (result,) = run(model, [sequence], ["contacts", "mean"], length=LengthPolicy("truncate", 10))
    np.testing.assert_allclose(result.arrays["contacts"], model.contacts(sequence[:10]), atol=1e-6)
    assert result.meta["long"] == {"policy": "truncate", "windows": [[1, 10]]}
    assert result.meta["length"] == 25


def test_contacts_in_windows_are_refused_only_for_long_records(load_tiny: LoadTiny) -> None:
    model, policy = load_tiny(), LengthPolicy("window", 10)
    assert len(run(model, ["MKT"], ["contacts"], length=policy)) == 1
    with pytest.raises(UnsupportedOutputError, match="p0"):
        run(model, [random_sequence(11)], ["contacts"], length=policy)


def test_stop_raises_after_the_results_before_it(tiny: Model) -> None:
    stream = tiny.engine.run(records(["MKT", "GSH", "MJK", "AAA"]), build(["mean"], tiny.shape))
    assert [next(stream).id, next(stream).id] == ["p0", "p1"]
    with pytest.raises(InvalidSequenceError, match="p2"):
        next(stream)


def test_skip_puts_a_failure_in_the_place_of_each_bad_record(tiny: Model) -> None:
    sequences = ["MKT", "MJK", "", random_sequence(3000), "GSH"]
    outcomes = run(tiny, sequences, ["mean"], on_error="skip")
    assert [type(outcome) for outcome in outcomes] == [Result, Failure, Failure, Failure, Result]
    codes = [outcome.error.code for outcome in outcomes if isinstance(outcome, Failure)]
    assert codes == ["user.invalid_sequence", "user.invalid_record", "user.sequence_too_long"]


def test_a_failure_from_the_reader_passes_through_in_its_place(tiny: Model) -> None:
    failure = Failure(1, "dup", InvalidInputError("twice"))
    stream = [Record(0, "a", "MKT"), failure, Record(2, "c", "GSH")]
    outcomes = list(tiny.engine.run(stream, build(["mean"], tiny.shape), on_error="skip"))
    assert outcomes[1] is failure
    assert [outcome.id for outcome in outcomes] == ["a", "dup", "c"]


def test_an_error_of_the_reader_comes_after_the_results_before_it(tiny: Model) -> None:
    def broken() -> Iterator[Record]:
        yield Record(0, "a", "MKT")
        raise InvalidInputError("truncated file")

    stream = tiny.engine.run(broken(), build(["mean"], tiny.shape))
    assert next(stream).id == "a"
    with pytest.raises(InvalidInputError, match="truncated"):
        next(stream)


def test_too_long_is_an_error_by_default(tiny: Model) -> None:
    with pytest.raises(SequenceTooLongError, match="2048"):
        tiny.embed("A" * 2049)


class Faulty(torch.nn.Module):
    """Breaks on chosen batches, the way devices do."""

    def __init__(self, module: torch.nn.Module, fault: Any) -> None:
        super().__init__()
        self.module, self.fault, self.calls = module, fault, 0

    def forward(self, tokens: torch.Tensor, layout: Layout, *rest: Any, **more: Any) -> Any:
        self.calls += 1
        self.fault(layout)
        return self.module(tokens, layout, *rest, **more)


def test_a_batch_that_does_not_fit_is_split_and_tried_again(load_tiny: LoadTiny) -> None:
    def out_of_memory(layout: Layout) -> None:
        if layout.num_tokens > 40:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")

    model = load_tiny()
    sequences = [random_sequence(10) for _ in range(12)]
    expected = model.embed(sequences)
    model.engine.runner.module = Faulty(model.engine.runner.module, out_of_memory)
    np.testing.assert_allclose(model.embed(sequences), expected, atol=1e-5, rtol=1e-5)


def test_a_batch_that_did_not_fit_is_not_kept_alive_by_its_error(load_tiny: LoadTiny) -> None:
    kept: list[weakref.ref[torch.Tensor]] = []

    class Full(torch.nn.Module):
        def forward(self, tokens: torch.Tensor, *_: Any, **__: Any) -> Any:
            activations = tokens.float()
            kept.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")

    runner = load_tiny().engine.runner
    runner.module = Full()
    launched = runner.launch([Row(alphabet.tokenize("MKT"))], ["p0"], build(["mean"], ModelShape(4, 40, 5)))
    assert launched.error is not None
    assert [reference() for reference in kept] == [None]


def test_free_memory_of_a_gpu_counts_what_torch_keeps_for_reuse(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("mem_get_info", (100, 1000)), ("memory_reserved", 700), ("memory_allocated", 300)):
        monkeypatch.setattr(f"torch.cuda.{name}", lambda device, value=value: value)
    assert free_bytes(torch.device("cuda")) == 500


def test_one_record_too_large_for_the_device_fails_alone(load_tiny: LoadTiny) -> None:
    def out_of_memory(layout: Layout) -> None:
        if layout.max_tokens > 40:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    model = load_tiny()
    model.engine.runner.module = Faulty(model.engine.runner.module, out_of_memory)
    outcomes = run(model, ["MKT", random_sequence(60), "GSH"], ["mean"], on_error="skip")
    assert [type(outcome) for outcome in outcomes] == [Result, Failure, Result]
    assert isinstance(outcomes[1].error, DeviceMemoryError)
    assert "p1" in outcomes[1].error.message


def test_maps_that_cannot_fit_are_refused_before_the_machine_runs_out(
    load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esmkit.engine.runner.free_bytes", lambda device: 100_000_000)
    policy = LengthPolicy(limit=10_000)
    outcomes = run(load_tiny(), ["MKT", "A" * 5000], ["contacts"], length=policy, on_error="skip")
    assert [type(outcome) for outcome in outcomes] == [Result, Failure]
    assert isinstance(outcomes[1].error, DeviceMemoryError)


def test_a_failing_model_fails_exactly_its_batch(load_tiny: LoadTiny) -> None:
    def fails(layout: Layout) -> None:
        if layout.num_tokens == 42:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    model = load_tiny(batch_tokens=50)
    model.engine.runner.module = Faulty(model.engine.runner.module, fails)
    outcomes = run(model, [random_sequence(40), random_sequence(30), random_sequence(5)], ["mean"], on_error="skip")
    assert [type(outcome) for outcome in outcomes] == [Failure, Result, Result]
    assert isinstance(outcomes[0].error, ModelExecutionError)
    assert outcomes[0].error.records == ["p0"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_inf_never_leave_and_name_only_their_record(load_tiny: LoadTiny, value: float) -> None:
    model = load_tiny()
    with torch.no_grad():
        model.engine.loaded.module.embedding.weight[alphabet.ID_OF["X"]] = value
    names = [
        "mean",
        "max",
        "bos",
        "per_residue",
        "logits",
        "contacts",
        "attentions",
        "log_prob",
        "pseudo_log_likelihood",
    ]
    outcomes = run(model, ["MKT", "MXT", "GSH"], names, on_error="skip")
    assert [type(outcome) for outcome in outcomes] == [Result, Failure, Result]
    assert outcomes[1].error.records == ["p1"]
    for name in names:
        with pytest.raises(ModelExecutionError, match="p1"):
            run(model, ["MKT", "MXT", "GSH"], [name])


def test_a_model_that_lacks_a_feature_is_refused_before_any_work(load_tiny: LoadTiny) -> None:
    from dataclasses import replace

    loaded = load_tiny().engine.loaded
    bare = replace(loaded, family=replace(loaded.family, provides=frozenset({"representations"})))
    engine = Engine(bare)
    consumed: list[int] = []
    stream = (consumed.append(record.index) or record for record in records(["MKT"]))
    with pytest.raises(UnsupportedOutputError, match="contacts") as caught:
        next(engine.run(stream, build(["contacts"], bare.shape)))
    assert caught.value.choices == ["representations"]
    assert consumed == []


def test_an_endless_stream_gives_results_at_once_and_stops_when_dropped(load_tiny: LoadTiny) -> None:
    model = load_tiny(batch_tokens=64)
    read = itertools.count()

    def endless() -> Iterator[Record]:
        while True:
            index = next(read)
            yield Record(index, f"p{index}", random_sequence(20))

    stream = model.engine.run(endless(), build(["mean"], model.shape))
    assert [next(stream).index for _ in range(30)] == list(range(30))
    stream.close()
    after = next(read)
    assert after < 300, "reading ahead must be bounded"
    time.sleep(0.3)
    assert next(read) == after + 1, "reading must stop"
    assert not [thread for thread in threading.enumerate() if thread.name == "esmkit-prefetch"]


def test_progress_counts_every_token(tiny: Model) -> None:
    seen: list[int] = []
    list(
        tiny.engine.run(
            records(["MKT", "GS"]), build(["mean", "pseudo_log_likelihood"], tiny.shape), on_progress=seen.append
        )
    )
    assert sum(seen) == (5 + 4) + (3 * 5 + 2 * 4)


def test_batches_in_flight_change_nothing(load_tiny: LoadTiny) -> None:
    sequences = [random_sequence(length) for length in (50, 3, 120, 1, 7, 90, 2, 60)]
    model = load_tiny(batch_tokens=64)
    names = ["mean", "contacts", "pseudo_log_likelihood"]
    expected = run(model, sequences, names)
    model.engine.runner.depth = 3
    for found, one in zip(run(model, sequences, names), expected, strict=True):
        assert isinstance(found, Result)
        assert isinstance(one, Result)
        for name, array in found.arrays.items():
            np.testing.assert_array_equal(array, one.arrays[name])


def test_prefetch_passes_items_then_the_error() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise KeyError("late")

    stream = prefetch.prefetch(items(), depth=1)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="late"):
        next(stream)


@pytest.mark.parametrize("name", list(known()))
def test_every_output_gives_what_its_columns_promise(tiny: Model, name: str) -> None:
    (output,) = build([name], tiny.shape, OutputOptions(layers=(0, -1)))
    sequence = "MK<mask>AYX" if name == "predict" else "MKTAYX"
    (result,) = tiny.engine.run([Record(0, "a", sequence)], [output])
    assert isinstance(result, Result)
    assert list(result.arrays) == [column.name for column in output.columns()]
    sizes = {"L": 6, "M": 1}
    for column in output.columns():
        value = np.asarray(result.arrays[column.name])
        assert value.shape == tuple(sizes.get(size, size) for size in column.shape)
        assert value.dtype.kind == {"float": "f", "int": "i", "str": "U"}[column.dtype]


def test_masked_prediction_ranks_residues_and_fills(tiny: Model) -> None:
    prediction = tiny.predict_masked("MK<mask>AY<mask>", top_k=20)
    assert prediction.positions.tolist() == [3, 6]
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1, atol=1e-5)
    assert (np.diff(prediction.probabilities, axis=1) <= 0).all()
    assert sorted(prediction.residues[0]) == sorted(alphabet.STANDARD)
    assert prediction.filled_sequence == f"MK{prediction.residues[0, 0]}AY{prediction.residues[1, 0]}"
    logits = tiny.logits("MK<mask>AY<mask>")
    assert alphabet.STANDARD[int(logits[2].argmax())] == prediction.residues[0, 0]


@pytest.mark.parametrize(
    ("name", "sequence", "match"),
    [
        ("predict", "MKT", "no <mask>"),
        ("log_prob", "M<mask>", "no likelihood"),
        ("pseudo_log_likelihood", "XX", "scored"),
    ],
)
def test_records_without_an_answer_are_refused(tiny: Model, name: str, sequence: str, match: str) -> None:
    with pytest.raises(InvalidSequenceError, match=match):
        tiny.run(sequence, [name])


@pytest.mark.parametrize(
    "options",
    [{"layers": (5,)}, {"layers": (-6,)}, {"layers": ()}, {"top_k": 0}, {"top_k": 21}, {"vocabulary": "all"}],
)
def test_options_out_of_range_are_refused(tiny: Model, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError):
        tiny.run("MK<mask>", ["mean", "predict"], options=OutputOptions(**options))


@pytest.mark.parametrize(("layers", "heads"), [([0], None), ([5], None), (None, [0]), (None, [6])])
def test_attention_layers_and_heads_out_of_range_are_refused(tiny: Model, layers: Any, heads: Any) -> None:
    with pytest.raises(InvalidConfigError):
        tiny.attentions("MKT", layers=layers, heads=heads)


def test_full_attention_maps_above_the_guard_are_refused(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esmkit.outputs.attentions.MAX_MAP_BYTES", 1000)
    assert tiny.attentions("MKT", layers=[1]).shape == (1, 5, 3, 3)
    with pytest.raises(UnsupportedOutputError, match="attention-layers"):
        tiny.attentions("MKTAYIAK", layers=[1])


def test_unknown_output_names_the_choices() -> None:
    with pytest.raises(UnsupportedOutputError) as caught:
        build(["embeddings"], ModelShape(4, 40, 5))
    assert "mean" in caught.value.choices


def test_library_shapes(tiny: Model) -> None:
    assert tiny.embed("MKT").shape == (40,)
    assert tiny.embed(["MKT", "A"]).shape == (2, 40)
    assert [each.shape for each in tiny.embed(["MKT", "A"], pool="per_residue")] == [(3, 40), (1, 40)]
    by_layer = tiny.embed(["MKT", "A"], layers=[0, -1])
    assert {layer: array.shape for layer, array in by_layer.items()} == {0: (2, 40), 4: (2, 40)}
    assert tiny.embed([Record(0, "a", "MKT")]).shape == (1, 40)
    assert isinstance(tiny.log_prob("MKT"), float)
    assert tiny.log_prob(["MKT", "A"]).shape == (2,)
    assert tiny.contacts("MKT").shape == (3, 3)
    assert tiny.embed([]) == []


def test_token_budget_follows_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert free_bytes(cpu) > 0
    assert token_budget(1000, cpu, asked=17) == 17
    monkeypatch.setattr(budget, "free_bytes", lambda device: 2_000_000)
    assert token_budget(1000, cpu) == 512
    monkeypatch.setattr(budget, "free_bytes", lambda device: 1 << 40)
    assert token_budget(1000, cpu) == 4_096 <= budget.CPU_BATCH_BYTES // 1000
    assert token_budget(60_000, cpu) == 1_024 <= budget.CPU_BATCH_BYTES // 60_000
    with pytest.raises(InvalidConfigError):
        token_budget(1000, cpu, asked=0)


def test_shards_of_larger_models_hold_fewer_residues() -> None:
    cpu = torch.device("cpu")
    assert shard_residues(ModelShape(33, 1280, 20), cpu) < shard_residues(ModelShape(6, 320, 20), cpu)


def test_half_precision_stays_close_and_is_finite(load_tiny: LoadTiny) -> None:
    sequence = random_sequence(40)
    full = load_tiny().embed(sequence, pool="per_residue")
    for dtype, tolerance in ((torch.bfloat16, 0.15), (torch.float16, 0.02)):
        half = load_tiny(dtype=dtype).embed(sequence, pool="per_residue")
        assert half.dtype == np.float32
        assert np.abs(half - full).max() < tolerance * np.abs(full).max()


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_threads_follow_the_quota_of_the_container(files: dict[str, str], cpus: int | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    present = len(os.sched_getaffinity(0))
    assert threads.usable_cpus(tmp_path) == (present if cpus is None else min(cpus, present))


def test_threads_are_set_as_asked() -> None:
    before = torch.get_num_threads()
    try:
        assert threads.set_threads(1) == 1 == torch.get_num_threads()
        assert threads.set_threads(None) == 1
        with pytest.raises(InvalidConfigError):
            threads.set_threads(0)
    finally:
        torch.set_num_threads(before)
