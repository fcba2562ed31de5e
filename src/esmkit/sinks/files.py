"""Files that appear whole or not at all, and a lock on the folder of a run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from esmkit.errors import InvalidConfigError

MANIFEST, FAILURES, LOCK = "_manifest.json", "_failures.jsonl", ".lock"
"""In a folder of shards. pyarrow, pandas and Spark skip such names when they read the folder as one table."""
_SHARD = re.compile(r"shard-(\d{5,})\.\w+")
_UNFINISHED = re.compile(r"\.(shard-\d{5,}\.\w+|assembled\.\w+|_manifest\.json|_failures\.jsonl)(\.\w+)?\.tmp")


def shard_name(number: int, suffix: str) -> str:
    """The file of a shard, e.g. `shard-00012.parquet`; numbers start at 0."""
    return f"shard-{number:05d}{suffix}"


def shard_number(name: str) -> int | None:
    """The number of a shard from the name of its file; None when it is no such name.

    Example:
        >>> shard_number("shard-00012.parquet"), shard_number("proteins.parquet")
        (12, None)
    """
    found = _SHARD.fullmatch(name)
    return int(found[1]) if found else None


def temporary(path: Path, writer: str = "") -> Path:
    """Where a file is written before it is published under its own name; `writer` tells several apart."""
    return path.with_name(f".{path.name}{writer and '.'}{writer}.tmp")


def publish(temp: Path, path: Path) -> None:
    """Give a complete file its name, in one step, after its bytes are safe on the disk."""
    sync(temp)
    temp.replace(path)
    sync(path.parent)


def write_whole(path: Path, text: str, *, temp: Path | None = None) -> None:
    """Write a small file so that a reader sees the old text or the new one, never a part."""
    temp = temp or temporary(path)
    try:
        temp.write_text(text, encoding="utf-8", newline="\n")
        publish(temp, path)
    finally:
        temp.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes its name when all is written; there must be none by then, or an empty one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial"))
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp makes it for one user only
        for file in unfinished.iterdir():
            sync(file)
        unfinished.replace(path)
        sync(path.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file or folder is safe on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, *, keep: Collection[str]) -> None:
    """Delete shards that the run does not know and temporary files that a killed run left; touch nothing else."""
    for path in folder.iterdir():
        is_shard = shard_number(path.name) is not None and path.name not in keep
        if is_shard or _UNFINISHED.fullmatch(path.name):
            path.unlink()


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something, but no run.

    Raises:
        InvalidConfigError: the folder is not empty and has no manifest, or the path is no folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InvalidConfigError(f"{folder} is not a directory; choose another --out", setting="out")
    names = {path.name for path in folder.iterdir()} - {LOCK, temporary(Path(MANIFEST)).name}
    if names and MANIFEST not in names:
        raise InvalidConfigError(
            f"{folder} is not empty and holds no run of esmkit (no {MANIFEST}; found {min(names)!r}); nothing there "
            "was touched: choose another --out or an empty directory",
            setting="out",
        )


class FolderLock:
    """One process at a time writes into a folder; the folder is made when missing.

    The lock belongs to the open file, so it ends with the process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read() or "another process"
                self._file.close()
                raise InvalidConfigError(
                    f"{holder} is writing to {folder}; wait until it is done or choose another --out", setting="out"
                ) from None
            if self._is_current():
                break
            self._file.close()
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def _is_current(self) -> bool:
        """False when the previous holder deleted the file between our opening and locking it."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    @property
    def released(self) -> bool:
        """Whether another process may hold the folder by now."""
        return self._file.closed

    def release(self) -> None:
        """Delete the lock file and let the next process in."""
        self._path.unlink(missing_ok=True)
        self._file.close()
