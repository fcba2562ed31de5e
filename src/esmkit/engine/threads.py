"""How many CPU threads to use: what the process may really have, which in a container is less than the machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from esmkit.errors import InvalidConfigError

CGROUP = Path("/sys/fs/cgroup")


def set_threads(asked: int | None) -> int:
    """Sets torch's threads to `asked`, or lowers them to what the process may use; returns what is set.

    torch counts the processors it may run on, but not the quota of a container: more threads than that only wait for
    each other.

    Raises:
        InvalidConfigError: `asked` is less than one.
    """
    if asked is not None and asked < 1:
        raise InvalidConfigError(f"threads must be at least 1, not {asked}", setting="threads")
    threads = asked or min(torch.get_num_threads(), usable_cpus())
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    return threads


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """Processors that this process may keep busy: those it may run on, and no more than its container's quota."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(present, _quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """CPUs that cgroup v2 or v1 allows, infinite without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return float("inf")
    return float("inf") if quota in ("max", "-1") else int(quota) / int(period)
