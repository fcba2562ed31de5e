"""URLs: files of object stores and of whatever else pyarrow or fsspec knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esmkit.errors import InvalidConfigError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(source: str) -> bool:
    """Whether this is `s3://bucket/key` or the like, and no path.

    Example:
        >>> is_url("s3://bucket/proteins.fasta"), is_url("data/proteins.fasta"), is_url("-")
        (True, False, False)
    """
    return _URL.match(source) is not None


def filesystem_of(url: str) -> tuple[FileSystem, str]:
    """The file system of a URL, and the path there: pyarrow's own where it has one, else that of fsspec.

    Raises:
        InvalidConfigError: neither knows it.
    """
    import pyarrow as pa
    from pyarrow import fs

    try:
        system, path = fs.FileSystem.from_uri(url)
    except (pa.ArrowException, ValueError, OSError) as error:
        try:
            import fsspec

            other, path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as second:
            scheme = url.partition(":")[0]
            raise InvalidConfigError(
                f"{url}: neither pyarrow ({error}) nor fsspec ({second}) opens {scheme}://; install the package that "
                "does, or copy the file to this machine",
                setting="source",
            ) from error
        system = fs.PyFileSystem(fs.FSSpecHandler(other))
    return system, path.rstrip("/")
