"""Batch jobs as servers see them: one server at a time works on a job, whatever becomes of servers.

A server holds a job by a lease that it renews while it works. When it dies, the lease ends, and the next server that
asks for work takes the job over; a server that has lost a job notices at its next beat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from esmkit.store.database import Database
from esmkit.store.job import Job, JobEnd, JobProgress, job_of
from esmkit.store.jobs import end
from esmkit.store.tables import JobRow

WEBHOOK_LEASE_S = 60.0
Beat = Literal["mine", "cancel", "lost"]


class JobLeases:
    """Who works on which job of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, owner: str, *, place: str, models: Collection[str], lease_s: float) -> Job | None:
        """Takes the next job: one whose server died, else one of the key that was served the longest ago.

        Args:
            owner: who takes it.
            place: where its files must be.
            models: that can be used, by slug.
            lease_s: how long it is held without a beat.
        """
        now, other = self._database.now(), aliased(JobRow)
        of_key = select(func.max(other.started_at)).where(other.key_id.is_not_distinct_from(JobRow.key_id))
        is_waiting = and_(JobRow.state == "queued", or_(JobRow.retry_at.is_(None), JobRow.retry_at <= now))
        is_orphan = and_(JobRow.state == "running", JobRow.lease_until <= now)
        first = (
            select(JobRow)
            .where(or_(is_waiting, is_orphan), JobRow.place == place, JobRow.model.in_(models))
            .where(JobRow.expires_at.is_(None))
            .order_by((JobRow.state == "running").desc(), of_key.scalar_subquery().asc().nulls_first())
            .order_by(JobRow.created_at, JobRow.id)
            .limit(1)
            .with_for_update(of=JobRow, skip_locked=True)
        )
        with self._database.write() as session:
            row = session.scalar(first)
            if row is None:
                return None
            row.crashes += row.state == "running"
            row.state, row.owner, row.note, row.retry_at = "running", owner, None, None
            row.lease_until = now + timedelta(seconds=lease_s)
            row.started_at = row.started_at or now
            return job_of(row)

    def beat(self, job_id: str, owner: str, progress: JobProgress, *, lease_s: float, note: str | None) -> Beat:
        """Renews a lease and writes down how far the job is.

        Returns:
            `mine`; `cancel` if it shall end; `lost` if somebody else has it by now.
        """
        with self._database.write() as session:
            row = self._held(session, job_id, owner)
            if row is None:
                return "lost"
            _note(row, progress)
            row.note = note
            row.lease_until = self._database.now() + timedelta(seconds=lease_s)
            return "cancel" if row.is_cancelled else "mine"

    def held(self, job_id: str, owner: str) -> Job | None:
        """The job, if the owner still has it."""
        with self._database.read() as session:
            row = session.get(JobRow, job_id)
            return job_of(row) if row is not None and row.owner == owner and row.state == "running" else None

    def went_on(self, job_id: str, owner: str) -> None:
        """Forgets crashes and retries, as part of the job is finished for good."""
        mine = (JobRow.id == job_id, JobRow.owner == owner)
        with self._database.write() as session:
            session.execute(update(JobRow).where(*mine).values(crashes=0, retries=0))

    def put_back(self, job_id: str, owner: str, *, note: str | None = None, retry_in_s: float = 0.0) -> None:
        """Leaves a job to whoever asks next, after a while; a note says that it is for a reason."""
        with self._database.write() as session:
            row = self._held(session, job_id, owner)
            if row is None:
                return
            row.state, row.owner, row.lease_until, row.note = "queued", None, None, note
            is_later = retry_in_s and not row.is_cancelled  # whoever takes a cancelled job only has to end it
            row.retry_at = self._database.now() + timedelta(seconds=retry_in_s) if is_later else None
            row.retries += note is not None

    def finish(
        self,
        job_id: str,
        owner: str,
        state: JobEnd,
        progress: JobProgress,
        *,
        keep_s: float,
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Ends a job; False if it is not the owner's any more."""
        with self._database.write() as session:
            row = self._held(session, job_id, owner)
            if row is None:
                return False
            _note(row, progress)
            end(row, state, self._database.now(), keep_s=keep_s, error=error)
            return True

    def expired(self, place: str) -> list[str]:
        """Ids of jobs whose files can be deleted; those that somebody works on come later."""
        now = self._database.now()
        is_free = or_(JobRow.state != "running", JobRow.lease_until.is_(None), JobRow.lease_until <= now)
        with self._database.read() as session:
            return [*session.scalars(select(JobRow.id).where(JobRow.place == place, JobRow.expires_at <= now, is_free))]

    def forget(self, job_id: str) -> None:
        """Deletes a job whose files are deleted."""
        with self._database.write() as session:
            session.execute(delete(JobRow).where(JobRow.id == job_id))

    def known(self, ids: Collection[str]) -> set[str]:
        """Which of these jobs there are, expired ones too."""
        with self._database.read() as session:
            return {*session.scalars(select(JobRow.id).where(JobRow.id.in_(ids)))}

    def take_webhook(self) -> Job | None:
        """A job whose webhook is due; it is due again after WEBHOOK_LEASE_S unless `note_webhook` says otherwise."""
        now = self._database.now()
        due = select(JobRow).where(JobRow.webhook_state == "due", JobRow.webhook_at <= now)
        with self._database.write() as session:
            row = session.scalar(due.order_by(JobRow.webhook_at).limit(1).with_for_update(skip_locked=True))
            if row is None:
                return None
            row.webhook_at = now + timedelta(seconds=WEBHOOK_LEASE_S)
            row.webhook_tries += 1
            return job_of(row)

    def note_webhook(self, job_id: str, *, delivered: bool, retry_in_s: float | None = None) -> None:
        """What became of a try; without a next one it has failed for good."""
        with self._database.write() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is not None:
                again = not delivered and retry_in_s is not None
                row.webhook_state = "delivered" if delivered else "due" if again else "failed"
                row.webhook_at = self._database.now() + timedelta(seconds=retry_in_s or 0) if again else None

    def _held(self, session: Session, job_id: str, owner: str) -> JobRow | None:
        row = session.get(JobRow, job_id, with_for_update=True)
        return row if row is not None and row.owner == owner and row.state == "running" else None


def _note(row: JobRow, progress: JobProgress) -> None:
    for name, value in asdict(progress).items():
        setattr(row, name, value)
