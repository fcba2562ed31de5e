"""`scripts/bench http`: `esmkit serve` under load, against the engine alone; its latency, its answers, its memory."""

from __future__ import annotations

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
from benches import answers, child, load, peers, weights
from benches.proteins import proteins, representative, write_fasta
from benches.results import say
from benches.served import Served, served, watched
from benches.timing import Array, Peer, Seconds, alternate, assert_equal, ratio
from esmkit.types import Record

MODEL = "8m"
CLIENTS = 64
QUICK_SEQUENCES = 64
CACHE_BYTES = 2**27
SHORT = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEV"
CALLS = 20
"""Calls of each kind before the next kind has its turn."""
BLOCKS = 15
PER_RESIDUE_EVERY = 8
MIB = 2**20


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
        embeddings = [_embedding(body) for body in self._answers.read_bytes().splitlines()]
        return np.array(embeddings, dtype=np.float32), {"http": run["seconds"]}


def rate(arguments: Namespace) -> dict[str, Any]:
    """Many clients with one sequence each, against the engine with all of them at once."""
    records = representative(proteins(), QUICK_SEQUENCES if arguments.quick else len(proteins()))
    residues = sum(len(record.sequence) for record in records)
    folder = weights.folder_of(MODEL, arguments.weights)
    offline = peers.esmkit_library(esmkit.load(folder, device="cpu"), records)
    with tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch:
        with served(folder, threads=arguments.threads) as server:
            clients = Clients(server, records, Path(scratch))
            online = Peer("http", f"{CLIENTS} clients, single sequences", clients.run)
            check = assert_equal("http", online.run()[0], offline.run()[0], against="esmkit")
            clients.runs.clear()  # that was to warm up
            seconds = alternate([offline, online], arguments.rounds, before_round=lambda: None)
        cached = _without_model(folder, records, Path(scratch), arguments)
    # As if the clients ran elsewhere: a run is shorter by their processor time, spread over all cores.
    cores = len(os.sched_getaffinity(0))
    elsewhere = [run["seconds"] - run["processor_s"]["clients"] / cores for run in clients.runs]
    latencies = quantiles([value for run in clients.runs for value in run["latencies_s"]], n=100)
    content = {
        "weights": "random" if weights.are_random(folder) else str(folder),
        "sequences": {"count": len(records), "residues": residues},
        "clients": CLIENTS,
        "checks": [check],
        "seconds": seconds,
        "engine_residues_per_s": residues / median(seconds["esmkit"]),
        "residues_per_s": residues / median(seconds["http"]),
        "share": ratio(seconds["http"], seconds["esmkit"]),
        "share_with_clients_elsewhere": ratio(elsewhere, seconds["esmkit"]),
        "processor_s": _by_role(clients.runs),
        "latency_s": {"p50": latencies[49], "p95": latencies[94], "p99": latencies[98]},
        "cached": cached,
    }
    say(
        f"{CLIENTS} clients: {content['residues_per_s']:,.0f} residues/s, {content['share']:.1%} of the engine "
        f"({content['share_with_clients_elsewhere']:.1%} with the clients elsewhere); processor s "
        f"{content['processor_s']}; latency s {content['latency_s']}; from the cache "
        f"{cached['requests_per_s']:,.0f} requests/s"
    )
    return content


def _without_model(folder: Path, records: Sequence[Record], scratch: Path, arguments: Namespace) -> dict[str, Any]:
    """The same from the result cache: what the server itself can do, however fast the model is."""
    with served(folder, threads=arguments.threads, flags=("--cache-bytes", str(CACHE_BYTES))) as server:
        clients = Clients(server, records, scratch)
        for _ in range(1 + arguments.rounds):
            clients.run()
    runs = clients.runs[1:]
    return {
        "requests_per_s": len(records) / median(run["seconds"] for run in runs),
        "processor_s": _by_role(runs),
    }


def _by_role(runs: Sequence[Mapping[str, Any]]) -> Seconds:
    """Median processor seconds of a run."""
    return {role: round(median(run["processor_s"][role] for run in runs), 4) for role in runs[0]["processor_s"]}


