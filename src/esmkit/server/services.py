"""What the routes work with, put together once per server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from starlette.requests import Request

from esmkit.server.settings import ServerSettings
from esmkit.server.wire.base import Bounds

if TYPE_CHECKING:
    from esmkit.alphabet import ResiduePolicy
    from esmkit.batching import LengthPolicy
    from esmkit.engine.queue import ModelInfo, QueueStats
    from esmkit.outputs import OutputOptions
    from esmkit.server.actions import Resources
    from esmkit.server.catalog import Catalog
    from esmkit.server.jobs import Worker
    from esmkit.server.limits import Limiter, RequestMemory
    from esmkit.server.logs import OnStart
    from esmkit.server.metrics import Metrics
    from esmkit.server.status import Status
    from esmkit.server.usage import Ledger
    from esmkit.store import Store
    from esmkit.types import Failure, Record, Result


class Queue(Protocol):
    """What the server needs of the engine's serving queue."""

    async def start(self) -> None: ...  # noqa: D102
    async def drain(self, timeout_s: float) -> bool: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102
    async def submit(  # noqa: D102
        self,
        model: str,
        records: Sequence[Record],
        outputs: Sequence[str],
        options: OutputOptions,
        *,
        residues: ResiduePolicy | None = None,
        length: LengthPolicy | None = None,
        priority: Literal["interactive", "bulk"] = "interactive",
        deadline_s: float | None = None,
        on_start: OnStart | None = None,
        is_probe: bool = False,
    ) -> list[Result | Failure]: ...
    def info(self, model: str) -> ModelInfo: ...  # noqa: D102
    def stats(self) -> QueueStats: ...  # noqa: D102
    def ready(self) -> bool: ...  # noqa: D102


@dataclass(slots=True)
class Services:
    """The parts of one server.

    Attributes:
        scrape: the text of /metrics: of this process, or of all that serve together.
        workers: carry out esmkit's own actions.
        draining: True from SIGTERM on.
        jobs: works on batch jobs; None where there is no folder for them.
    """

    settings: ServerSettings
    queue: Queue
    store: Store
    catalog: Catalog
    limiter: Limiter
    memory: RequestMemory
    metrics: Metrics
    scrape: Callable[[], Awaitable[bytes]]
    ledger: Ledger
    status: Status
    resources: Resources
    workers: ThreadPoolExecutor
    draining: bool = False
    jobs: Worker | None = None

    @property
    def bounds(self) -> Bounds:
        """How much one request may hold."""
        chosen = self.settings
        return Bounds(chosen.max_items, chosen.max_residues, chosen.max_long_residues)


def services(request: Request) -> Services:
    """The services of the server that a request came to."""
    found: Services = request.app.state.services
    return found
