"""What the commands of `esmkit train` share: being asked to stop, and what they say."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130
SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Lets the first Ctrl-C or SIGTERM ask for a checkpoint and an end; the second one ends at once."""
    received: list[int] = []
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(message: str, *, quiet: bool) -> None:
    """One line on stderr."""
    if not quiet:
        print(f"esmkit: {message}", file=sys.stderr)  # noqa: T201
