"""Batch jobs in the store, on SQLite and PostgreSQL: quotas, who works on what, and what becomes of it."""

# ruff: noqa: F401, F811  (fixtures are imported)
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from esmkit.store import Job, JobProgress, JobQuotaError, NewJob, Store, new_job_id
from tests.store_databases import START, Clock, clock, store, url

LEASE_S = 15.0
WEEK_S = 7 * 86_400.0
MODELS = ["esm2-mini"]
ROOM = {"max_jobs": 100, "max_bytes": 10**9}


def new(**changes: Any) -> NewJob:
    job = NewJob(
        id=new_job_id(),
        key_id=None,
        place="here",
        name="proteome",
        model="esm2-mini",
        asked={"outputs": ["mean"]},
        idempotency_sha256=None,
        request_sha256="0" * 64,
        records_total=10,
        residues_total=1000,
        size_bytes=100,
    )
    return replace(job, **changes)


def added(store: Store, **changes: Any) -> Job:
    job, is_new = store.jobs.add(new(**changes), **ROOM)
    assert is_new
    return job


def claimed(store: Store, owner: str = "a", *, place: str = "here", models: list[str] = MODELS) -> Job | None:
    return store.job_leases.claim(owner, place=place, models=models, lease_s=LEASE_S)


def beat(store: Store, job: Job, owner: str = "a", progress: JobProgress | None = None) -> str:
    return store.job_leases.beat(job.id, owner, progress or JobProgress(), lease_s=LEASE_S, note=None)


@pytest.fixture
def keys(store: Store) -> tuple[str, str]:
    return store.keys.create("one")[0].id, store.keys.create("two")[0].id


def test_a_job_comes_back_as_it_was_added(store: Store) -> None:
    job = added(store, asked={"outputs": ["mean"], "layers": [-1], "long": None}, webhook="https://x.example/hook")
    assert job.state == "queued"
    assert job.created_at == START
    assert store.jobs.get(job.id) == job
    assert job.asked == {"outputs": ["mean"], "layers": [-1], "long": None}
    assert store.jobs.get(new_job_id()) is None


def test_keys_list_their_own_jobs_newest_first(store: Store, clock: Clock, keys: tuple[str, str]) -> None:
    first = added(store, key_id=keys[0])
    clock.advance(seconds=1)
    second = added(store, key_id=keys[0])
    other, nobody = added(store, key_id=keys[1]), added(store)
    assert [job.id for job in store.jobs.list(keys[0])] == [second.id, first.id]
    assert [job.id for job in store.jobs.list(keys[1])] == [other.id]
    assert [job.id for job in store.jobs.list(None)] == [nobody.id]


def test_the_same_mark_is_the_same_job_until_that_is_gone(store: Store, clock: Clock) -> None:
    job = added(store, idempotency_sha256="1" * 64)
    again, is_new = store.jobs.add(new(idempotency_sha256="1" * 64), **ROOM)
    assert (again, is_new) == (job, False)
    store.jobs.cancel(job.id, keep_s=60)
    clock.advance(seconds=61)
    later, is_new = store.jobs.add(new(idempotency_sha256="1" * 64), **ROOM)
    assert is_new
    store.jobs.expire(later.id)
    assert store.jobs.add(new(idempotency_sha256="1" * 64), **ROOM)[1]


def test_a_key_keeps_so_many_jobs_and_bytes_and_others_are_not_affected(store: Store, keys: tuple[str, str]) -> None:
    job = added(store, key_id=keys[0], size_bytes=600)
    with pytest.raises(JobQuotaError, match="1 jobs are kept for this key"):
        store.jobs.add(new(key_id=keys[0]), max_jobs=1, max_bytes=10**9)
    with pytest.raises(JobQuotaError, match="take 0 MB"):
        store.jobs.add(new(key_id=keys[0], size_bytes=401), max_jobs=9, max_bytes=1000)
    store.jobs.check_quota(keys[0], 400, max_jobs=9, max_bytes=1000)
    store.jobs.add(new(key_id=keys[1], size_bytes=1000), max_jobs=1, max_bytes=1000)
    store.jobs.expire(job.id)
    assert store.jobs.add(new(key_id=keys[0]), max_jobs=1, max_bytes=1000)[1]


def test_one_server_has_a_job_until_its_lease_ends(store: Store, clock: Clock) -> None:
    job = added(store)
    taken = claimed(store)
    assert taken is not None
    assert (taken.id, taken.state, taken.crashes) == (job.id, "running", 0)
    assert claimed(store, "b") is None
    clock.advance(seconds=LEASE_S - 1)
    assert beat(store, job) == "mine"
    clock.advance(seconds=LEASE_S - 1)
    assert claimed(store, "b") is None
    clock.advance(seconds=2)
    again = claimed(store, "b")
    assert again is not None
    assert (again.id, again.crashes) == (job.id, 1)
    assert beat(store, job) == "lost"
    assert not store.job_leases.finish(job.id, "a", "done", JobProgress(), keep_s=WEEK_S)
    store.job_leases.went_on(job.id, "b")
    held = store.job_leases.held(job.id, "b")
    assert held is not None
    assert held.crashes == 0
    assert store.job_leases.held(job.id, "a") is None


def test_jobs_of_other_places_and_models_are_left_alone(store: Store) -> None:
    added(store)
    assert claimed(store, place="there") is None
    assert claimed(store, models=["esm2-650m"]) is None
    assert claimed(store) is not None


