"""Run an iterator ahead in a thread, so that reading, computing and writing overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.1


def prefetch(items: Iterable[T], *, depth: int) -> Iterator[T]:
    """The same items in the same order, computed up to `depth` ahead in a thread of their own.

    An exception of `items` is raised here after the items before it. Closing the returned iterator (or dropping it)
    stops the thread at the next item.

    Example:
        >>> list(prefetch(range(3), depth=1))
        [0, 1, 2]
    """
    ready: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: tuple[T | None, BaseException | None, bool]) -> None:
        while not stopped.is_set():
            try:
                return ready.put(entry, timeout=_POLL_S)
            except queue.Full:
                continue

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put((item, None, False))
                if stopped.is_set():
                    break
            put((None, None, True))
        except BaseException as error:  # noqa: BLE001 - every failure belongs to the consumer
            put((None, error, True))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def consume() -> Iterator[T]:
        thread = threading.Thread(target=work, name="esmkit-prefetch", daemon=True)
        thread.start()
        try:
            while True:
                item, error, last = ready.get()
                if error is not None:
                    raise error
                if last:
                    return
                yield item  # type: ignore[misc]
        finally:
            stopped.set()
            thread.join()

    return consume()
