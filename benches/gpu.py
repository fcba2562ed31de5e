"""`scripts/bench gpu`: everything there is to measure on one NVIDIA GPU, in 16 bit; needs no network.

Per model: rates at fixed lengths and on the real mix of lengths against transformers (sdpa, and flash-attn where it is
installed), the time that one short sequence takes with CUDA graphs and without, the roofs of this GPU, what 16 bit
costs in accuracy, and with --profile where a step's time goes. With `--device cpu --quick` the same code runs on a CPU,
only to see that it does.
"""

from __future__ import annotations

import gc
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import esmkit
from benches import numerics, peers, policies, profiling, roofs, weights
from benches.flops import flop_of, flop_per_token, moved_bytes_per_token
from benches.peers import BASELINE, Transformers, token_lengths
from benches.proteins import cuts, many, proteins
from benches.results import say
from benches.timing import Array, Peer, alternate, largest_difference, ratio, timed
from esmkit.alphabet import tokenize
from esmkit.batching import pack
from esmkit.engine.graphs import Graphs
from esmkit.engine.runner import Runner
from esmkit.errors import EsmkitError
from esmkit.outputs import OutputOptions, build
from esmkit.types import ModelShape, Record, Row

MODELS = ("8m", "150m", "650m", "3b")
LENGTHS = (128, 512, 1024)
DTYPES = ("float16", "bfloat16")
GEMM_ROWS = 16_384
WORK_FLOP = 3e14
"""About a second of work at a third of an H100's peak."""
MOST_TOKENS, QUICK_TOKENS = 2_000_000, 256
LATENCY_TOKENS, CALLS, QUICK_CALLS, WARM_CALLS = 128, 200, 6, 3
AGREEMENT = 0.05
"""16-bit answers of two programs differ by rounding; relative to the largest value, what no rounding explains."""


def measure(arguments: Namespace) -> dict[str, Any]:
    """Every model in turn; what is written to the result file."""
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "bench: torch finds no CUDA device here; run scripts/bench gpu on a machine with an NVIDIA GPU and a CUDA "
            "build of torch (scripts/bench gpu --device cpu --quick only tries out the script)"
        )
    torch.set_num_threads(arguments.threads)
    models = {}
    for model in arguments.models or (MODELS[:1] if arguments.quick else MODELS):
        models[model] = _measure_model(model, arguments)
        gc.collect()
    return {"models": models}


def _measure_model(model: str, arguments: Namespace) -> dict[str, Any]:
    folder, shape = weights.folder_of(model, arguments.weights), weights.shape_of(model)
    content: dict[str, Any] = {
        "weights": "random" if weights.are_random(folder) else str(folder),
        "shape": asdict(shape),
        "roofs": _roofs(shape, arguments),
        "dtypes": {},
    }
    for dtype in DTYPES:
        say(f"{model}, {dtype}")
        content["dtypes"][dtype] = _measure_dtype(shape, folder, dtype, content["roofs"], arguments)
        gc.collect()
    say(f"{model}, numerics")
    content["numerics"] = numerics.compare(folder, DTYPES, device=arguments.device, quick=arguments.quick)
    return content


def _roofs(shape: ModelShape, arguments: Namespace) -> dict[str, Any]:
    """Tokens/s at L = 512 that arithmetic and memory allow: measured here, and by the GPU's data sheet."""
    device, seconds = arguments.device, 0.05 if arguments.quick else 0.5
    rows, megabytes = (256, 16) if arguments.quick else (GEMM_ROWS, 1024)
    gemm = {
        dtype: roofs.gemm_flop_per_s(
            shape.width, dtype=getattr(torch, dtype), device=device, rows=rows, seconds=seconds
        )
        for dtype in DTYPES
    }
    copy = roofs.copy_bytes_per_s(device=device, megabytes=megabytes, seconds=seconds)
    found: dict[str, Any] = {"measured": {"gemm_flop_per_s": gemm, **_tokens_per_s(shape, max(gemm.values()), copy)}}
    known = roofs.nominal(torch.cuda.get_device_name(0)) if device == "cuda" else None
    if known:
        found["nominal"] = _tokens_per_s(shape, *known)
    return found


