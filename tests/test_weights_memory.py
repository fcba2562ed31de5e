"""Loading needs the memory of one copy of the weights, measured from outside in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from esmkit.models.esm2 import Esm2
from esmkit.models.registry import checkpoint
from esmkit.models.save import save_pretrained

MEASURE = """
import json, re, sys, torch
from pathlib import Path
from esmkit.config import Settings
from esmkit.models.weights import load

def bytes_of(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

settings = Settings(home=Path(sys.argv[2]), offline=True)
load("esm2-mini", settings=settings, device=torch.device("cpu"), dtype=torch.float32)  # imports and allocator
before = bytes_of("VmRSS")
loaded = load(sys.argv[1], settings=settings, device=torch.device("cpu"), dtype=torch.float32)
print(json.dumps({"peak": bytes_of("VmHWM") - before}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
def test_peak_memory_is_one_copy_of_the_weights(tmp_path: Path) -> None:
    known = checkpoint("esm2-150m")
    assert known is not None
    save_pretrained(Esm2(known.shape), tmp_path / "model")
    size_bytes = (tmp_path / "model" / "model.safetensors").stat().st_size
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "model"), str(tmp_path / "home")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert size_bytes <= json.loads(printed)["peak"] <= size_bytes * 1.1
