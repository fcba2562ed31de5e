"""A new job: what can be refused before its input is read, and what becomes of the input then."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from esmkit.engine.jobs import Plan
from esmkit.errors import InvalidConfigError
from esmkit.inputs import check_unique
from esmkit.server.catalog import ServedModel
from esmkit.server.errors import ConflictError
from esmkit.server.jobs import intake
from esmkit.server.jobs.asked import Asked, JobQuery
from esmkit.sinks.files import sync
from esmkit.store import Job, NewJob, new_job_id

if TYPE_CHECKING:
    from esmkit.server.jobs.worker import Worker
    from esmkit.server.services import Services

_MARK = re.compile(r"[\x21-\x7e]{1,255}")


def mark_of(request: Request, key_id: str | None) -> str | None:
    """What stands for the Idempotency-Key of a request in the store, apart from those of other callers.

    Raises:
        InvalidConfigError: it has characters that nobody can see, or too many.
    """
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    if not _MARK.fullmatch(given):
        raise InvalidConfigError("Idempotency-Key takes 1 to 255 visible characters", setting="idempotency_key")
    return hashlib.sha256(f"{key_id or ''} {given}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a job.

    Attributes:
        key_id: who asks; None without a key.
        mark: see `mark_of`.
    """

    server: Services
    jobs: Worker
    query: JobQuery
    model: ServedModel
    key_id: str | None
    mark: str | None

    def check(self) -> None:
        """Refuses what is wrong before the input is read.

        Raises:
            UserError: the query is wrong, the webhook not allowed, or the quota used up.
            StoreError: the store is away.
        """
        if self.query.name and not self.query.name.isprintable():
            raise InvalidConfigError("name takes printable characters", setting="name")
        self._plan(self._asked("fasta"))
        if self.query.webhook is not None:
            self.jobs.webhooks.hosts.check(self.query.webhook)
        store = self.server.store.jobs
        if self.mark is None or store.marked(self.mark) is None:
            store.check_quota(self.key_id, 0, **self._quota)

    def add(self, folder: Path, digest: str) -> Job:
        """Reads an input once, to know that it can be computed and how much it is, and puts the job into the queue.

        Args:
            folder: holds what was received as `raw`; it becomes that of the job.
            digest: of what was received.

        Raises:
            UserError: the input is wrong, or the quota used up.
            ConflictError: the Idempotency-Key is that of another request.
            StoreError: the store is away.
        """
        path = folder / "input"
        intake.unpack(folder / "raw", path, max_bytes=self.server.settings.jobs_upload_bytes)
        asked = self._asked(self.query.input or intake.detected(path))
        new = self._new(path, asked, digest)
        sync(path)
        files = self.jobs.folder.of(new.id)
        folder.rename(files.folder)  # before the store knows it: whoever takes the job finds its input
        is_new = False
        try:
            job, is_new = self.server.store.jobs.add(new, **self._quota)
        finally:
            if not is_new:
                files.delete()
        if not is_new and job.request_sha256 != new.request_sha256:
            raise ConflictError("another request was made with this Idempotency-Key; choose another one")
        return job

    def _new(self, path: Path, asked: Asked, digest: str) -> NewJob:
        query, counts = self.query, self._counted(path, asked)
        whole = json.dumps([self.model.slug, query.name, query.webhook, asked.stored(), digest], sort_keys=True)
        return NewJob(
            id=new_job_id(),
            key_id=self.key_id,
            place=self.jobs.folder.place,
            name=query.name,
            model=self.model.slug,
            asked=asked.stored(),
            idempotency_sha256=self.mark,
            request_sha256=hashlib.sha256(whole.encode()).hexdigest(),
            records_total=counts.records,
            residues_total=counts.residues,
            size_bytes=path.stat().st_size,
            webhook=query.webhook,
        )

    def _counted(self, path: Path, asked: Asked) -> intake.Counts:
        columns = {"id_column": asked.id_column, "sequence_column": asked.sequence_column}
        found = intake.records(path, asked.input, **columns)
        if asked.on_error == "skip":
            return intake.count(found)
        accepted = intake.accepted(found, self._plan(asked), asked.residues, asked.length)
        return intake.count(check_unique(accepted))

    def _asked(self, form: intake.InputFormat) -> Asked:
        return Asked.of(self.query, input=form, max_length=self.server.settings.max_residues)

    def _plan(self, asked: Asked) -> Plan:
        outputs, _ = asked.built(self.model.shape)
        plan = Plan(tuple(outputs))
        plan.check_provided(self.server.queue.info(self.model.name).provides, self.model.slug)
        return plan

    @property
    def _quota(self) -> dict[str, int]:
        settings = self.server.settings
        return {"max_jobs": settings.jobs_per_key, "max_bytes": settings.jobs_bytes_per_key}
