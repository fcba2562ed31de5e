"""A runner process in which chosen sequences go wrong the way runners do; everything else is the real thing.

Tests start it in place of `python -m esmkit.engine.queue.worker`. A fault with a mark happens once: the file at
ESMKIT_TEST_MARK, when it exists, is removed and the fault occurs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from esmkit import alphabet
from esmkit.engine.queue import worker
from esmkit.models.esm2 import Esm2

KILLS, FAILS, SLOW, HANGS_ONCE, BREAKS_ONCE = "WWWW", "HHHH", "MMMM", "CCCC", "YYYY"
SLOW_S = 1.0

forward = Esm2.forward
broken: list[str] = []


def mark_is_set() -> bool:
    mark = Path(os.environ["ESMKIT_TEST_MARK"])
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


def faulty(self: Esm2, tokens: torch.Tensor, *rest: Any, **more: Any) -> Any:
    text = "".join(alphabet.TOKENS[token] for token in tokens.tolist())
    if KILLS in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if BREAKS_ONCE in text and mark_is_set():
        broken.append("CUDA error: an illegal memory access was encountered")
    if broken or FAILS in text:
        raise RuntimeError("".join(broken) or "shape mismatch")
    if HANGS_ONCE in text and mark_is_set():
        time.sleep(600)
    if SLOW in text:
        time.sleep(SLOW_S)
    return forward(self, tokens, *rest, **more)


if __name__ == "__main__":
    Esm2.forward = faulty  # type: ignore[method-assign]
    assert len(sys.argv) == 2
    worker.main()
