"""Batch jobs: a file of proteins in, a file of results out, and what becomes of it in between."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from esmkit.server.answers import json_response
from esmkit.server.auth import Caller, identify
from esmkit.server.boundary import UNTIL_SENT
from esmkit.server.calls import trace_of
from esmkit.server.errors import DrainingError
from esmkit.server.jobs import Worker, intake, links
from esmkit.server.jobs.asked import JobQuery
from esmkit.server.jobs.errors import DiskError, UnknownJobError
from esmkit.server.jobs.run import ACTION
from esmkit.server.jobs.sent import MEDIA_TYPES, demand_done, sent
from esmkit.server.jobs.shown import JobList, JobPage, Link, MadeJob, shown
from esmkit.server.jobs.submission import Submission, mark_of
from esmkit.server.limits import tightest
from esmkit.server.service_docs import answered
from esmkit.server.services import Services, services
from esmkit.store import Job

PATH = "/api/v3/jobs"
_ID = re.compile(r"job_[A-Za-z0-9_-]{22}")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The proteins: FASTA, CSV, TSV, or JSON lines of items or requests; gzip, zstd, bzip2 or xz.",
        "content": {
            "text/x-fasta": {"schema": {"type": "string"}, "example": ">P69905\nMVLSPADKTNVKAAW\n"},
            "text/csv": {"schema": {"type": "string"}, "example": "id,sequence\nP69905,MVLSPADKTNVKAAW\n"},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Up to 255 visible characters; the same request with the same key is the same job.",
            "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
        }
    ],
}
router = APIRouter(tags=["jobs"])


def _file(media_types: Iterable[str], *errors: int) -> dict[str, Any]:
    body = {"schema": {"type": "string", "format": "binary"}}
    content = dict.fromkeys(media_types, body)
    parts = {200: {"description": "The file.", "content": content}, 206: {"description": "Part.", "content": content}}
    return {"response_class": FileResponse, "responses": parts | {status: {} for status in errors}}


@router.post(
    PATH, summary="Send a job", openapi_extra=_BODY, **answered(MadeJob, 400, 401, 403, 404, 408, 409, 413, 429, 503)
)
async def jobs_submit(request: Request, query: Annotated[JobQuery, Query()]) -> Response:
    """The body is the input, the query says what to compute. The job runs when the models have nothing else to do."""
    server, jobs, caller, headers = await _entered(request)
    if server.draining:
        raise DrainingError()
    model = server.catalog.find(query.model)
    caller.check(model=model.slug, action=ACTION)
    until_sent: ExitStack = request.scope[UNTIL_SENT]
    until_sent.enter_context(server.limiter.running(caller.id))
    key_id = caller.key.id if caller.key else None
    submission = Submission(server, jobs, query, model, key_id, mark_of(request, key_id))
    await asyncio.to_thread(submission.check)
    settings = server.settings
    try:
        with jobs.folder.upload() as folder:
            digest = await intake.receive(
                request, folder / "raw", max_bytes=settings.jobs_upload_bytes, timeout_s=settings.body_timeout_s
            )
            job = await asyncio.to_thread(submission.add, folder, digest)
    except OSError as error:
        raise DiskError(error) from error
    jobs.wake()
    secret = None if job.webhook is None else jobs.webhooks.secret(key_id)
    return json_response({**shown(job), "webhook_secret": secret}, headers=headers)


@router.get(PATH, summary="The jobs of the key that asks", **answered(JobList, 401, 429))
async def jobs_list(request: Request) -> Response:
    """Newest first; an admin key sees the jobs of all. Without a key, where keys are off, those that were sent so."""
    server, _, caller, headers = await _entered(request)
    key_id, is_admin = (caller.key.id, caller.key.admin) if caller.key else (None, False)
    found = await asyncio.to_thread(server.store.jobs.list, key_id, all_keys=is_admin)
    return json_response({"jobs": [shown(job) for job in found]}, headers=headers, request=request)


@router.get(PATH + "/{job_id}", summary="One job", **answered(JobPage, 401, 404, 429))
async def jobs_get(request: Request, job_id: str) -> Response:
    """How far it is, and what it says."""
    *_, job, headers = await _found(request, job_id)
    return json_response(shown(job), headers=headers)


@router.post(PATH + "/{job_id}/cancel", summary="End a job", **answered(JobPage, 401, 404, 429))
async def jobs_cancel(request: Request, job_id: str) -> Response:
    """Nothing of a cancelled job is kept but its page; one that has ended stays as it is."""
    server, jobs, job, headers = await _found(request, job_id)
    ended = await asyncio.to_thread(server.store.jobs.cancel, job.id, keep_s=server.settings.jobs_keep_s)
    jobs.cancel(job.id)
    if job.state == "queued":
        await asyncio.to_thread(jobs.folder.of(job.id).delete)
    return json_response(shown(ended or job), headers=headers)


@router.delete(PATH + "/{job_id}", summary="Delete a job", **answered(JobPage, 401, 404, 429))
async def jobs_delete(request: Request, job_id: str) -> Response:
    """Ends it if it runs, and deletes it with its result. Answers what it was."""
    server, jobs, job, headers = await _found(request, job_id)
    await asyncio.to_thread(server.store.jobs.expire, job.id)
    jobs.cancel(job.id)
    jobs.sweep_soon()
    return json_response(shown(job), headers=headers)


@router.post(
    PATH + "/{job_id}/link", summary="A link to a result for others", **answered(Link, 400, 401, 404, 409, 429)
)
async def jobs_link(
    request: Request,
    job_id: str,
    lifetime_s: Annotated[int, Query(description="How long it works.", ge=1, le=links.MAX_LIFETIME_S)] = 3600,
) -> Response:
    """Whoever has the link can read the result until it expires."""
    _, jobs, job, headers = await _found(request, job_id)
    demand_done(job)
    expires = int(time.time()) + lifetime_s
    base = str(request.base_url).rstrip("/")
    url = f"{base}{PATH}/{job.id}/result?{links.signed_query(jobs.folder, job.id, expires)}"
    return json_response({"url": url, "expires_at": datetime.fromtimestamp(expires, UTC)}, headers=headers)


@router.get(
    PATH + "/{job_id}/result",
    summary="The result of a job",
    **_file(MEDIA_TYPES.values(), 400, 401, 403, 404, 409, 416, 429),
)
async def jobs_result(
    request: Request,
    job_id: str,
    expires: Annotated[int | None, Query(description="Of a link.", ge=0, le=2**53)] = None,
    signature: Annotated[str | None, Query(description="Of a link.", max_length=100)] = None,
) -> Response:
    """The file, or a range of it. With the query of a link it needs no key."""
    if expires is not None and signature is not None:
        server = services(request)
        jobs, headers = _worker(server), dict[str, str]()
        links.check(jobs.folder, job_id, expires, signature)
        job = await _read(server, job_id)
    else:
        _, jobs, job, headers = await _found(request, job_id)
    demand_done(job)
    form = str(job.asked["format"])
    path = jobs.folder.of(job.id).result(form)
    return await sent(request, path, f"{job.id}{path.suffix}", MEDIA_TYPES[form], headers)


@router.get(
    PATH + "/{job_id}/failures",
    summary="Records without an answer",
    **_file([MEDIA_TYPES["jsonl"]], 401, 404, 416, 429),
)
async def jobs_failures(request: Request, job_id: str) -> Response:
    """JSON lines, one per record that has no result: index, id, error. It grows while the job runs."""
    _, jobs, job, headers = await _found(request, job_id)
    path = await asyncio.to_thread(jobs.folder.of(job.id).failures, str(job.asked["format"]))
    if path is None:
        return Response(b"", headers=headers, media_type=MEDIA_TYPES["jsonl"])
    return await sent(request, path, f"{job.id}.failures.jsonl", MEDIA_TYPES["jsonl"], headers)


# Who asks for what


async def _entered(request: Request) -> tuple[Services, Worker, Caller, dict[str, str]]:
    """Who asks, counted; with the headers of their limits."""
    server = services(request)
    caller = await identify(request, server.store, required=server.settings.asks_for_keys)
    trace = trace_of(request)
    trace.key, trace.version = caller.key.id if caller.key else None, "v3"
    left = await server.limiter.take_request(caller.id)
    return server, _worker(server), caller, tightest(left)


async def _found(request: Request, job_id: str) -> tuple[Services, Worker, Job, dict[str, str]]:
    """A job of who asks; any job for an admin.

    Raises:
        UnknownJobError: there is none, or it is somebody else's.
    """
    server, jobs, caller, headers = await _entered(request)
    job = await _read(server, job_id)
    is_mine = job.key_id == (caller.key.id if caller.key else None)
    if not is_mine and not (caller.key and caller.key.admin):
        raise UnknownJobError
    return server, jobs, job, headers


async def _read(server: Services, job_id: str) -> Job:
    job = await asyncio.to_thread(server.store.jobs.get, job_id) if _ID.fullmatch(job_id) else None
    if job is None:
        raise UnknownJobError
    return job


def _worker(server: Services) -> Worker:
    assert server.jobs is not None  # else these routes are not there
    return server.jobs
