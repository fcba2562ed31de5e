"""Types of answers of `esmkit serve`: how long per-residue representations take as JSON and as numbers.

From the result cache, so that the model computes nothing: what is timed is to ask, to write, to send and to read. For
comparison also the time of the same request when the model has to compute.
"""

from __future__ import annotations

import io
import time
import zlib
from argparse import Namespace
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np
import orjson

import esmkit
from benches import load, weights
from benches.proteins import cuts, proteins, representative
from benches.results import say
from benches.served import served
from benches.timing import Array, Seconds, assert_equal

MODELS = ("8m", weights.WIDE)
ITEMS = 8
CACHE_BYTES = 2**31
Read = Callable[[memoryview], list[Array]]


def measure(arguments: Namespace) -> dict[str, Any]:
    """Every type at every width."""
    return {model: _measure(model, arguments) for model in MODELS}


def _measure(model: str, arguments: Namespace) -> dict[str, Any]:
    folder, shape = weights.folder_of(model, arguments.weights), weights.shape_of(model)
    lengths = [len(record.sequence) for record in representative(proteins(), ITEMS)]
    rounds = 1 if arguments.quick else arguments.rounds
    new = cuts(proteins(), lengths * (1 + rounds) * len(KINDS))
    library = esmkit.load(folder, device="cpu")
    timings: dict[str, list[Seconds]] = {kind: [] for kind in KINDS}
    checks = []
    cache = ("--cache-bytes", str(CACHE_BYTES))
    with served(folder, threads=arguments.threads, flags=cache) as server, load.Caller(server.port) as caller:
        for turn in range(1 + rounds):
            for kind, (headers, read) in KINDS.items():
                sequences = [next(new).sequence for _ in lengths]
                request = load.request_bytes(server.path, sequences, include=["per_token"], **headers)
                computed, arrays = _timed(caller, request, read)
                if turn == 0:  # warms up, and shows that all say the same
                    checks.append(_check(kind, arrays, library.embed(sequences, pool="per_residue")))
                    continue
                cached, _ = _timed(caller, request, read)
                timings[kind].append({**cached, "computed_s": computed["read_s"]})
    kinds = {kind: _medians(found) for kind, found in timings.items()}
    for kind, found in kinds.items():
        found["ratio"] = kinds["json"]["read_s"] / found["read_s"]
        say(
            f"width {shape.width}, {kind}: {found['bytes'] / 1e6:.1f} MB, received {found['received_s'] * 1e3:.1f} ms, "
            f"read {found['read_s'] * 1e3:.1f} ms ({found['ratio']:.1f}x), computed {found['computed_s'] * 1e3:.0f} ms"
        )
    about = {"width": shape.width, "layers": shape.num_layers, "items": ITEMS, "residues": sum(lengths)}
    return {**about, "checks": checks, "kinds": kinds}


def _timed(caller: load.Caller, request: bytes, read: Read) -> tuple[Seconds, list[Array]]:
    """Seconds until the last byte is here and until the numbers are arrays, with the size; and these arrays."""
    started = time.perf_counter()
    answer = caller.call(request)
    received_s = time.perf_counter() - started
    arrays = read(load.body_of(answer))
    return {"received_s": received_s, "read_s": time.perf_counter() - started, "bytes": len(answer)}, arrays


def _check(kind: str, found: list[Array], expected: list[Array]) -> dict[str, Any]:
    relative = 1e-3 if "float16" in kind else 1e-4
    return assert_equal(kind, np.concatenate(found), np.concatenate(expected), against="esmkit", relative=relative)


def _medians(rounds: list[Seconds]) -> Seconds:
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def _read_json(body: memoryview) -> list[Array]:
    """By the fastest reader there is; Python's own takes several times as long."""
    results = orjson.loads(body)["results"]
    return [np.array(result["per_token_embeddings"][0]["embeddings"], dtype=np.float32) for result in results]


def _read_gzip(body: memoryview) -> list[Array]:
    return _read_json(memoryview(zlib.decompress(body, wbits=31)))


def _read_npz(body: memoryview) -> list[Array]:
    with np.load(io.BytesIO(body)) as arrays:
        return [arrays[name] for name in arrays if name != "esmkit"]


def _read_safetensors(body: memoryview) -> list[Array]:
    from safetensors.numpy import load as read

    arrays = read(bytes(body))
    return [arrays[name] for name in sorted(arrays, key=lambda name: int(name.partition("/")[0]))]


def _read_arrow(body: memoryview) -> list[Array]:
    import pyarrow as pa

    table = pa.ipc.open_stream(body).read_all()
    (shapes,) = (name for name in table.column_names if name.endswith("_shape"))
    items = zip(table[shapes.removesuffix("_shape")], table[shapes].to_pylist(), strict=True)
    return [item.values.to_numpy().reshape(shape) for item, shape in items]


KINDS: Mapping[str, tuple[dict[str, str], Read]] = {
    "json": ({}, _read_json),
    "json, gzip": ({"encoding": "gzip"}, _read_gzip),
    "npz, float32": ({"accept": "application/x-npz"}, _read_npz),
    "safetensors, float32": ({"accept": "application/x-safetensors"}, _read_safetensors),
    "safetensors, float16": ({"accept": "application/x-safetensors; dtype=float16"}, _read_safetensors),
    "arrow, float32": ({"accept": "application/vnd.apache.arrow.stream"}, _read_arrow),
}
