"""`scripts/bench ray_files`: `esmkit embed --ray` beside `esmkit embed`, and a run on several workers that loses one.

The overhead is processor time per residue of the process that computes: one worker of T threads beside `esmkit embed
--threads T`, in turn, from the first finished shard to the one before the last. What the command and Ray's own
processes take beside it is apart: it goes by the clock, not by residues or workers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benches import weights
from benches.proteins import many, proteins, write_fasta
from benches.results import say
from esmkit.inputs import open_records

RESIDUES, SHARDS = 100_000, 10
COUNT, COUNT_SHARD_RESIDUES = 20_000, 200_000
QUICK_SHARE = 0.1
WORKER = b"ray::MapWorker(MapBatches(ShardWorker))"
PARTS = {"overhead": "_overhead", "lost": "_lost"}


def measure(arguments: Namespace) -> dict[str, Any]:
    """Both parts; what is written to the result file."""
    with tempfile.TemporaryDirectory(prefix="esmkit-bench-") as scratch:
        return {part: globals()[PARTS[part]](arguments, Path(scratch)) for part in arguments.parts or PARTS}


def _overhead(arguments: Namespace, scratch: Path) -> dict[str, Any]:
    residues = int(RESIDUES * (QUICK_SHARE if arguments.quick else 1))
    source = write_fasta(many(proteins(), residues), scratch / "input.fasta")
    ways: dict[str, list[str]] = {"esmkit embed": [], "esmkit embed --ray": ["--ray", "local", "--ray-workers", "1"]}
    paces: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    model = weights.folder_of("8m", arguments.weights)
    for _ in range(arguments.rounds):
        for way, extra in ways.items():
            options = ["--model", model, "--threads", arguments.threads, "--shard-residues", residues // SHARDS, *extra]
            paces[way].append(_pace(source, scratch / "out", options))
    plain, on_ray = ([pace["computing_s"] for pace in found] for found in paces.values())
    content = {
        "model": "8m",
        "threads": arguments.threads,
        "residues": residues,
        "shards": SHARDS,
        "paces": paces,
        "overhead": median(on_ray) / median(plain) - 1,
        "overhead_of_best": min(on_ray) / min(plain) - 1,
        "beside_cores": median(pace["beside_s"] / pace["wall_s"] for pace in paces["esmkit embed --ray"]),
    }
    for way, found in paces.items():
        best, middle = (1e6 * choose(pace["computing_s"] for pace in found) for choose in (min, median))
        wall = 1 / median(pace["wall_s"] for pace in found)
        say(f"{way}: {middle:.1f} us of a processor per residue, best {best:.1f}; {wall:,.0f} residues/s")
    say(
        f"overhead {content['overhead']:.1%}, of the best {content['overhead_of_best']:.1%}; "
        f"beside the worker {content['beside_cores']:.2f} processors, however many workers there are"
    )
    return content


def _pace(source: Path, out: Path, options: Sequence[Any]) -> dict[str, float]:
    """Seconds per residue while shards are computed, without loading and starting.

    Returns:
        `wall_s`; `computing_s`, processor time of the process that computes; `beside_s`, that of all others of the run.
    """
    shutil.rmtree(out, ignore_errors=True)
    process = subprocess.Popen(_command(source, out, options), stdout=subprocess.PIPE, text=True)
    marks: dict[int, tuple[float, dict[int, float], int]] = {}
    while process.poll() is None:
        shards = _shards(out)
        if shards and len(shards) not in marks:
            spent = {pid: _processor_s(pid) for pid in (process.pid, *_descendants(process.pid))}
            marks[len(shards)] = time.perf_counter(), spent, sum(shard["residues"] for shard in shards)
        time.sleep(0.02)
    process.communicate()
    if process.returncode:
        raise SystemExit(f"bench: esmkit embed {' '.join(map(str, options))} failed")
    first, last = marks[min(marks)], marks[max(number for number in marks if number < SHARDS)]
    residues = last[2] - first[2]
    spent = sorted((last[1][pid] - first[1].get(pid, 0.0) for pid in last[1]), reverse=True)
    seconds = {"wall_s": last[0] - first[0], "computing_s": spent[0], "beside_s": sum(spent[1:])}
    return {name: value / residues for name, value in seconds.items()}


def _shards(out: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads((out / "_manifest.json").read_text())["shards"]
    except FileNotFoundError:
        return []
    return found


def _processor_s(pid: int) -> float:
    """Of all its threads, in user and kernel mode; 0 when it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _embed(source: Path, out: Path, options: Sequence[Any]) -> float:
    """Seconds of one run, as its summary says: from after the imports to the last byte."""
    done = subprocess.run(_command(source, out, options), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: esmkit embed {' '.join(map(str, options))} failed:\n{done.stderr}")
    seconds: float = json.loads(done.stdout)["seconds"]
    return seconds


def _command(source: Path, out: Path, options: Sequence[Any]) -> list[str]:
    fixed = ["--device", "cpu", "--overwrite", "--quiet", "--json"]
    return [sys.executable, "-m", "esmkit", "embed", *map(str, [source, "--out", out, *fixed, *options])]


def _lost(arguments: Namespace, scratch: Path) -> dict[str, Any]:
    """The same run with one process, and with several workers of which one is killed in the middle of a shard."""
    count = int(COUNT * (QUICK_SHARE if arguments.quick else 1))
    given = open_records(arguments.proteins) if arguments.proteins else many(proteins(), sys.maxsize)
    short = (record for record in given if len(record.sequence) <= 2048)
    source = write_fasta(islice(short, count), scratch / "proteins.fasta")
    records = list(open_records(source))
    options = ["--model", weights.folder_of(weights.TINY, arguments.weights), "--threads", 1]
    options += ["--shard-residues", COUNT_SHARD_RESIDUES]
    one, several = scratch / "one", scratch / "several"
    single_s = _embed(source, one, options)
    with _cluster(arguments.workers) as address:
        started = time.perf_counter()
        process = subprocess.Popen(
            _command(source, several, [*options, "--ray", address]), stdout=subprocess.PIPE, text=True
        )
        killed = _kill_a_worker(several, process)
        summary = json.loads(process.communicate()[0])
        ray_s = time.perf_counter() - started
    digests = [{path.name: _sha256(path) for path in folder.iterdir()} for folder in (one, several)]
    if digests[0] != digests[1]:
        raise SystemExit("bench: the run on Ray gave other files than the single process")
    content = {
        "proteins": len(records),
        "residues": sum(len(record.sequence) for record in records),
        "real": arguments.proteins is not None,
        "workers": arguments.workers,
        "killed": killed,
        "shards": summary["shards"],
        "equal_files": len(digests[0]),
        "single_s": single_s,
        "ray_s": ray_s,
    }
    say(
        f"{content['proteins']:,} proteins, {arguments.workers} workers, pid {killed['pid']} killed after "
        f"{killed['shards_finished']} of {content['shards']} shards: {len(digests[0])} files equal byte for byte; "
        f"{single_s:.1f} s alone, {ray_s:.1f} s on Ray"
    )
    return content


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """A Ray of this machine that a command connects to; more workers than cores are fine, only slower."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": workers, "object_store_memory": 200_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def _kill_a_worker(out: Path, process: subprocess.Popen[str]) -> dict[str, int]:
    """Waits for the first finished shard, then ends a worker the hard way."""
    manifest = out / "_manifest.json"
    while process.poll() is None:
        finished = len(json.loads(manifest.read_text())["shards"]) if manifest.exists() else 0
        pids = [pid for pid in _descendants(os.getpid()) if _title(pid).startswith(WORKER)]
        if finished and pids:
            os.kill(pids[0], signal.SIGKILL)
            return {"pid": pids[0], "shards_finished": finished}
        time.sleep(0.02)
    raise SystemExit("bench: the run ended before a worker could be killed")


def _descendants(pid: int) -> Iterator[int]:
    """Processes that a process started, and those that they started; one may end meanwhile."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _title(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
