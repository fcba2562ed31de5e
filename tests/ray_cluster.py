"""A Ray cluster of this machine for tests: several workers, bounded memory, gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORKER = b"ray::MapWorker(MapBatches(ShardWorker))"
_HEAD = """
import sys
from ray.cluster_utils import Cluster
head = {"num_cpus": 3, "object_store_memory": 100_000_000, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def environment() -> dict[str, str]:
    """The tests can be imported by workers, and a lost head is noticed within seconds."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    quick = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5", "RAY_gcs_server_request_timeout_seconds": "5"}
    return {**os.environ, **quick, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def cluster() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address, and the process that keeps it: closing its input ends the cluster."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _HEAD],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def workers(keeper: int) -> list[int]:
    """Pids of the workers of a cluster that compute shards; other clusters of this machine are not ours."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(WORKER) and keeper in ancestors(int(path.parent.name)):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def ancestors(pid: int) -> Iterator[int]:
    """The parents of a process."""
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
        yield pid


def wait_for(condition: object, *, seconds: float = 120.0) -> None:
    """Until a function of no arguments says yes."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
