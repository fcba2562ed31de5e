"""Batch jobs when things go wrong: nothing is lost, nothing is computed twice, and the page says why it waits."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from esmkit.engine import Model, load
from esmkit.errors import InternalError, ModelExecutionError, StoreError
from esmkit.server.jobs import worker
from esmkit.sinks import Shard
from esmkit.store.database import Database
from tests.jobs_stand_in import JOBS, JobsApi, ended, fasta, made, state_is, submit, table, until
from tests.server_process import ServedProcess
from tests.server_stand_in import SLUG

MEAN = "mean_6"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_S", 0.05)
    monkeypatch.setattr(worker, "FIRST_WAIT_S", 0.1)


@pytest.fixture
def api(model: Model, tmp_path: Path) -> Iterator[JobsApi]:
    with JobsApi(model, tmp_path, jobs_shard_residues=200) as running:
        yield running


def computed(*apis: JobsApi) -> Counter[str]:
    """How often each record of a job was computed."""
    calls = (call for api in apis for call in api.queue.calls if call.get("priority") == "bulk")
    return Counter(record.id for call in calls for record in call["records"] if record.id != "who")


async def whole(client: httpx.AsyncClient, page: dict[str, Any], number: int) -> None:
    """Demands that a result holds every protein of `fasta` once, in order."""
    assert page["state"] == "done", page
    found = table((await client.get(f"{JOBS}/{page['id']}/result")).content)
    assert found["id"].to_pylist() == [f"p{at}" for at in range(number)]


def stop_after(api: JobsApi, calls: int) -> None:
    """Has the queue of a server wait at its call of that number, and at all later ones."""
    submitted, left = api.queue.submit, iter(range(calls))

    async def counted(*args: Any, **options: Any) -> Any:
        if options.get("priority") == "bulk" and next(left, None) is None:
            api.queue.gate.clear()
        return await submitted(*args, **options)

    api.queue.submit = counted  # type: ignore[method-assign]


def test_a_stopped_server_leaves_the_job_to_the_next_one_which_computes_the_rest(
    model: Model, tmp_path: Path, api: JobsApi
) -> None:
    stop_after(api, 4)

    async def begin(client: httpx.AsyncClient) -> dict[str, Any]:
        job = await made(client, fasta(50))

        async def some_are_done() -> bool:
            return bool(
                (api.worker.folder.of(job["id"]).folder / ".result.parquet.partial/shard-00001.parquet").exists()
            )

        assert await until(some_are_done)
        return job

    job = api.during(begin)
    with JobsApi(model, tmp_path, jobs_shard_residues=200) as second:

        async def go_on(client: httpx.AsyncClient) -> None:
            await whole(client, await ended(client, job), 50)

        second.during(go_on)
        again = computed(second)
    assert len(again) < 50
    assert {f"p{at}" for at in range(10)} & set(again) == set()
    assert max(again.values()) == 1


def test_two_servers_on_one_store_never_work_on_the_same_job(model: Model, tmp_path: Path, api: JobsApi) -> None:
    with JobsApi(model, tmp_path, jobs_shard_residues=200) as second:

        async def act() -> None:
            async with api.started() as client, second.started():
                jobs = [await made(client, fasta(20, start=20 * number)) for number in range(4)]
                for job in jobs:
                    assert (await ended(client, job))["state"] == "done"

        api.loop.run(act())
        times = computed(api, second)
        assert len(times) == 80
        assert set(times.values()) == {1}


def test_a_job_is_taken_over_when_the_lease_of_its_server_ends(
    model: Model, tmp_path: Path, api: JobsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JobsApi(model, tmp_path, jobs_shard_residues=200) as second:
        api.queue.gate.clear()

        async def act() -> None:
            async with api.started() as client:
                job = await made(client, fasta(20))
                await state_is(client, job, "running")
                monkeypatch.setattr(api.worker._leases, "beat", unreachable)
                async with second.started() as other:
                    page = await ended(other, job)
                    await whole(other, page, 20)
                    api.queue.gate.set()  # the first one wakes up, and finds that the job is not its own any more

                    async def is_left() -> bool:
                        return not api.worker._runs

                    assert await until(is_left)
                    assert await ended(other, job) == page

        def unreachable(*_: Any, **__: Any) -> None:
            raise StoreError("away")

        api.loop.run(act())


def test_a_full_disk_makes_the_job_wait_and_say_so_until_there_is_room(
    api: JobsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Shard.commit
    is_full = {"now": True}

    def committed(shard: Shard) -> None:
        if is_full["now"] and shard.first > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        commit(shard)

    monkeypatch.setattr(Shard, "commit", committed)

    async def act(client: httpx.AsyncClient) -> None:
        job = await made(client, fasta(30))

        async def waits() -> Any:
            return (await client.get(f"{JOBS}/{job['id']}")).json()["note"]

        assert await until(waits) == "the disk for jobs is full; try again later"
        is_full["now"] = False
        await whole(client, await ended(client, job), 30)

    api.during(act)
    assert {computed(api)[f"p{at}"] for at in range(5)} == {1}


def test_an_upload_to_a_full_disk_gets_503_and_leaves_nothing(api: JobsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("esmkit.server.jobs.submission.sync", full)

    async def act(client: httpx.AsyncClient) -> None:
        answer = await submit(client)
        assert (answer.status_code, "the disk for jobs is full" in answer.text) == (503, True)
        assert "retry-after" in answer.headers

    api.during(act)
    assert [path.name for path in api.worker.folder.path.iterdir()] == [".secret"]


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While this is entered, nobody reaches the database."""

    def refused(self: Database) -> Any:
        raise StoreError("the database cannot be reached")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "read", refused)
        patched.setattr(Database, "write", refused)
        yield


