"""The runner process: loads one model, then computes batches until its parent is gone.

Started as `python -m esmkit.engine.queue.worker FD`; FD is its end of a socket pair, standard input its lifeline.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np

from esmkit import alphabet
from esmkit.engine.budget import share_one_heap
from esmkit.engine.engine import Engine
from esmkit.engine.model import load
from esmkit.engine.queue.messages import Done, Load, Ready, Work, encode, receive, send, send_buffers
from esmkit.engine.runner import RowOutcome
from esmkit.errors import EsmkitError, ModelExecutionError
from esmkit.outputs import build
from esmkit.types import Row

WARM_UP = Row(np.asarray(alphabet.tokenize(alphabet.STANDARD)))
AT_ONCE_BYTES = 1 << 16
"""A fraction of what the buffer of a socket holds by default."""
OOM_SCORE = Path("/proc/self/oom_score_adj")
"""When memory runs out, the kernel shall end a runner, which is started again, and not the server."""


def main() -> None:
    """Serves the parent at the other end of the socket."""
    faulthandler.enable()
    share_one_heap()
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group; the parent decides, it may drain
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # not Linux
        OOM_SCORE.write_text("500")
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # the parent closes its end when it is done with us
    with socket.socket(fileno=int(sys.argv[1])) as connection, suppress(EOFError, ConnectionError):
        serve(connection)


def serve(connection: socket.socket) -> None:
    """Loads what the first message names, then answers batches in the order in which they come."""
    order: Load = receive(connection)
    try:
        engine = start(order)
    except EsmkitError as error:
        send(connection, error)
        return
    send(connection, Ready(engine.provenance, engine.batch_tokens))
    with Sender(connection) as sender:
        while True:
            work: Work = receive(connection)
            started = time.perf_counter()
            outcomes = compute(engine, work)
            sender.send(Done(outcomes, time.perf_counter() - started))


class Sender:
    """Sends answers in order; a slow reader at the other end does not keep the next batch waiting.

    Small answers, which the socket takes whole, go at once: to wake a thread would take longer. Large ones go from a
    thread, and so does whatever comes while that is busy.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._thread = connection, ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def send(self, answer: Done) -> None:
        """Sends an answer after those before it."""
        buffers = encode(answer)
        is_idle = self._last is None or self._last.done()
        if is_idle and sum(map(len, buffers)) <= AT_ONCE_BYTES:
            send_buffers(self._connection, buffers)
        else:
            self._last = self._thread.submit(send_buffers, self._connection, buffers)


def start(order: Load) -> Engine:
    """The engine, after one small batch: what is slow only the first time is over when the first request comes."""
    spec = order.spec
    try:
        engine = load(
            spec.name,
            device=spec.device,
            dtype=spec.dtype,
            attention=spec.attention,
            batch_tokens=spec.batch_tokens,
            threads=spec.threads,
            settings=order.settings,
        ).engine
    except (RuntimeError, OSError, MemoryError) as error:
        raise ModelExecutionError(f"{spec.name} cannot be loaded: {error}") from error
    warm_up(engine)
    return engine


def warm_up(engine: Engine) -> None:
    """Runs one small batch.

    Raises:
        EsmkitError: the model does not work.
    """
    (outcome,) = engine.runner.run([WARM_UP], ["warm-up"], build(["mean", "logits"], engine.loaded.shape))
    if isinstance(outcome, EsmkitError):
        raise outcome


def compute(engine: Engine, work: Work) -> Sequence[RowOutcome]:
    """The outcomes of a batch. Ends the process when the model works no more, as after an error of a CUDA kernel."""
    try:
        outcomes = engine.runner.run(work.rows, work.names, work.outputs)
    except Exception as error:  # a fault of ours, in an output say: it must not cost more than this batch
        outcomes = [ModelExecutionError(f"the model failed: {error!r}", records=work.names)] * len(work.rows)
    if all(isinstance(outcome, ModelExecutionError) for outcome in outcomes):
        try:
            warm_up(engine)
        except EsmkitError as error:
            sys.exit(f"esmkit: the runner gives up: {error}")
    return outcomes


def _exit_with_parent() -> None:
    """Waits for the end of standard input: it comes when the parent dies, even by kill -9 and even in mid-batch."""
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    main()
