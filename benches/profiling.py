"""Where time goes: operators of one step from torch's profiler, functions of a run from Python's."""

from __future__ import annotations

import cProfile
import pstats
import re
import time
from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile

ROWS = 15
_PREFIX = re.compile(r".*/(site-packages|src|python3\.\d+)/")


def profile_step(step: Callable[[], object], *, device: str = "cpu", warmups: int = 2) -> list[dict[str, Any]]:
    """The operators that take most of a step's own time, most first.

    Args:
        step: what to profile; it ends with the device synchronized.
        device: `cuda` counts time on the GPU, otherwise time on the CPU.
        warmups: runs before the one that counts.

    Returns:
        Per operator: name, calls, self time in ms, share of all self time. The last one sums up the rest.
    """
    for _ in range(warmups):
        step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as recorded:
        step()
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    found = sorted(
        ((event.key, event.count, getattr(event, field) / 1e3) for event in recorded.key_averages()),
        key=lambda row: -row[2],
    )
    total_ms = sum(ms for _, _, ms in found)
    rest = found[ROWS:]
    rows = [*found[:ROWS], (f"{len(rest)} others", sum(n for _, n, _ in rest), sum(ms for _, _, ms in rest))]
    return [
        {"operator": name, "calls": n, "ms": round(ms, 3), "share": round(ms / total_ms, 4)} for name, n, ms in rows
    ]


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The same as a table."""
    lines = ["| operator | calls | ms | share |", "|---|---:|---:|---:|"]
    lines += [f"| `{row['operator']}` | {row['calls']} | {row['ms']:.2f} | {row['share']:.1%} |" for row in rows]
    return "\n".join(lines)


def profile_python(work: Callable[[], Any]) -> tuple[Any, list[dict[str, Any]]]:
    """Runs `work`; also gives the functions that take most processor time of the calling thread, most first.

    Small Python functions look two to three times as slow as they are; the order is what counts.
    """
    profiler = cProfile.Profile(time.thread_time)
    result = profiler.runcall(work)
    found: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    rows = sorted(found.items(), key=lambda item: -item[1][2])
    total_s = sum(values[2] for _, values in rows)
    return result, [
        {
            "operator": f"{_PREFIX.sub('', file)}:{line} {name}" if line else name,
            "calls": calls,
            "ms": round(own_s * 1e3, 3),
            "share": round(own_s / total_s, 4),
        }
        for (file, line, name), (_, calls, own_s, _, _) in rows[: 2 * ROWS]
    ]
