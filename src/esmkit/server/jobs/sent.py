"""Files of jobs as answers: whole, or the range that was asked for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from esmkit.server.calls import trace_of
from esmkit.server.errors import ConflictError, RangeError
from esmkit.server.jobs.errors import UnknownJobError
from esmkit.store import Job

MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "hdf5": "application/x-hdf5",
    "npz": "application/x-npz",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
}
_RANGE = re.compile(r"bytes=(?=\d|-\d)(\d{0,18})-(\d{0,18})")


def demand_done(job: Job) -> None:
    """Refuses a job that has no result.

    Raises:
        ConflictError: says what it is, and why.
    """
    if job.state != "done":
        reason = f": {job.error['message']}" if job.error else ""
        wait = "" if job.has_ended else "; its result is there when it is done"
        raise ConflictError(f"the job is {job.state}{reason}{wait}")


async def sent(request: Request, path: Path, name: str, media_type: str, headers: Mapping[str, str]) -> Response:
    """A file, or the range of it that is asked for.

    Raises:
        UnknownJobError: it is not there any more.
        RangeError: it has no such bytes.
    """
    try:
        stat = await asyncio.to_thread(path.stat)
    except FileNotFoundError:
        raise UnknownJobError from None  # it has just expired, or its folder is not one of this server
    _check_range(request, stat.st_size)
    response = FileResponse(path, headers=headers, media_type=media_type, filename=name, stat_result=stat)
    if trace_of(request).method == "HEAD":
        return Response(headers=dict(response.headers))
    return response


def _check_range(request: Request, size_bytes: int) -> None:
    """Refuses a range beyond the end; drops what is no single range, as a server may."""
    given = request.headers.get("range")
    if given is None:
        return
    found = _RANGE.fullmatch(given.strip())
    first, last = found.groups() if found else ("", "")
    if not found or (first and last and int(last) < int(first)):
        request.scope["headers"] = [each for each in request.scope["headers"] if each[0] != b"range"]
    elif (first and int(first) >= size_bytes) or (not first and int(last) == 0):
        raise RangeError(f"the file has {size_bytes} bytes")
