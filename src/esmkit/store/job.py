"""What is known of a batch job."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from esmkit.errors import UserError
from esmkit.store.tables import JobRow

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobEnd = Literal["done", "failed", "cancelled"]
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled")


class JobQuotaError(UserError):
    """A key keeps as many jobs, or as many bytes of jobs, as it may."""

    code = "user.job_quota"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is.

    Attributes:
        records: finished, the failed ones too.
        residues: in them.
        failures: records without an answer.
        size_bytes: what it keeps on the disk.
        residues_per_s: recent speed; None until it is known.
    """

    records: int = 0
    residues: int = 0
    failures: int = 0
    size_bytes: int = 0
    residues_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is to be done: jobs that wait, jobs that somebody works on, and the residues that both have left."""

    queued: int
    running: int
    residues: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be put into the queue.

    Attributes:
        id: see `new_job_id`.
        key_id: whose it is; None without a key.
        place: folder in which its files are, by a name that is the same for all servers that see it.
        name: for people.
        model: slug.
        asked: what to compute; JSON values.
        idempotency_sha256: of the key with which the client marked the request.
        request_sha256: of what was asked and the input.
        records_total: of the input.
        residues_total: of the input.
        size_bytes: of the input on the disk.
        webhook: URL to tell when it has ended.
    """

    id: str
    key_id: str | None
    place: str
    name: str
    model: str
    asked: Mapping[str, Any]
    idempotency_sha256: str | None
    request_sha256: str
    records_total: int
    residues_total: int
    size_bytes: int
    webhook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(NewJob):
    """A job as it stands; all times in UTC.

    Attributes:
        note: why it waits, if for something special.
        error: code and message, once it has failed.
        crashes: how often a server died of it since it last went on.
        retries: how often it was put back since it last went on.
        is_cancelled: it shall end.
        retry_at: not before.
        expires_at: when it and its files are deleted; None until it has ended.
        webhook_state: due, delivered or failed; None before it has ended.
    """

    state: JobState
    note: str | None
    error: Mapping[str, Any] | None
    records: int
    residues: int
    failures: int
    residues_per_s: float | None
    crashes: int
    retries: int
    is_cancelled: bool
    owner: str | None
    retry_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    webhook_state: str | None
    webhook_tries: int

    @property
    def has_ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in ENDED


def new_job_id() -> str:
    """An id that nobody can guess, fit for URLs and names of folders."""
    return "job_" + secrets.token_urlsafe(16)


def job_of(row: JobRow) -> Job:
    """A row as others see it."""
    return Job(**{each.name: getattr(row, each.name) for each in fields(Job)})
