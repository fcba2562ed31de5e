"""Batch jobs as those see them whose they are: put into the queue within a quota, listed, cancelled, forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from esmkit.store.database import Database
from esmkit.store.job import ENDED, Backlog, Job, JobEnd, JobQuotaError, NewJob, job_of
from esmkit.store.tables import JobRow

MAX_LISTED = 1000


class Jobs:
    """The jobs in a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: NewJob, *, max_jobs: int, max_bytes: int) -> tuple[Job, bool]:
        """Puts a job into the queue; returns it, and whether it is new.

        With an idempotency key that a kept job has, it is that job, whatever else was asked.

        Raises:
            JobQuotaError: the key keeps too much.
            StoreError: the database cannot be written.
        """
        row = JobRow(**asdict(new), state="queued", created_at=self._database.now())
        try:
            with self._database.write() as session:
                if new.idempotency_sha256 and (same := session.scalar(_marked(new.idempotency_sha256))):
                    if same.expires_at is None or same.expires_at > self._database.now():
                        return job_of(same), False
                    same.idempotency_sha256 = None
                    session.flush()
                self._check_quota(session, new.key_id, new.size_bytes, max_jobs, max_bytes)
                session.add(row)
                try:
                    session.flush()
                except IntegrityError:
                    raise _RacedError from None
                return job_of(row), True
        except _RacedError:  # the same request, at the same moment
            found = self.marked(str(new.idempotency_sha256))
            if found is None:
                raise
            return found, False

    def check_quota(self, key_id: str | None, size_bytes: int, *, max_jobs: int, max_bytes: int) -> None:
        """Refuses before the work what `add` would refuse after it; arguments and errors as there."""
        with self._database.read() as session:
            self._check_quota(session, key_id, size_bytes, max_jobs, max_bytes)

    def marked(self, idempotency_sha256: str) -> Job | None:
        """The job that was made with an idempotency key."""
        with self._database.read() as session:
            row = session.scalar(_marked(idempotency_sha256))
            return None if row is None else job_of(row)

    def get(self, job_id: str) -> Job | None:
        """One job, whoever asks; None if there is none, or it has expired."""
        with self._database.read() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job_id, _is_kept(self._database.now())))
            return None if row is None else job_of(row)

    def list(self, key_id: str | None, *, all_keys: bool = False) -> tuple[Job, ...]:
        """The jobs of a key, or all that were made without one, or all; newest first, at most MAX_LISTED."""
        wanted = select(JobRow).where(_is_kept(self._database.now()))
        if not all_keys:
            wanted = wanted.where(JobRow.key_id.is_not_distinct_from(key_id))
        with self._database.read() as session:
            rows = session.scalars(wanted.order_by(JobRow.created_at.desc(), JobRow.id).limit(MAX_LISTED))
            return tuple(job_of(row) for row in rows)

    def cancel(self, job_id: str, *, keep_s: float) -> Job | None:
        """Ends a job: at once if nobody works on it, else at the next beat of who does; None if there is none."""
        with self._database.write() as session:
            wanted = select(JobRow).where(JobRow.id == job_id, _is_kept(self._database.now()))
            row = session.scalar(wanted.with_for_update())
            if row is None:
                return None
            if row.state not in ENDED:
                row.is_cancelled = True
                if row.state == "queued":
                    end(row, "cancelled", self._database.now(), keep_s=keep_s)
            return job_of(row)

    def expire(self, job_id: str) -> None:
        """Ends a job and forgets it; `expired` lists it from then on, as soon as nobody works on it."""
        with self._database.write() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is not None:
                row.expires_at, row.idempotency_sha256 = self._database.now(), None
                row.is_cancelled = row.state not in ENDED
                if row.state == "queued":
                    row.state = "cancelled"

    def bytes_of(self, key_id: str | None, *, but: str) -> int:
        """What the jobs of a key take on the disk, but for one of them."""
        mine = (JobRow.key_id.is_not_distinct_from(key_id), JobRow.id != but, _is_kept(self._database.now()))
        with self._database.read() as session:
            return int(session.scalar(select(func.coalesce(func.sum(JobRow.size_bytes), 0)).where(*mine)) or 0)

    def backlog(self) -> Backlog:
        """What is to be done, whoever does it."""
        left = func.coalesce(func.sum(JobRow.residues_total - JobRow.residues), 0)
        wanted = select(JobRow.state, func.count(), left).where(JobRow.state.in_(("queued", "running")))
        with self._database.read() as session:
            rows = session.execute(wanted.where(_is_kept(self._database.now())).group_by(JobRow.state)).all()
        jobs = {state: int(number) for state, number, _ in rows}
        return Backlog(jobs.get("queued", 0), jobs.get("running", 0), sum(int(residues) for *_, residues in rows))

    def _check_quota(
        self, session: Session, key_id: str | None, size_bytes: int, max_jobs: int, max_bytes: int
    ) -> None:
        # On PostgreSQL, writers at the same moment do not see each other: the bounds may be passed by a few.
        mine = (JobRow.key_id.is_not_distinct_from(key_id), _is_kept(self._database.now()))
        totals = select(func.count(), func.coalesce(func.sum(JobRow.size_bytes), 0)).where(*mine)
        kept, held = map(int, session.execute(totals).one())  # PostgreSQL adds integers up to a decimal
        if kept >= max_jobs:
            raise JobQuotaError(f"{kept} jobs are kept for this key, as many as it may have; delete one, or wait")
        if held + size_bytes > max_bytes:
            raise JobQuotaError(
                f"the jobs of this key take {held / 1e6:.0f} MB, {size_bytes / 1e6:.0f} MB more are above the "
                f"{max_bytes / 1e6:.0f} MB that it may have; delete some, or wait until they expire"
            )


class _RacedError(Exception):
    """Somebody else was quicker."""


def end(row: JobRow, state: JobEnd, now: datetime, *, keep_s: float, error: Mapping[str, Any] | None = None) -> None:
    """Writes down that a job has ended."""
    row.state, row.error, row.finished_at = state, None if error is None else dict(error), now
    row.owner = row.lease_until = row.note = row.retry_at = row.residues_per_s = None
    row.expires_at = row.expires_at or now + timedelta(seconds=keep_s)
    if row.webhook is not None:
        row.webhook_state, row.webhook_at = "due", now


def _is_kept(now: datetime) -> ColumnElement[bool]:
    return or_(JobRow.expires_at.is_(None), JobRow.expires_at > now)


def _marked(idempotency_sha256: str) -> Select[Any]:
    return select(JobRow).where(JobRow.idempotency_sha256 == idempotency_sha256)
