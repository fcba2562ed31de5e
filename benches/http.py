"""`scripts/bench http`: `esmkit serve` under load, against the engine alone; its latency, its answers, its memory."""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch

import esmkit
from benches import child, load, peers, weights
from benches.proteins import cuts, proteins, representative, write_fasta
from benches.results import say
from benches.served import Served, served, watched
from benches.timing import Array, Peer, Seconds, alternate, assert_equal, ratio
from esmkit.types import Record

MODEL = "8m"
CLIENTS = 64
SHORT = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEV"
CALLS = 20
"""Calls of each kind before the other kind has its turn."""
BLOCKS = 15
ANSWER_MODELS = (MODEL, weights.WIDE)
ITEMS = 8
CACHE_BYTES = 2**30
PER_RESIDUE_EVERY = 8
MIB = 2**20

Parts = Mapping[str, Callable[[Namespace], dict[str, Any]]]


def measure(arguments: Namespace) -> dict[str, Any]:
    """The parts asked for; what is written to the result file."""
    torch.set_num_threads(arguments.threads)
    return {"parts": {name: PARTS[name](arguments) for name in arguments.parts or PARTS}}


class Clients:
    """Many clients at a server, each sending one sequence at a time, as a peer of the engine.

    Attributes:
        runs: of every run its seconds, latencies, and processor seconds of clients, server and runner.
    """

    def __init__(self, server: Served, records: Sequence[Record], scratch: Path) -> None:
        self._server, self._answers = server, scratch / "answers"
        self._fasta = write_fasta(records, scratch / "input.fasta")
        self.runs: list[dict[str, Any]] = []

    def run(self) -> tuple[Array, Seconds]:
        """Every sequence once; the embeddings in the order of the records."""
        before = self._server.processor_s()
        where = {"port": self._server.port, "path": self._server.path, "fasta": str(self._fasta)}
        run = child.run("benches.load", "send_all", clients=CLIENTS, answers=str(self._answers), **where)
        taken = {role: after - before[role] for role, after in self._server.processor_s().items()}
        self.runs.append({**run, "processor_s": {"clients": run["processor_s"], **taken}})
        bodies = [json.loads(line) for line in self._answers.read_bytes().splitlines()]
        embeddings = [body["results"][0]["embeddings"][0]["embedding"] for body in bodies]
        return np.array(embeddings, dtype=np.float32), {"http": run["seconds"]}


def rate(arguments: Namespace) -> dict[str, Any]:
    """Many clients with one sequence each, against the engine with all of them at once."""
    records = representative(proteins(), 64 if arguments.quick else len(proteins()))
    residues = sum(len(record.sequence) for record in records)
    folder = weights.folder_of(MODEL, arguments.weights)
    offline = peers.esmkit_library(esmkit.load(folder, device="cpu"), records)
    with (
        tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch,
        served(folder, threads=arguments.threads) as server,
    ):
        clients = Clients(server, records, Path(scratch))
        online = Peer("http", f"{CLIENTS} clients, single sequences", clients.run)
        check = assert_equal("http", online.run()[0], offline.run()[0], against="esmkit")
        clients.runs.clear()
        seconds = alternate([offline, online], arguments.rounds, before_round=lambda: None)
    cores = len(os.sched_getaffinity(0))
    # As if the clients ran elsewhere: a run is shorter by their processor time, spread over all cores.
    remote = [run["seconds"] - run["processor_s"]["clients"] / cores for run in clients.runs]
    latencies = quantiles([value for run in clients.runs for value in run["latencies_s"]], n=100)
    content = {
        "weights": "random" if weights.are_random(folder) else str(folder),
        "sequences": {"count": len(records), "residues": residues},
        "clients": CLIENTS,
        "checks": [check],
        "seconds": seconds,
        "offline_residues_per_s": residues / median(seconds["esmkit"]),
        "residues_per_s": residues / median(seconds["http"]),
        "share": ratio(seconds["http"], seconds["esmkit"]),
        "share_remote": ratio(remote, seconds["esmkit"]),
        "processor_s": {role: [run["processor_s"][role] for run in clients.runs] for role in ("clients", *server.pids)},
        "latency_s": {"p50": latencies[49], "p95": latencies[94], "p99": latencies[98]},
    }
    say(
        f"{CLIENTS} clients: {content['residues_per_s']:,.0f} residues/s, {content['share']:.1%} of the engine "
        f"({content['share_remote']:.1%} without the clients); processor s {content['processor_s']}; "
        f"latency {content['latency_s']}"
    )
    return content


