"""SHA-256 of weights files, remembered by path, size and modification time so that it is computed once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from esmkit.errors import WeightsError

CACHE = "digests.json"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as hex digits; reads all of it.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", path=str(path)) from error


def remembered_sha256(path: Path, home: Path, *, reread: bool = False) -> str:
    """The same, from `home/digests.json` if the file has not changed since; a home that is read-only is no error.

    Args:
        path: the file.
        home: ESMKIT_HOME.
        reread: compute it again in any case.

    Raises:
        WeightsError: the file cannot be read.
    """
    path = path.resolve()
    try:
        status = path.stat()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", path=str(path)) from error
    stamp = [status.st_size, status.st_mtime_ns]
    known = _read(home / CACHE)
    entry = known.get(str(path))
    if not reread and isinstance(entry, list) and entry[:2] == stamp and len(entry) == 3:
        return str(entry[2])
    digest = sha256_of(path)
    with suppress(OSError):  # only time is lost
        write_atomically(home / CACHE, json.dumps({**known, str(path): [*stamp, digest]}, indent=1))
    return digest


def combined(digests: Mapping[str, str]) -> str:
    """One digest for a set of weights: of the file itself, or of the sorted lines `name sha256` of several.

    Example:
        >>> combined({"model.safetensors": "c783"})
        'c783'
    """
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Writes a small text file so that readers see the old or the new content, never a part.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
