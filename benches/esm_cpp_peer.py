"""esm-cpp as a peer: it needs numpy 1 and so an environment of its own, and is driven through a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from benches.machine import ROOT
from benches.timing import Array, Peer, Seconds
from esmkit.types import Record

VERSION = "0.2.1"
ENVIRONMENT = ROOT / ".venv-bench-esm-cpp"


class Unavailable(Exception):  # noqa: N818 (a reason, not a fault)
    """Why esm-cpp is not measured on this machine."""


def interpreter() -> Path:
    """The Python of an environment that has esm-cpp, made on first use.

    Raises:
        Unavailable: it cannot be installed here.
    """
    python = ENVIRONMENT / "bin" / "python"
    installed = python.exists() and not subprocess.run([python, "-c", "import esm_cpp"], capture_output=True).returncode
    if not installed:
        _run([sys.executable, "-m", "venv", str(ENVIRONMENT)])
        _run([str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq", f"esm-cpp=={VERSION}"])
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"cannot be installed here: {_last_line(done.stderr)}")


class EsmCpp:
    """A process that has loaded one model with esm-cpp; a context manager that ends it."""

    def __init__(self, weights: Path, records: Sequence[Record], *, scratch: Path, threads: int) -> None:
        self._answers = scratch / "esm_cpp.npy"
        self._process = subprocess.Popen(
            [str(interpreter()), "-P", str(ROOT / "benches" / "esm_cpp_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "ESM_NUM_THREADS": str(threads)},
            text=True,
        )
        loaded = self._ask(
            weights=str(weights / "model.safetensors"), sequences=[record.sequence for record in records]
        )
        self.what = f"esm-cpp {VERSION}, forward_scheduled in fp32 ({loaded['isa']} code), logits only"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def peer(self) -> Peer:
        """Its answers are the logits of all residues, float32 [residues, 33]."""
        return Peer("esm_cpp", self.what, self._compute)

    def _compute(self) -> tuple[Array, Seconds]:
        seconds = self._ask(out=str(self._answers))["seconds"]
        return np.load(self._answers), {"esm_cpp": seconds}

    def _ask(self, **request: object) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            error = _last_line(self._process.communicate()[1])
            raise Unavailable(f"its process ended with {self._process.returncode}: {error}")
        answer: dict[str, float] = json.loads(line)
        return answer


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
