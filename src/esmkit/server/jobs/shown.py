"""How a job is shown to whoever it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from esmkit.server.wire.esm2_docs import Shown
from esmkit.store import Job, JobState


class JobCounts(Shown):
    """How far a job is."""

    records: int = Field(description="Finished, the failed ones too.")
    records_total: int = Field(description="In the input.")
    residues: int = Field(description="In finished records.")
    residues_total: int = Field(description="In the input.")
    share: float = Field(description="Residues that are done, 0 to 1.")
    residues_per_s: float | None = Field(description="Recent speed; null unless it is running.")
    seconds_left: float | None = Field(description="At this speed; null unless it is running.")


class JobError(Shown):
    """Why a job failed."""

    code: str = Field(description="Stable name of the kind of error.")
    message: str = Field(description="What was found, and what to do.")
    record_id: str | None = Field(None, description="Of the record that is to blame.")
    line: int | None = Field(None, description="Of the input.")
    position: int | None = Field(None, description="In the sequence, from 1.")


class JobWebhook(Shown):
    """Who is told."""

    url: str = Field(description="What was asked.")
    state: str | None = Field(description="due, delivered or failed; null before the job has ended.")
    tries: int = Field(description="So far.")


class JobPage(Shown):
    """A batch job."""

    id: str = Field(description="Of the job; nobody can guess it.")
    name: str = Field(description="For people.")
    model: str = Field(description="Slug.")
    state: JobState = Field(description="queued, running, done, failed or cancelled.")
    note: str | None = Field(description="Why it waits, if for something special: limits, a full disk, another server.")
    error: JobError | None = Field(description="Once it has failed.")
    asked: dict[str, Any] = Field(description="What it computes, defaults filled in.")
    progress: JobCounts = Field(description="How far it is.")
    failures: int = Field(description="Records without an answer so far; see /failures.")
    size_bytes: int = Field(description="What it takes on the disk of the server.")
    created_at: datetime = Field(description="When it was sent.")
    started_at: datetime | None = Field(description="When a server began with it.")
    finished_at: datetime | None = Field(description="When it ended.")
    expires_at: datetime | None = Field(description="When it is deleted, with its result; null until it has ended.")
    webhook: JobWebhook | None = Field(description="Who is told when it ends.")
    links: dict[str, str] = Field(description="Paths of this server by what is there.")


class MadeJob(JobPage):
    """A job that was just sent."""

    webhook_secret: str | None = Field(description="Signs the webhooks of all jobs of this key; null without webhook.")


class JobList(Shown):
    """Jobs of a key."""

    jobs: list[JobPage] = Field(description="Newest first.")


class Link(Shown):
    """A link that works without a key."""

    url: str = Field(description="Of the result.")
    expires_at: datetime = Field(description="Until then.")


def shown(job: Job) -> dict[str, Any]:
    """The job as plain data."""
    path = f"/api/v3/jobs/{job.id}"
    links = {"self": path, "cancel": f"{path}/cancel", "failures": f"{path}/failures"}
    return {
        "id": job.id,
        "name": job.name,
        "model": job.model,
        "state": job.state,
        "note": job.note,
        "error": job.error,
        "asked": dict(job.asked),
        "progress": _progress(job),
        "failures": job.failures,
        "size_bytes": job.size_bytes,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "expires_at": job.expires_at,
        "webhook": _webhook(job),
        "links": links | ({"result": f"{path}/result", "link": f"{path}/link"} if job.state == "done" else {}),
    }


def _progress(job: Job) -> Mapping[str, Any]:
    left, speed = job.residues_total - job.residues, job.residues_per_s
    is_running = job.state == "running" and speed
    share = job.residues / job.residues_total if job.residues_total else float(job.state == "done")
    return {
        "records": job.records,
        "records_total": job.records_total,
        "residues": job.residues,
        "residues_total": job.residues_total,
        "share": round(share, 4),
        "residues_per_s": round(speed, 1) if is_running and speed else None,
        "seconds_left": round(left / speed, 1) if is_running and speed else None,
    }


def _webhook(job: Job) -> Mapping[str, Any] | None:
    if job.webhook is None:
        return None
    return {"url": job.webhook, "state": job.webhook_state, "tries": job.webhook_tries}


_TIME = "2026-03-01T12:00:00+00:00"
_JOB: dict[str, Any] = {
    "id": "job_3q2-7wAAbbCCddEEffGGhh",
    "name": "proteome",
    "model": "esm2-650m",
    "state": "running",
    "note": None,
    "error": None,
    "asked": {"outputs": ["mean"], "format": "parquet", "layers": [-1], "long": "error", "input": "fasta"},
    "progress": {
        "records": 512,
        "records_total": 20000,
        "residues": 180224,
        "residues_total": 7040000,
        "share": 0.0256,
        "residues_per_s": 24000.0,
        "seconds_left": 285.8,
    },
    "failures": 1,
    "size_bytes": 10485760,
    "created_at": _TIME,
    "started_at": _TIME,
    "finished_at": None,
    "expires_at": None,
    "webhook": None,
    "links": {"self": "/api/v3/jobs/job_3q2-7wAAbbCCddEEffGGhh"},
}
EXAMPLES: dict[str, Any] = {
    "jobs_submit": {**_JOB, "webhook_secret": None},
    "jobs_list": {"jobs": [_JOB]},
    "jobs_get": _JOB,
    "jobs_cancel": _JOB,
    "jobs_delete": _JOB,
    "jobs_link": {"url": "https://esm.example.org/api/v3/jobs/job_x/result?expires=1&signature=0", "expires_at": _TIME},
}
