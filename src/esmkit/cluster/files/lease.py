"""One run at a time writes to a URL: a lock that has to be renewed, since object stores know no other."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from esmkit.cluster.files.place import Remote
from esmkit.errors import InvalidConfigError
from esmkit.sinks.files import LOCK

LEASE_S = 60.0
RENEW_EVERY_S = 15.0
SETTLE_S = 1.0
"""Two that find no lock both write theirs; after this long both see the later one."""


class Lease:
    """Held for the time of a `with` block; one whose holder died is free after `LEASE_S`.

    Args:
        remote: the folder of the run.

    Raises:
        InvalidConfigError: somebody else holds it.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._token = uuid.uuid4().hex
        self._left = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="esmkit-lease", daemon=True)

    def __enter__(self) -> Self:
        self._demand_free(self._read())
        self._write()
        self._left.wait(SETTLE_S)
        self._demand_free(self._read())
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._renewal.join()
        self._remote.delete(LOCK)

    def _demand_free(self, held: dict[str, Any]) -> None:
        left_s = held.get("until", 0.0) - time.time()
        if held.get("token") != self._token and left_s > 0:
            raise InvalidConfigError(
                f"{held['holder']} is writing to {self._remote.url}; wait until it is done or choose another --out "
                f"(if it was killed, its lock ends in {left_s:.0f} s)",
                setting="out",
            )

    def _renew(self) -> None:
        while not self._left.wait(RENEW_EVERY_S):
            self._write()

    def _read(self) -> dict[str, Any]:
        with TemporaryDirectory() as folder:
            self._remote.download(LOCK, Path(folder))
            path = Path(folder) / LOCK
            held: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
            return held

    def _write(self) -> None:
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        with TemporaryDirectory() as folder:
            path = Path(folder) / LOCK
            path.write_text(json.dumps({"token": self._token, "holder": holder, "until": time.time() + LEASE_S}))
            self._remote.upload(path)
