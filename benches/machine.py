"""What ran the benchmark: processor, memory, accelerator, versions, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = ("esmkit", "torch", "numpy", "pyarrow", "h5py", "transformers", "fair-esm", "flash-attn")


def facts(*, gpu: bool = False) -> dict[str, Any]:
    """The machine, for a result file.

    Args:
        gpu: whether the first GPU, if there is one, is what the numbers are about.
    """
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "load_at_start": round(os.getloadavg()[0], 2),
    }
    if gpu:
        import torch

        if torch.cuda.is_available():
            gpu_facts = torch.cuda.get_device_properties(0)
            found["gpu"] = {"name": gpu_facts.name, "memory_bytes": gpu_facts.total_memory, "cuda": torch.version.cuda}
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    name = fields.get("model name") or platform.processor() or platform.machine()
    widest = next((flag for flag in ("amx_tile", "avx512f", "avx2") if flag in fields.get("flags", "").split()), "")
    return f"{name} (family {fields['cpu family']}, model {fields['model']}, {widest})" if widest else name


def name_of(machine: Mapping[str, Any]) -> str:
    """A short name of a machine for file names.

    Example:
        >>> name_of({"processor": "AMD EPYC 7763 64-Core Processor (family 25)", "cores": 2})
        'amd-epyc-7763-2-cores'
    """
    full = machine["gpu"]["name"] if "gpu" in machine else f"{machine['processor'].partition(' (family')[0]}"
    words = re.sub(r"\(R\)|\(TM\)|Processor|CPU|\d+-Core|@.*", " ", full)
    name = "-".join(re.findall(r"[a-z0-9]+", words.lower()))
    return name if "gpu" in machine else f"{name}-{machine['cores']}-cores"


def versions() -> dict[str, str]:
    """Python and the packages that matter, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that is checked out, with `+changes` when tracked files differ from it; `unknown` without git."""
    head = _git("rev-parse", "HEAD")
    return f"{head}+changes" if head and _git("status", "--porcelain", "--untracked-files=no") else head or "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