def _tokens_per_s(shape: ModelShape, flop_per_s: float, bytes_per_s: float) -> dict[str, float]:
    return {
        "flop_per_s": flop_per_s,
        "bytes_per_s": bytes_per_s,
        "arithmetic_tokens_per_s": flop_per_s / flop_per_token(shape.num_layers, shape.width, 512),
        "memory_tokens_per_s": bytes_per_s / moved_bytes_per_token(shape.num_layers, shape.width),
    }


def _measure_dtype(
    shape: ModelShape, folder: Path, dtype: str, limits: dict[str, Any], arguments: Namespace
) -> dict[str, Any]:
    library = esmkit.load(folder, device=arguments.device, dtype=dtype)
    hugging_face = _transformers(folder, dtype, arguments.device)
    content: dict[str, Any] = {
        "batch_tokens": library.engine.batch_tokens,
        "attention": library.provenance["attention"],
        "latency": _measure_latency(library, quick=arguments.quick),
        "workloads": {},
    }
    for name, records in _workloads(shape, quick=arguments.quick).items():
        content["workloads"][name] = _measure_workload(library, hugging_face, records, limits, arguments)
    if arguments.profile:
        step = peers.esmkit_step(library, list(_workloads(shape, quick=arguments.quick)["mix"])[:32])
        content["profile"] = profiling.profile_step(step, device=arguments.device)
        print(f"\n{folder.name}, {dtype}\n\n{profiling.as_markdown(content['profile'])}")
    return content


def _measure_latency(library: esmkit.Model, *, quick: bool) -> dict[str, Any]:
    """One sequence at a time, tokens in and its mean embedding out, with CUDA graphs and without, in turn.

    `graphs` says whether one was replayed: never on a CPU, where both runners are the same.
    """
    (record,) = cuts(proteins(), [LATENCY_TOKENS - 2])
    rows, outputs = [Row(tokenize(record.sequence))], build(["mean"], library.shape, OutputOptions())
    module, backend = library.engine.loaded.module, library.engine.runner.backend
    runners = {
        name: Runner(module, library.shape, backend=backend, graphs=graphs)
        for name, graphs in (("graphs", True), ("eager", False))
    }
    answers: dict[str, Array] = {}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for call in range(QUICK_CALLS if quick else CALLS):
        for name, runner in runners.items():
            started = time.perf_counter()
            (parts,) = runner.run(rows, [record.id], outputs)
            seconds[name].append(time.perf_counter() - started)
            assert not isinstance(parts, EsmkitError), parts
            answers[name] = next(iter(parts.values()))
        _assert_agreement("replayed", answers["graphs"], "eager", answers["eager"])
        if call < WARM_CALLS:  # eager, recorded, replayed for the first time
            for values in seconds.values():
                values.clear()
    replaying = runners["graphs"].features
    found = isinstance(replaying, Graphs) and any(each is not None for each in replaying.recordings.values())
    for name, values in seconds.items():
        say(f"  {name:20} {median(values) * 1e3:8.3f} ms for one sequence of {LATENCY_TOKENS} tokens")
    return {
        "tokens": LATENCY_TOKENS,
        "graphs": found,
        "seconds": {name: [round(value, 7) for value in values] for name, values in seconds.items()},
    }


def _assert_agreement(name: str, found: Array, reference: str, expected: Array) -> None:
    difference, scale = largest_difference(found, expected)
    if not difference <= AGREEMENT * scale:
        raise SystemExit(f"bench: {name} and {reference} differ by {difference:.2e}, the largest value is {scale:.2e}")


def _transformers(folder: Path, dtype: str, device: str) -> dict[str, Transformers]:
    kinds = {BASELINE: "sdpa"}
    if device == "cuda" and find_spec("flash_attn"):
        kinds["transformers_flash"] = "flash_attention_2"
    return {
        name: Transformers(folder, attention=kind, device=device, dtype=getattr(torch, dtype))
        for name, kind in kinds.items()
    }


