"""One function in a process of its own: what it uses of memory is its own, and it may be bound to one core.

`python -m benches.child MODULE FUNCTION JSON` is what the process runs; its last line of output is JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benches.machine import ROOT


def run(module: str, function: str, *, cores: int | None = None, **arguments: Any) -> dict[str, Any]:
    """Calls a function in a new process.

    Args:
        module: a module of this package.
        function: takes `arguments`, JSON values, and returns a dict of JSON values.
        cores: bind it to so many cores; None leaves all.

    Returns:
        What it returned, with `peak_bytes`: the largest resident memory of that process, and `mapped_bytes`: what of
        it were pages of files (libraries) in the end, of which the page cache decides how many are there.
    """
    environment = dict(os.environ)
    if cores is not None:
        environment |= {"OMP_NUM_THREADS": str(cores), "ESMKIT_BENCH_CORES": str(cores)}
    command = [sys.executable, "-m", "benches.child", module, function, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"bench: {module}.{function} failed with {arguments}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def memory() -> dict[str, int]:
    """Resident memory of this process image; `ru_maxrss` would count that of the parent before exec, too."""
    fields = {"peak_bytes": "VmHWM", "mapped_bytes": "RssFile"}
    status = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE))
    return {name: int(status[field]) * 1024 for name, field in fields.items()}


def _main() -> None:
    module, function, arguments = sys.argv[1:]
    if cores := os.environ.get("ESMKIT_BENCH_CORES"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    answer = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    print(json.dumps({**answer, **memory()}))


if __name__ == "__main__":
    _main()