def test_while_the_store_is_away_requests_get_503_and_the_job_goes_on(
    api: JobsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(api, 3)

    async def act(client: httpx.AsyncClient) -> None:
        job = await made(client, fasta(50))
        result = api.worker.folder.of(job["id"]).result("parquet")

        async def is_there() -> bool:
            return result.exists()

        async def waits() -> bool:
            return api.queue.waiting > 0 and (result.parent / ".result.parquet.partial/shard-00000.parquet").exists()

        await until(waits)
        with away(monkeypatch):
            for answer in (await submit(client), await client.get(JOBS), await client.get(f"{JOBS}/{job['id']}")):
                assert answer.status_code == 503
            api.queue.submit = type(api.queue).submit.__get__(api.queue)  # type: ignore[method-assign]
            api.queue.gate.set()
            assert await until(is_there)
        await whole(client, await ended(client, job), 50)

    api.during(act)
    assert set(computed(api).values()) == {1}


def test_a_model_that_is_away_makes_the_job_wait_and_go_on(api: JobsApi) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        api.queue.fails_with = ModelExecutionError("the runner died")
        job = await made(client, fasta(20))

        async def waits() -> Any:
            return (await client.get(f"{JOBS}/{job['id']}")).json()["note"]

        assert "the server could not go on with it" in await until(waits)
        api.queue.fails_with = None
        await whole(client, await ended(client, job), 20)

    api.during(act)


def test_a_record_that_the_model_fails_on_fails_the_job_or_is_listed(api: JobsApi) -> None:
    api.queue.breaks = {3: InternalError("nan in /secret/path")}

    async def act(client: httpx.AsyncClient) -> None:
        page = await ended(client, await made(client, fasta(8)))
        message = "the model failed on record 'p3', number 4 of the input"
        assert (page["state"], page["error"]["message"]) == ("failed", message)
        page = await ended(client, await made(client, fasta(8), on_error="skip"))
        assert (page["state"], page["failures"]) == ("done", 1)
        listed = await client.get(page["links"]["failures"])
        assert message in listed.text
        assert "secret" not in listed.text

    api.during(act)


@pytest.mark.slow
def test_a_job_survives_kill_9_of_the_server(tmp_path: Path, model: Model) -> None:
    flags = ("--jobs-lease-s", "1", "--jobs-shard-residues", "4000", "--threads", "1")
    body = fasta(1500, length=60)
    with ServedProcess(tmp_path, *flags) as first, first.client() as client:
        job = client.post(JOBS, params={"model": SLUG}, content=body, headers={"Idempotency-Key": "once"}).json()
        partial = tmp_path / "jobs" / job["id"] / ".result.parquet.partial"
        while not (partial / "shard-00002.parquet").exists():
            assert client.get(f"{JOBS}/{job['id']}").json()["state"] in ("queued", "running")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    finished = [shard["file"] for shard in json.loads((partial / "_manifest.json").read_text())["shards"]]
    kept = {name: (partial / name).stat().st_ino for name in finished}
    assert len(kept) >= 2
    assert not (partial.parent / "result.parquet").exists()
    with ServedProcess(tmp_path, *flags) as second, second.client() as client:
        again = client.post(JOBS, params={"model": SLUG}, content=body, headers={"Idempotency-Key": "once"}).json()
        assert again["id"] == job["id"]
        seen: dict[str, int] = {}
        while (page := client.get(f"{JOBS}/{job['id']}").json())["state"] != "done":
            assert page["state"] in ("queued", "running"), page
            with suppress(FileNotFoundError):  # the last ones are assembled and gone
                seen |= {name: (partial / name).stat().st_ino for name in kept}
        assert {name: seen[name] for name in kept} == kept  # what was finished was not written again
        found = table(client.get(f"{JOBS}/{job['id']}/result").content)
    assert found["id"].to_pylist() == [f"p{at}" for at in range(1500)]
    sequences = body.decode().split("\n")[1::2]
    np.testing.assert_allclose(np.stack(found[MEAN].to_numpy()), model.embed(sequences), atol=1e-5)
