"""What the tests of the serving queue share: a queue in an event loop of its own, and sequences."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from esmkit.config import Settings
from esmkit.engine.queue import ModelSpec, ModelStats, ServingQueue, process
from esmkit.types import Failure, Record, Result

T = TypeVar("T")
FAULTY_WORKER = [sys.executable, str(Path(__file__).with_name("queue_worker.py"))]
GENERATOR = np.random.default_rng(11)


def random_sequence(length: int) -> str:
    """Without the residues that mean something to the faulty worker."""
    return "".join(GENERATOR.choice(list("LAGVSERTIDPKQNF"), length))


def records(sequences: list[str], name: str = "p") -> list[Record]:
    return [Record(index, f"{name}{index}", sequence) for index, sequence in enumerate(sequences)]


class Served:
    """A queue that is open, and the loop in which it lives."""

    def __init__(self, loop: asyncio.Runner, queue: ServingQueue, slug: str) -> None:
        self.loop, self.queue, self.slug = loop, queue, slug

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(coroutine)

    def submit(
        self, sequences: list[str], outputs: list[str], *, name: str = "p", **options: Any
    ) -> Coroutine[Any, Any, list[Result | Failure]]:
        return self.queue.submit(self.slug, records(sequences, name), outputs, **options)

    @property
    def stats(self) -> ModelStats:
        return self.queue.stats().models[self.slug]

    @property
    def pid(self) -> int:
        runner = self.queue._services[self.slug].dispatcher.process
        assert runner is not None
        return runner.pid


@contextmanager
def serving(models: list[ModelSpec], home: Path, **options: Any) -> Iterator[Served]:
    """An open queue of runner processes with the faults of `queue_worker`; closed afterwards, with no process left."""
    settings = Settings(home=home, offline=True)
    before = children()
    limits = {"memory_budget_bytes": None, "max_queued_tokens": 30_000, "restarts": 0, **options}
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as loop:
        patch.setattr(process, "COMMAND", FAULTY_WORKER)
        patch.setenv("ESMKIT_TEST_MARK", str(home / "mark"))
        queue = ServingQueue(models, settings=settings, **limits)
        loop.run(start(queue, is_warm="warm" in options))
        try:
            yield Served(loop, queue, queue.models[0])
        finally:
            loop.run(queue.close())
    assert children() == before, "runner processes are left"


async def start(queue: ServingQueue, *, is_warm: bool) -> None:
    starting = asyncio.create_task(queue.start())
    await asyncio.sleep(0)
    assert queue.ready() is not is_warm, "ready means that what shall be warm is warm"
    await starting
    assert queue.ready()


def children() -> set[int]:
    """Runner processes of this process that live."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"worker" in command:
            found.add(int(folder.name))
    return found


async def until(condition: Any, timeout_s: float = 60.0) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def assert_equal_results(found: list[Result | Failure], expected: list[Result | Failure]) -> int:
    """Equal to 1e-5; returns how many numbers were compared."""
    compared = 0
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Result)
        assert isinstance(other, Result)
        assert (one.index, one.id, one.meta) == (other.index, other.id, other.meta)
        assert list(one.arrays) == list(other.arrays)
        for name, value in one.arrays.items():
            np.testing.assert_allclose(value, other.arrays[name], atol=1e-5, rtol=1e-5)
            compared += np.size(value)
    return compared
