"""A server with batch jobs for tests, in this process; its worker runs while a test asks it things."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from esmkit.engine import Model
from esmkit.server.jobs import Worker
from tests.server_stand_in import SLUG, Api

JOBS = "/api/v3/jobs"
FASTA = b">a\nMKTAYIAKQR\n>b\nMVLSPADKTNV\n>c\nGSHM\n"
PATIENCE_S = 60.0
ENDED = ("done", "failed", "cancelled")


class JobsApi(Api):
    """A running application with a folder for jobs.

    Attributes:
        worker: of its jobs.
    """

    def __init__(self, model: Model, folder: Path, **settings: Any) -> None:
        super().__init__(model, folder, **{"jobs_folder": str(folder / "jobs"), "jobs_lease_s": 1.0, **settings})
        worker: Worker | None = self.app.state.services.jobs
        assert worker is not None
        self.worker = worker

    def during(self, act: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        """What `act` gives, which may ask things while the worker runs; once for each server."""

        async def run() -> Any:
            async with self.started() as client:
                return await act(client)

        return self.loop.run(run())

    @asynccontextmanager
    async def started(self) -> AsyncIterator[httpx.AsyncClient]:
        """The same, for a test with several servers in one loop."""
        async with self.app.router.lifespan_context(self.app), self.client() as client:
            yield client


async def submit(client: httpx.AsyncClient, body: bytes = FASTA, **query: Any) -> httpx.Response:
    """Sends a job; `headers` are headers, everything else is the query."""
    headers = query.pop("headers", None)
    return await client.post(JOBS, params={"model": SLUG, **query}, content=body, headers=headers)


async def made(client: httpx.AsyncClient, body: bytes = FASTA, **query: Any) -> dict[str, Any]:
    """The page of a new job."""
    answer = await submit(client, body, **query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Waits until a condition gives something."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
        return found


async def state_is(client: httpx.AsyncClient, job: dict[str, Any], *states: str, **options: Any) -> dict[str, Any]:
    """The page of a job, once it is in one of these states."""

    async def page() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(f"{JOBS}/{job['id']}", **options)).json()
        return found if found["state"] in states else None

    reached: dict[str, Any] = await until(page)
    return reached


async def ended(client: httpx.AsyncClient, job: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The page of a job that has ended."""
    return await state_is(client, job, *ENDED, **options)


def table(content: bytes) -> pa.Table:
    """A result in Parquet."""
    return pq.read_table(io.BytesIO(content))


def fasta(number: int, *, length: int = 40, start: int = 0) -> bytes:
    """So many different proteins."""
    letters = "ACDEFGHIKLMNPQRSTVWY"
    return b"".join(
        f">p{at}\nM{''.join(letters[(at * 7 + place * (at + 3)) % 20] for place in range(length - 1))}\n".encode()
        for at in range(start, start + number)
    )
