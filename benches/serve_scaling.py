"""`python -m benches.serve_scaling OUT`: replicas of `esmkit serve --ray` under a scripted load, from none to none.

Writes OUT.csv with one line per half second, OUT.json with what was asked and answered, and OUT.png with both.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from benches.proteins import proteins, representative

SCRIPT = ((0, 5), (2, 25), (24, 90), (2, 30), (0, 40))
"""Clients, and for how many seconds; each sends its next request when the last one is answered."""
SAMPLE_S = 0.5
ITEMS = 8
RESIDUES = 400
START_S = 120
SETTINGS = {
    "ray": "local",
    "ray-replicas": "0-4",
    "ray-cpus": "0.25",
    "ray-target-tokens": "4096",
    "ray-upscale-s": "2",
    "ray-downscale-s": "10",
    "ray-idle-s": "15",
    "threads": "1",
}
_REPLICAS = re.compile(r'esmkit_replicas\{model="[^"]+"\} (\S+)')
_QUEUED = re.compile(r'esmkit_queue_tokens\{model="[^"]+"\} (\S+)')


@dataclass(slots=True)
class Sample:
    """The server at one moment: seconds since the start, and what had been asked and answered by then."""

    at_s: float
    clients: int
    replicas: int
    queued_tokens: int
    answered: int
    failed: int


@dataclass(slots=True)
class Record:
    """Everything that was seen."""

    samples: list[Sample] = field(default_factory=list)
    latencies_s: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    clients: int = 0


def main() -> None:
    """Runs the script and writes what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="files to write, without ending")
    parser.add_argument("--model", default="esm2-mini")
    parser.add_argument("--port", type=int, default=8765)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    flags = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    own = ["--model", arguments.model, "--port", str(arguments.port), "--probe-interval-s", "3600"]
    command = [sys.executable, "-m", "esmkit", "serve", *own, *flags]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as server:
        try:
            record = asyncio.run(_measure(f"http://127.0.0.1:{arguments.port}", arguments.model))
        finally:
            os.kill(server.pid, signal.SIGTERM)
    summary = _summary(record)
    _write(arguments.out, record, summary)
    print(json.dumps(summary, indent=1))


async def _measure(url: str, model: str) -> Record:
    record = Record()
    bodies = _bodies()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client:
        await _until_ready(client)
        started_s = time.perf_counter()
        watching = asyncio.create_task(_watch(client, record, started_s))
        for clients, seconds in SCRIPT:
            record.clients = clients
            until_s = time.perf_counter() + seconds
            path = f"/api/v3/{model}/encode/"
            await asyncio.gather(
                *(
                    _ask(client, path, bodies[number:] + bodies[:number], record, started_s, until_s)
                    for number in range(clients)
                )
            )
            await asyncio.sleep(max(0.0, until_s - time.perf_counter()))
        watching.cancel()
    return record


def _bodies() -> list[dict[str, Any]]:
    items = [{"sequence": record.sequence[:RESIDUES]} for record in representative(proteins(), 64 * ITEMS)]
    return [{"items": items[start : start + ITEMS]} for start in range(0, len(items), ITEMS)]


async def _until_ready(client: httpx.AsyncClient) -> None:
    deadline_s = time.perf_counter() + START_S
    while time.perf_counter() < deadline_s:
        try:
            if (await client.get("/health/ready")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("the server does not start")


async def _ask(
    client: httpx.AsyncClient, path: str, bodies: list[Any], record: Record, started_s: float, until_s: float
) -> None:
    number = 0
    while (asked_s := time.perf_counter()) < until_s:
        body = bodies[number % len(bodies)]
        number += 1
        try:
            answer = await client.post(path, json=body)
        except httpx.TransportError as error:
            record.failures.append(repr(error))
            continue
        if answer.status_code == 200 and len(answer.json()["results"]) == len(body["items"]):
            record.latencies_s.append((asked_s - started_s, time.perf_counter() - asked_s))
        else:
            record.failures.append(f"{answer.status_code} {answer.text[:200]}")


async def _watch(client: httpx.AsyncClient, record: Record, started_s: float) -> None:
    while True:
        text = (await client.get("/metrics")).text
        replicas, queued = _REPLICAS.search(text), _QUEUED.search(text)
        assert replicas is not None
        assert queued is not None
        record.samples.append(
            Sample(
                round(time.perf_counter() - started_s, 2),
                record.clients,
                int(float(replicas[1])),
                int(float(queued[1])),
                len(record.latencies_s),
                len(record.failures),
            )
        )
        await asyncio.sleep(SAMPLE_S)


def _summary(record: Record) -> dict[str, Any]:
    seconds = [latency for _, latency in record.latencies_s]
    cuts = quantiles(seconds, n=100)
    return {
        "answered": len(seconds),
        "failed": len(record.failures),
        "failures": record.failures[:5],
        "first_answer_s": round(min(record.latencies_s)[1], 2),
        "p50_s": round(cuts[49], 3),
        "p95_s": round(cuts[94], 3),
        "most_replicas": max(sample.replicas for sample in record.samples),
        "replicas_at_start": record.samples[0].replicas,
        "replicas_at_end": record.samples[-1].replicas,
        "script": SCRIPT,
        "settings": SETTINGS,
    }


def _write(out: Path, record: Record, summary: dict[str, Any]) -> None:
    rows = [asdict(sample) for sample in record.samples]
    with out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    out.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    _draw(out.with_suffix(".png"), record, summary)


def _draw(path: Path, record: Record, summary: dict[str, Any]) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    samples = record.samples
    at_s = [sample.at_s for sample in samples]
    figure, (load, replicas, latency) = plt.subplots(3, sharex=True, figsize=(9, 6.4), layout="constrained")
    load.fill_between(at_s, [sample.queued_tokens for sample in samples], color="#9ecae1", label="queued tokens")
    load.set_ylabel("queued tokens")
    clients = load.twinx()
    clients.step(at_s, [sample.clients for sample in samples], where="post", color="#444444", label="clients")
    clients.set_ylabel("clients")
    clients.set_ylim(0, 1.2 * max(sample.clients for sample in samples))
    load.set_ylim(0, None)
    lines = [*load.get_legend_handles_labels()[0], *clients.get_legend_handles_labels()[0]]
    load.legend(lines, ["queued tokens", "clients"], loc="upper right", frameon=False)
    replicas.step(at_s, [sample.replicas for sample in samples], where="post", color="#08519c", linewidth=2)
    replicas.set_ylabel("replicas ready")
    replicas.set_ylim(0, None)
    latency.scatter(*zip(*record.latencies_s, strict=True), s=6, color="#54278f")
    latency.set_yscale("log")
    latency.set_ylabel("latency (s)")
    latency.set_xlabel("seconds")
    failed = summary["failed"]
    load.set_title(f"{summary['answered']} requests answered, {failed} failed", loc="left")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