def test_keys_take_turns(store: Store, clock: Clock, keys: tuple[str, str]) -> None:
    order = []
    for key_id in (keys[0], keys[0], keys[0], keys[1], None):
        clock.advance(seconds=1)
        added(store, key_id=key_id)
    while (job := claimed(store)) is not None:
        order.append(job.key_id)
        clock.advance(seconds=1)
        store.job_leases.finish(job.id, "a", "done", JobProgress(), keep_s=WEEK_S)
    assert order == [keys[0], keys[1], None, keys[0], keys[0]]


def test_progress_is_written_with_the_beat_and_the_end(store: Store) -> None:
    job = added(store)
    claimed(store)
    progress = JobProgress(4, 400, 1, 5000, 80.0)
    beat(store, job, progress=progress)
    found = store.jobs.get(job.id)
    assert found is not None
    assert (found.records, found.residues, found.failures, found.size_bytes, found.residues_per_s) == (
        *(4, 400, 1, 5000),
        80.0,
    )
    store.job_leases.finish(job.id, "a", "failed", progress, keep_s=60, error={"code": "x", "message": "y"})
    found = store.jobs.get(job.id)
    assert found is not None
    assert (found.state, found.error, found.residues_per_s) == ("failed", {"code": "x", "message": "y"}, None)


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_at_its_beat(store: Store) -> None:
    running = added(store)
    claimed(store)
    queued = added(store)
    ended = store.jobs.cancel(queued.id, keep_s=WEEK_S)
    assert ended is not None
    assert ended.state == "cancelled"
    asked = store.jobs.cancel(running.id, keep_s=WEEK_S)
    assert asked is not None
    assert asked.state == "running"
    assert beat(store, running) == "cancel"
    assert store.job_leases.finish(running.id, "a", "cancelled", JobProgress(), keep_s=WEEK_S)
    again = store.jobs.cancel(running.id, keep_s=WEEK_S)
    assert again is not None
    assert again.state == "cancelled"
    assert store.jobs.cancel(new_job_id(), keep_s=WEEK_S) is None


def test_what_is_put_back_comes_again_after_a_while(store: Store, clock: Clock) -> None:
    job = added(store)
    claimed(store)
    store.job_leases.put_back(job.id, "a", note="the disk is full", retry_in_s=10)
    found = store.jobs.get(job.id)
    assert found is not None
    assert (found.state, found.note, found.retries) == ("queued", "the disk is full", 1)
    assert claimed(store) is None
    clock.advance(seconds=10)
    again = claimed(store, "b")
    assert again is not None
    assert (again.note, again.crashes) == (None, 0)
    store.job_leases.put_back(job.id, "b")
    third = claimed(store, "c")
    assert third is not None
    assert third.retries == 1


def test_jobs_expire_with_their_files(store: Store, clock: Clock) -> None:
    done, deleted, running = added(store), added(store), added(store)
    for _ in (done, deleted, running):
        assert (job := claimed(store)) is not None
        assert job == store.job_leases.held(job.id, "a")
    for job in (done, deleted):
        store.job_leases.finish(job.id, "a", "done", JobProgress(), keep_s=60)
    store.jobs.expire(deleted.id)
    store.jobs.expire(running.id)
    assert [store.jobs.get(job.id) is None for job in (done, deleted, running)] == [False, True, True]
    assert store.job_leases.expired("here") == [deleted.id]
    assert store.job_leases.expired("there") == []
    assert beat(store, running) == "cancel"
    store.job_leases.finish(running.id, "a", "cancelled", JobProgress(), keep_s=60)
    clock.advance(seconds=60)
    assert {*store.job_leases.expired("here")} == {done.id, deleted.id, running.id}
    store.job_leases.forget(done.id)
    assert store.job_leases.known([done.id, deleted.id]) == {deleted.id}


def test_a_webhook_is_due_once_a_job_has_ended_until_it_is_delivered(store: Store, clock: Clock) -> None:
    job = added(store, webhook="https://x.example/hook")
    claimed(store)
    assert store.job_leases.take_webhook() is None
    store.job_leases.finish(job.id, "a", "done", JobProgress(), keep_s=WEEK_S)
    taken = store.job_leases.take_webhook()
    assert taken is not None
    assert (taken.id, taken.state, taken.webhook_tries) == (job.id, "done", 1)
    assert store.job_leases.take_webhook() is None  # whoever took it tries
    store.job_leases.note_webhook(job.id, delivered=False, retry_in_s=10)
    assert store.job_leases.take_webhook() is None
    clock.advance(seconds=10)
    taken = store.job_leases.take_webhook()
    assert taken is not None
    assert taken.webhook_tries == 2
    clock.advance(seconds=61)  # its server died
    assert store.job_leases.take_webhook() is not None
    store.job_leases.note_webhook(job.id, delivered=True)
    clock.advance(days=1)
    assert store.job_leases.take_webhook() is None
    found = store.jobs.get(job.id)
    assert found is not None
    assert found.webhook_state == "delivered"


def test_a_webhook_that_is_never_taken_fails(store: Store) -> None:
    job = added(store, webhook="https://x.example/hook")
    store.jobs.cancel(job.id, keep_s=WEEK_S)
    assert store.job_leases.take_webhook() is not None
    store.job_leases.note_webhook(job.id, delivered=False)
    found = store.jobs.get(job.id)
    assert found is not None
    assert found.webhook_state == "failed"
    assert store.job_leases.take_webhook() is None
