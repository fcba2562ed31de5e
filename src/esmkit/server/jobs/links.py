"""Links to a result that work without a key, until they expire."""

from __future__ import annotations

import hmac
import time

from esmkit.server.errors import ForbiddenError
from esmkit.server.jobs.folder import JobsFolder

MAX_LIFETIME_S = 7 * 86_400


def signed_query(folder: JobsFolder, job_id: str, expires: int) -> str:
    """The query that opens the result of a job until a time, in seconds since 1970."""
    return f"expires={expires}&signature={_signature(folder, job_id, expires)}"


def check(folder: JobsFolder, job_id: str, expires: int, signature: str) -> None:
    """Refuses a link that this server, or one that shares its jobs, has not made.

    Raises:
        ForbiddenError: it has expired, or was changed.
    """
    is_ours = hmac.compare_digest(_signature(folder, job_id, expires).encode(), signature.encode())
    if not is_ours or expires <= time.time():
        raise ForbiddenError("the link has expired, or is not one of this server")


def _signature(folder: JobsFolder, job_id: str, expires: int) -> str:
    return folder.sign(f"result {job_id} {expires}")