def _workloads(shape: ModelShape, *, quick: bool) -> dict[str, list[Record]]:
    """Rows of one length each (cls and eos included), and the real mix; about a second of work each."""
    tokens = int(min(MOST_TOKENS, WORK_FLOP / flop_per_token(shape.num_layers, shape.width, 512)))
    if quick:
        return {"32": list(cuts(proteins(), [30] * (QUICK_TOKENS // 32))), "mix": list(many(proteins(), QUICK_TOKENS))}
    fixed = {str(length): list(cuts(proteins(), [length - 2] * (tokens // length))) for length in LENGTHS}
    return {**fixed, "mix": list(many(proteins(), tokens))}


def _measure_workload(
    library: esmkit.Model,
    hugging_face: dict[str, Transformers],
    records: Sequence[Record],
    limits: dict[str, Any],
    arguments: Namespace,
) -> dict[str, Any]:
    measured = [peers.esmkit_library(library, records), _device_only(library, records)]
    measured += [_pretokenized(peer, name, library, records) for name, peer in hugging_face.items()]
    answers = {peer.name: peer.run()[0] for peer in measured}
    expected = answers.pop("esmkit")
    for name, found in answers.items():
        _assert_agreement(name, found, "esmkit", expected)
    if arguments.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = alternate(measured, arguments.rounds, before_round=lambda: None)
    peak = torch.cuda.max_memory_allocated() if arguments.device == "cuda" else None
    return {"sequences": len(records), "peak_bytes": peak, "runs": _runs(measured, seconds, records, library, limits)}


def _device_only(library: esmkit.Model, records: Sequence[Record]) -> Peer:
    """The batches of the engine one after the other, already tokenized: what the GPU path takes by itself."""
    lengths = token_lengths(records)
    batches = pack(lengths, library.engine.batch_tokens)
    steps = [peers.esmkit_step(library, [records[index] for index in batch]) for batch in batches]

    def compute() -> Array:
        sums = np.zeros((len(records), library.width), dtype=np.float32)
        for batch, step in zip(batches, steps, strict=True):
            for index, parts in zip(batch, step(), strict=True):
                assert not isinstance(parts, EsmkitError), parts
                sums[index] = next(iter(parts.values()))
        means: Array = sums / (np.array(lengths)[:, None] - 2)
        return means

    return Peer("esmkit_steps", "Runner.run batch by batch, tokenized beforehand", timed("esmkit_steps", compute))


def _pretokenized(peer: Transformers, name: str, library: esmkit.Model, records: Sequence[Record]) -> Peer:
    """Sorted batches of the engine's budget, tokenized beforehand, which spares this peer its tokenizer."""
    lengths = token_lengths(records)
    batches = policies.sorted_by_length(lengths, library.engine.batch_tokens)
    tokens = [peer.tokenize([records[index].sequence for index in batch]) for batch in batches]

    def compute() -> Array:
        means = [peer.mean(batch) for batch in tokens]  # no wait for the GPU before all batches are under way
        embeddings = np.empty((len(records), library.width), dtype=np.float32)
        for batch, mean in zip(batches, means, strict=True):
            embeddings[batch] = mean.cpu().numpy()
        return embeddings

    what = f"sorted, at most {library.engine.batch_tokens:,} padded tokens per batch, tokenized beforehand"
    return Peer(name, what, timed(name, compute), policies.padding(lengths, batches))


def _runs(
    measured: Sequence[Peer],
    seconds: dict[str, list[float]],
    records: Sequence[Record],
    library: esmkit.Model,
    limits: dict[str, Any],
) -> dict[str, Any]:
    lengths = token_lengths(records)
    flop = flop_of(library.shape.num_layers, library.shape.width, lengths)
    roof = limits.get("nominal", limits["measured"])
    smaller = min(roof["arithmetic_tokens_per_s"], roof["memory_tokens_per_s"])
    runs = {}
    for peer in measured:
        values = seconds[peer.name]
        rate = sum(lengths) / median(values)
        runs[peer.name] = {
            "what": peer.what,
            "padding": round(peer.padding, 3),
            "seconds": [round(value, 5) for value in values],
            "tokens_per_s": rate,
            "flop_per_s": flop / median(values),
            "share_of_smaller_roof": rate / smaller,
            "ratio": ratio(values, seconds[BASELINE]),
        }
        say(f"  {peer.name:20} {rate:12,.0f} tokens/s  {rate / smaller:6.1%} of the smaller roof")
    return runs