def _embedding(body: bytes | memoryview) -> list[float]:
    found: list[float] = json.loads(bytes(body))["results"][0]["embeddings"][0]["embedding"]
    return found


def latency(arguments: Namespace) -> dict[str, Any]:
    """One client, one short sequence at a time, against the same batch on the engine's runner, and the whole engine."""
    folder = weights.folder_of(MODEL, arguments.weights)
    library, record = esmkit.load(folder, device="cpu"), Record(0, "short", SHORT)
    with served(folder, threads=arguments.threads) as server, load.Caller(server.port) as caller:
        request = load.request_bytes(server.path, [SHORT])
        answer = np.array([_embedding(load.body_of(caller.call(request)))], dtype=np.float32)
        check = assert_equal("http", answer, peers.embed(library, [record]), against="esmkit")
        kinds: dict[str, Callable[[], object]] = {
            "runner": peers.esmkit_step(library, [record]),
            "engine": lambda: peers.embed(library, [record]),
            "http": lambda: load.body_of(caller.call(request)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(2 if arguments.quick else BLOCKS):
            for name, call in kinds.items():
                seconds[name] += _each(call)
    p50 = {name: median(values) for name, values in seconds.items()}
    p95 = {name: quantiles(values, n=20)[18] for name, values in seconds.items()}
    say("one short sequence, p50: " + ", ".join(f"{name} {value * 1e3:.2f} ms" for name, value in p50.items()))
    about = {"residues": len(SHORT), "calls": len(seconds["http"]), "turn": CALLS, "checks": [check]}
    return {**about, "p50_s": p50, "p95_s": p95, "added_s": p50["http"] - p50["runner"]}


def _each(call: Callable[[], object]) -> list[float]:
    call()  # after a change of turns everything is cold
    seconds = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def memory(arguments: Namespace) -> dict[str, Any]:
    """Memory of server and runner under load for minutes: embeddings, and now and then representations as JSON."""
    folder = weights.folder_of(MODEL, arguments.weights)
    seconds = 60 * arguments.minutes
    with (
        tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch,
        served(folder, threads=arguments.threads) as server,
        watched(server) as samples,
    ):
        fasta = write_fasta(proteins(), Path(scratch, "input.fasta"))
        where = {"port": server.port, "path": server.path, "fasta": str(fasta), "clients": CLIENTS}
        asked = {"seconds": seconds, "per_residue_every": PER_RESIDUE_EVERY}
        sent = child.run("benches.load", "keep_sending", **where, **asked)
    steady = [sample for sample in samples if sample["at_s"] >= seconds / 10]  # before, pools and caches fill
    roles = {role: _trend(steady, role) for role in server.pids}
    for role, trend in roles.items():
        say(
            f"{role} over {arguments.minutes:g} minutes: {trend['first_bytes'] / MIB:.1f} to "
            f"{trend['last_bytes'] / MIB:.1f} MiB, {trend['slope_bytes_per_min'] / MIB:+.3f} MiB/min"
        )
    about = {"minutes": arguments.minutes, "clients": CLIENTS, "requests": sent["requests"]}
    return {**about, "per_residue_every": PER_RESIDUE_EVERY, "roles": roles, "samples": samples[::10]}


def _trend(samples: Sequence[Mapping[str, float]], role: str) -> dict[str, float]:
    """Mean of the first and of the last fifth of the samples, the line through all, and the largest."""
    at_s, held = (np.array([sample[name] for sample in samples]) for name in ("at_s", role))
    fifth = max(1, len(held) // 5)
    first, last = float(held[:fifth].mean()), float(held[-fifth:].mean())
    slope = float(np.polyfit(at_s / 60, held, 1)[0])
    found = {"first_bytes": first, "last_bytes": last, "growth": last / first}
    return {**found, "slope_bytes_per_min": slope, "peak_bytes": float(held.max())}


PARTS: Mapping[str, Callable[[Namespace], dict[str, Any]]] = {
    "rate": rate,
    "latency": latency,
    "answers": answers.measure,
    "memory": memory,
}
