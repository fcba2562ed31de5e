"""What can be wrong with a job, beyond what can be wrong with any request."""

from __future__ import annotations

import errno
from typing import ClassVar

from esmkit.errors import CapacityError, EsmkitError, UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class UnknownJobError(UserError):
    """There is no such job, or it is somebody else's, which is nobody's business."""

    code: ClassVar[str] = "user.unknown_job"

    def __init__(self) -> None:
        super().__init__("there is no such job; it may have expired, or be of another key")


class DiskError(CapacityError):
    """Files of jobs cannot be written now."""

    code = "capacity.disk"

    def __init__(self, error: OSError) -> None:
        what = "is full" if error.errno in _FULL else f"cannot be used ({error.strerror})"
        super().__init__(f"the disk for jobs {what}; try again later")


class RecordError(Exception):
    """A record has no answer, and the job shall end then.

    Attributes:
        error: why.
    """

    def __init__(self, error: EsmkitError) -> None:
        super().__init__(error.message)
        self.error = error


class StoppedError(Exception):
    """The job is not this server's to go on with: it was cancelled, or the server stops, or another one has it."""
