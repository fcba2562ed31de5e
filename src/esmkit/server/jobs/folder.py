"""Where the files of jobs are: a folder per job, and the secret that signs links to results."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from esmkit import sinks
from esmkit.errors import InvalidConfigError
from esmkit.server.logs import SERVER
from esmkit.store import data_folder

_SIGNING_FILE = ".secret"
_UPLOAD = ".upload-"
UPLOAD_S = 3600.0
"""How long an input may take to arrive; what is older was left by a server that died."""


def default_folder(environment: Mapping[str, str]) -> str | None:
    """Where jobs are kept unless the operator says otherwise; None, and a line in the log, if nothing can be.

    A server whose keys are in PostgreSQL may have no place of its own to write to; it serves all the same.
    """
    path = data_folder(environment) / "jobs"
    with suppress(OSError):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.access(path, os.W_OK):
        return str(path)
    SERVER.warning("batch jobs are off, as %s cannot be written; choose a jobs_folder", path)
    return None


class JobsFolder:
    """The folder of all jobs, which servers that share jobs share.

    Attributes:
        path: of the folder.
        place: its name in the store, the same for every server that sees it.

    Raises:
        InvalidConfigError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._secret = _secret(path / _SIGNING_FILE)
        except OSError as error:
            raise InvalidConfigError(
                f"cannot write {path}: {error.strerror}; choose another jobs_folder", setting="jobs_folder"
            ) from error
        self.place = self.sign("place")[:32]

    def sign(self, text: str) -> str:
        """What only servers that have this folder can say of a text: 64 hexadecimal digits."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def of(self, job_id: str) -> JobFiles:
        """The files of a job."""
        return JobFiles(self.path / job_id)

    @contextmanager
    def upload(self) -> Iterator[Path]:
        """A folder for an input that comes in; gone at the end unless it was renamed."""
        path = Path(tempfile.mkdtemp(dir=self.path, prefix=_UPLOAD))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def sweep(self, *, older_than_s: float) -> list[str]:
        """Deletes uploads that nobody finishes; returns the names of folders of jobs that are as old as given."""
        now, old = time.time(), []
        for path in self.path.iterdir():
            with suppress(OSError):  # somebody else deleted it
                age_s = now - path.stat().st_mtime
                if path.name.startswith(_UPLOAD) and age_s > 2 * UPLOAD_S:
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name.startswith("job_") and age_s > older_than_s:
                    old.append(path.name)
        return old


class JobFiles:
    """The files of one job.

    Attributes:
        folder: that holds them.
        input: what was uploaded, plain text.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "input"

    def result(self, form: str) -> Path:
        """The file of results; it is there, whole, once the job is done."""
        return self.folder / f"result{sinks.formats()[form].suffixes[0]}"

    def failures(self, form: str) -> Path | None:
        """The records without an answer so far, JSON lines; None while there is none."""
        result = self.result(form)
        beside = result.with_name(f"{result.name}.failures.jsonl")
        inside = result.with_name(f".{result.name}.partial") / "_failures.jsonl"
        return next((path for path in (beside, inside) if path.is_file()), None)

    def size_bytes(self) -> int:
        """What they take on the disk."""
        total = 0
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def drop_input(self) -> None:
        """Deletes what is of no use once there is a result."""
        self.input.unlink(missing_ok=True)

    def delete(self) -> None:
        """Deletes all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _secret(path: Path) -> bytes:
    """The secret in a file, which is made, whole, if there is none."""
    if not path.exists():
        descriptor, temp = tempfile.mkstemp(dir=path.parent, prefix=_UPLOAD)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # of two servers that start together, one is first
            path.hardlink_to(temp)
        Path(temp).unlink()
    return path.read_bytes()