def latency(arguments: Namespace) -> dict[str, Any]:
    """One client, one short sequence at a time, against the same batch on the engine's runner and the whole engine."""
    folder = weights.folder_of(MODEL, arguments.weights)
    library, record = esmkit.load(folder, device="cpu"), Record(0, "short", SHORT)
    step = peers.esmkit_step(library, [record])
    with served(folder, threads=arguments.threads) as server:
        caller = load.Caller(server.port)
        request = load.request_bytes(server.path, [SHORT])
        answer = json.loads(load.body_of(caller.call(request)))["results"][0]["embeddings"][0]["embedding"]
        expected = peers.embed(library, [record])
        check = assert_equal("http", np.array([answer], np.float32), expected, against="esmkit")
        kinds: dict[str, Callable[[], object]] = {
            "runner": step,
            "engine": lambda: peers.embed(library, [record]),
            "http": lambda: load.body_of(caller.call(request)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(2 if arguments.quick else BLOCKS):
            for name, call in kinds.items():
                seconds[name] += _each(call)
        caller.close()
    p50 = {name: median(values) for name, values in seconds.items()}
    say("one short sequence, p50: " + ", ".join(f"{name} {value * 1e3:.2f} ms" for name, value in p50.items()))
    return {
        "residues": len(SHORT),
        "checks": [check],
        "calls": len(seconds["http"]),
        "p50_s": p50,
        "p95_s": {name: quantiles(values, n=20)[18] for name, values in seconds.items()},
        "added_s": p50["http"] - p50["runner"],
    }


def _each(call: Callable[[], object]) -> list[float]:
    call()  # after a change of turns everything is cold
    seconds = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def answers(arguments: Namespace) -> dict[str, Any]:
    """Representations of all residues in every type of answer, from the result cache and computed."""
    return {model: _answers_of(model, arguments) for model in ANSWER_MODELS}


def _answers_of(model: str, arguments: Namespace) -> dict[str, Any]:
    folder = weights.folder_of(model, arguments.weights)
    shape = weights.shape_of(model)
    lengths = [len(record.sequence) for record in representative(proteins(), ITEMS)]
    rounds = 1 if arguments.quick else arguments.rounds
    fresh = cuts(proteins(), lengths * (1 + rounds) * len(KINDS))
    library = esmkit.load(folder, device="cpu")
    timings: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    checks = []
    flags = ("--cache-bytes", str(CACHE_BYTES))
    with served(folder, threads=arguments.threads, flags=flags) as server:
        caller = load.Caller(server.port)
        for turn in range(1 + rounds):
            for kind, (headers, read) in KINDS.items():
                sequences = [next(fresh).sequence for _ in lengths]
                params = {"include": ["per_token"]}
                request = load.request_bytes(server.path, sequences, params=params, **headers)
                computed, arrays = _timed(caller, request, read)
                if turn == 0:  # warms up, and shows that all say the same
                    expected = np.concatenate(library.embed(sequences, pool="per_residue"))
                    bound = 1e-3 if "float16" in kind else 1e-4
                    found = np.concatenate(arrays)
                    checks.append(assert_equal(kind, found, expected, against="esmkit", relative=bound))
                    continue
                cached, _ = _timed(caller, request, read)
                for name, value in {**cached, "computed_s": computed["read_s"]}.items():
                    timings[kind].setdefault(name, []).append(value)
        caller.close()
    kinds = {kind: {name: median(values) for name, values in found.items()} for kind, found in timings.items()}
    for kind, found in kinds.items():
        found["ratio"] = kinds["json"]["read_s"] / found["read_s"]
        say(
            f"{shape.width} wide, {kind}: {found['bytes'] / 1e6:.1f} MB, received {found['received_s'] * 1e3:.1f} ms, "
            f"read {found['read_s'] * 1e3:.1f} ms ({found['ratio']:.1f}x), computed {found['computed_s'] * 1e3:.0f} ms"
        )
    return {
        "width": shape.width,
        "layers": shape.num_layers,
        "items": ITEMS,
        "residues": sum(lengths),
        "checks": checks,
        "kinds": kinds,
    }


def _timed(caller: load.Caller, request: bytes, read: Callable[[bytes], list[Array]]) -> tuple[Seconds, list[Array]]:
    """Seconds until the last byte is here and until the numbers are arrays, and these."""
    started = time.perf_counter()
    answer = caller.call(request)
    received_s = time.perf_counter() - started
    arrays = read(load.body_of(answer))
    return {"received_s": received_s, "read_s": time.perf_counter() - started, "bytes": len(answer)}, arrays


def _read_json(body: bytes) -> list[Array]:
    import orjson  # the fastest there is; Python's own takes several times as long

    results = orjson.loads(body)["results"]
    return [np.array(result["per_token_embeddings"][0]["embeddings"], dtype=np.float32) for result in results]


def _read_gzip(body: bytes) -> list[Array]:
    import zlib

    return _read_json(zlib.decompress(body, wbits=31))


def _read_npz(body: bytes) -> list[Array]:
    with np.load(io.BytesIO(body)) as arrays:
        return [arrays[name] for name in arrays if name != "esmkit"]


def _read_safetensors(body: bytes) -> list[Array]:
    from safetensors.numpy import load as read

    arrays = read(body)
    return [arrays[name] for name in sorted(arrays, key=lambda name: int(name.partition("/")[0]))]


def _read_arrow(body: bytes) -> list[Array]:
    import pyarrow as pa

    table = pa.ipc.open_stream(body).read_all()
    name = next(name for name in table.column_names if name.startswith("per_residue_") and not name.endswith("_shape"))
    shapes = table[f"{name}_shape"].to_pylist()
    return [
        item.values.to_numpy().reshape(shape) for item, shape in zip(table[name], shapes, strict=True)
    ]


KINDS: Mapping[str, tuple[dict[str, str], Callable[[bytes], list[Array]]]] = {
    "json": ({}, _read_json),
    "json, gzip": ({"encoding": "gzip"}, _read_gzip),
    "npz, float32": ({"accept": "application/x-npz"}, _read_npz),
    "safetensors, float32": ({"accept": "application/x-safetensors"}, _read_safetensors),
    "safetensors, float16": ({"accept": "application/x-safetensors; dtype=float16"}, _read_safetensors),
    "arrow, float32": ({"accept": "application/vnd.apache.arrow.stream"}, _read_arrow),
}


def memory(arguments: Namespace) -> dict[str, Any]:
    """Memory of server and runner under load for minutes: embeddings, and now and then representations as JSON."""
    folder = weights.folder_of(MODEL, arguments.weights)
    seconds = 60 * arguments.minutes
    with (
        tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch,
        served(folder, threads=arguments.threads) as server,
    ):
        fasta = write_fasta(proteins(), Path(scratch, "input.fasta"))
        where = {"port": server.port, "path": server.path, "fasta": str(fasta)}
        with watched(server) as samples:
            sent = child.run(
                "benches.load",
                "keep_sending",
                clients=CLIENTS,
                seconds=seconds,
                per_residue_every=PER_RESIDUE_EVERY,
                **where,
            )
    # The first tenth fills what is filled once: pools of memory, threads, caches.
    steady = [sample for sample in samples if sample["at_s"] >= seconds / 10]
    roles = {role: _trend(steady, role) for role in server.pids}
    for role, trend in roles.items():
        say(
            f"{role} over {arguments.minutes:g} minutes: {trend['first_bytes'] / MIB:.1f} to "
            f"{trend['last_bytes'] / MIB:.1f} MiB, {trend['slope_bytes_per_min'] / MIB:+.3f} MiB/min"
        )
    return {"minutes": arguments.minutes, "requests": sent["requests"], "roles": roles, "samples": samples[::10]}


def _trend(samples: Sequence[Mapping[str, float]], role: str) -> dict[str, float]:
    """First and last fifth of the samples, and the line through all."""
    minutes, held = (np.array([sample[name] for sample in samples]) for name in ("at_s", role))
    fifth = max(1, len(held) // 5)
    first, last = float(np.mean(held[:fifth])), float(np.mean(held[-fifth:]))
    slope = float(np.polyfit(minutes / 60, held, 1)[0])
    peak = float(held.max())
    return {
        "first_bytes": first,
        "last_bytes": last,
        "growth": last / first,
        "slope_bytes_per_min": slope,
        "peak_bytes": peak,
    }


PARTS: Parts = {"rate": rate, "latency": latency, "answers": answers, "memory": memory}
