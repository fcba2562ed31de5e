"""Run an iterator ahead in a thread, so that reading, computing and writing overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
POLL_S = 0.1
JOIN_S = 1.0
"""How long closing waits for the thread; one long step of a large model may outlive it, and then ends by itself."""


def prefetch(items: Iterable[T], *, depth: int) -> Generator[T, None, None]:
    """The same items in the same order, computed up to `depth` ahead in a thread of their own.

    An exception of `items` is raised here after the items before it. Closing the returned generator stops the thread
    at its next item and closes `items`.

    Example:
        >>> list(prefetch(range(3), depth=1))
        [0, 1, 2]
    """
    worker = _Worker(items, depth)
    thread = threading.Thread(target=worker.run, name="esmkit-prefetch", daemon=True)
    thread.start()
    try:
        yield from worker.items()
    finally:
        worker.stopped.set()
        thread.join(JOIN_S)


@dataclass(frozen=True, slots=True)
class _End:
    """Comes after the last item: the exception that ended the iterator, if one did."""

    error: BaseException | None = None


class _Worker(Generic[T]):
    def __init__(self, source: Iterable[T], depth: int) -> None:
        self.source = source
        self.ready: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
        self.stopped = threading.Event()

    def run(self) -> None:
        """In the thread: source to queue; every exception belongs to the consumer."""
        iterator = iter(self.source)
        end = _End()
        try:
            for item in iterator:
                self._put(item)
                if self.stopped.is_set():
                    break
        except BaseException as error:
            end = _End(error)
        if isinstance(iterator, Generator):
            iterator.close()
        self._put(end)

    def items(self) -> Iterator[T]:
        """In the consumer: queue to items."""
        while not isinstance(item := self.ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def _put(self, item: T | _End) -> None:
        while not self.stopped.is_set():
            try:
                self.ready.put(item, timeout=POLL_S)
                break
            except queue.Full:
                continue
