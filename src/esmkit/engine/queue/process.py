"""A runner process seen from its parent: start it, give it batches, notice when it is gone."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from esmkit.config import Settings
from esmkit.engine.queue.messages import Done, Load, Ready, Work, receive_async, send_async
from esmkit.engine.queue.spec import ModelSpec
from esmkit.errors import EsmkitError

COMMAND = [sys.executable, "-P", "-m", "esmkit.engine.queue.worker"]
LOAD_TIMEOUT_S = 1800.0
STOP_TIMEOUT_S = 5.0
PIECE_BYTES = 1 << 16
LOG = logging.getLogger("esmkit.engine")
_RELAYS: set[asyncio.Task[None]] = set()
"""The tasks in `_relay`; the event loop itself would forget them."""


class RunnerDiedError(Exception):
    """The runner process is gone.

    Attributes:
        was_computing: whether this batch was the one it was working on, as far as one can tell.
    """

    def __init__(self, message: str, *, was_computing: bool = False) -> None:
        super().__init__(message)
        self.was_computing = was_computing


class RunnerProcess:
    """One model in a process of its own, which answers batches in the order in which they are sent.

    Attributes:
        ready: what the runner said about the loaded model.
    """

    def __init__(
        self,
        process: Process,
        connection: socket.socket,
        ready: Ready,
        *,
        batch_timeout_s: float,
        on_death: Callable[[str], None],
    ) -> None:
        self.process, self.connection, self.ready = process, connection, ready
        self._batch_timeout_s, self._on_death = batch_timeout_s, on_death
        self._waiting: deque[asyncio.Future[Done]] = deque()
        self._sending = asyncio.Lock()
        self._alarm: asyncio.TimerHandle | None = None
        self._verdict: str | None = None
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, spec: ModelSpec, settings: Settings, *, batch_timeout_s: float, on_death: Callable[[str], None]
    ) -> RunnerProcess:
        """Starts a process and waits until it has loaded the model.

        Args:
            spec: what to load.
            settings: where weights are.
            batch_timeout_s: a batch that takes longer means that the runner hangs; it is killed.
            on_death: called with the reason when the process ends unasked, after its batches have failed.

        Raises:
            EsmkitError: the model cannot be loaded.
            RunnerDiedError: the process ended before it was ready.
        """
        connection, theirs = socket.socketpair()
        connection.setblocking(False)
        try:
            process = await _spawn(theirs)
        except BaseException:
            connection.close()
            raise
        relay = asyncio.create_task(_relay(process, spec.name))
        _RELAYS.add(relay)
        relay.add_done_callback(_RELAYS.discard)
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                await send_async(connection, Load(spec, settings))
                answer: Ready | EsmkitError = await receive_async(connection)
            if isinstance(answer, EsmkitError):
                raise answer
        except (EOFError, ConnectionError, TimeoutError) as error:
            await _end(process, connection)
            raise RunnerDiedError(f"while loading {spec.name}: {_cause_of_death(process)}") from error
        except BaseException:
            await _end(process, connection)
            raise
        return cls(process, connection, answer, batch_timeout_s=batch_timeout_s, on_death=on_death)

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    async def run(self, work: Work) -> Done:
        """Sends a batch and waits for its outcomes.

        Raises:
            RunnerDiedError: the process is gone.
        """
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self._listener.done():
                raise RunnerDiedError("the runner is gone")
            self._waiting.append(future)
            self._watch()
            with suppress(OSError):  # the listener finds out, and fails the future
                await send_async(self.connection, work)
        return await future

    async def stop(self) -> None:
        """Ends the process; the memory is free when this returns. Batches on their way fail."""
        self._listener.cancel()
        await asyncio.wait([self._listener])
        self._fail_waiting("the runner was stopped")
        await _end(self.process, self.connection)

    async def _listen(self) -> None:
        """Hands out answers until there are no more."""
        try:
            while True:
                done: Done = await receive_async(self.connection)
                future = self._waiting.popleft()
                if not future.cancelled():
                    future.set_result(done)
                self._watch(anew=True)
        except Exception as error:
            await _end(self.process, self.connection)
            if not isinstance(error, EOFError | ConnectionError):
                self._verdict = f"it sent what is no answer: {error!r}"
            reason = self._verdict or _cause_of_death(self.process)
            self._fail_waiting(reason)
            self._on_death(reason)

    def _watch(self, *, anew: bool = False) -> None:
        """An alarm is set while a batch is being computed, from its start."""
        if self._alarm is not None and (anew or not self._waiting):
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None and self._waiting:
            self._alarm = asyncio.get_running_loop().call_later(self._batch_timeout_s, self._kill_hung)

    def _kill_hung(self) -> None:
        self._verdict = f"it gave no answer to a batch for {self._batch_timeout_s:.0f} s and was killed"
        with suppress(ProcessLookupError):
            self.process.kill()

    def _fail_waiting(self, reason: str) -> None:
        """It computes in order, so the first batch that has no answer is the one that it was at."""
        for number, future in enumerate(self._waiting):
            if not future.done():
                future.set_exception(RunnerDiedError(reason, was_computing=number == 0))
        self._waiting.clear()
        self._watch()


async def _spawn(theirs: socket.socket) -> Process:
    """A runner that talks through `theirs`, which is closed here."""
    with theirs:
        return await asyncio.create_subprocess_exec(
            *(*COMMAND, str(theirs.fileno())),
            stdin=asyncio.subprocess.PIPE,  # its end tells the child that this process is gone
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
        )


async def _relay(process: Process, name: str) -> None:
    """Logs what a runner writes, such as warnings of libraries and its last words, so that a log has one form."""
    assert process.stdout is not None
    while piece := await process.stdout.read(PIECE_BYTES):
        LOG.warning("runner %d of %s: %s", process.pid, name, piece.decode(errors="replace").rstrip())


async def _end(process: Process, connection: socket.socket) -> None:
    """Ends standard input, which ends a healthy runner at once, and kills one that is not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    connection.close()  # last: a send that waits for room fails when the other end goes, not when ours does


def _cause_of_death(process: Process) -> str:
    code = process.returncode
    if code is None or code >= 0:
        return f"the process ended with status {code}"
    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
    return f"the process ended by {signal.Signals(-code).name}{hint}"
