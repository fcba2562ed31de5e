"""Where the shards of a run go: a folder that all machines see, or a URL, to which whole files are uploaded."""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from esmkit.errors import InvalidConfigError
from esmkit.inputs.remote import filesystem_of
from esmkit.sinks.files import MANIFEST, temporary
from esmkit.sinks.shard import Shards

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


class Place(Protocol):
    """Where a worker puts its shards."""

    def demand_visible(self) -> None:
        """Raises InvalidConfigError where the place of the run cannot be reached from here."""

    def shards(self, shards: Shards) -> AbstractContextManager[Shards]:
        """The same shards, in a folder of this machine; when the block ends they are in their place."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder of this machine, or of a file system that all machines have mounted.

    Attributes:
        folder: its path, the same everywhere.
    """

    folder: Path

    def demand_visible(self) -> None:
        """Raises InvalidConfigError where the folder of the run is not seen."""
        if not (self.folder / MANIFEST).exists():
            raise InvalidConfigError(
                f"the worker on {socket.gethostname()} does not see the run in {self.folder}; choose an --out on a "
                "file system that all machines share, or a URL such as s3://bucket/folder",
                setting="out",
            )

    @contextmanager
    def shards(self, shards: Shards) -> Iterator[Shards]:
        """They are written where they belong."""
        yield replace(shards, folder=self.folder)


@dataclass(frozen=True, slots=True)
class Remote:
    """A folder behind a URL.

    Attributes:
        url: of the folder.
    """

    url: str

    def demand_visible(self) -> None:
        """Raises InvalidConfigError where the manifest of the run is not seen."""
        if not self.has(MANIFEST):
            raise InvalidConfigError(
                f"the worker on {socket.gethostname()} does not see the run in {self.url}; check what that machine may "
                "read and write there",
                setting="out",
            )

    @contextmanager
    def shards(self, shards: Shards) -> Iterator[Shards]:
        """They are written to this machine, and uploaded when they are whole."""
        with TemporaryDirectory(prefix="esmkit-") as folder:
            yield replace(shards, folder=Path(folder))
            for path in Path(folder).iterdir():
                self.upload(path)

    def names(self) -> set[str]:
        """The files there."""
        from pyarrow import fs

        system, root = filesystem_of(self.url)
        found = system.get_file_info(fs.FileSelector(root, allow_not_found=True))
        return {info.base_name for info in found}

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        from pyarrow import fs

        system, root = filesystem_of(self.url)
        return bool(system.get_file_info(f"{root}/{name}").type == fs.FileType.File)

    def upload(self, path: Path) -> None:
        """Puts a file there, whole or not at all: object stores show a file when it is closed, others get a rename."""
        from pyarrow import fs

        system, root = filesystem_of(self.url)
        if isinstance(system, fs.S3FileSystem | fs.GcsFileSystem):
            _copy(path, system, f"{root}/{path.name}")
            return
        system.create_dir(root, recursive=True)
        unfinished = temporary(path, uuid.uuid4().hex).name
        try:
            _copy(path, system, f"{root}/{unfinished}")
            system.move(f"{root}/{unfinished}", f"{root}/{path.name}")
        except BaseException:
            self.delete(unfinished)
            raise

    def download(self, name: str, folder: Path) -> None:
        """Copies a file from there, if there is one."""
        system, root = filesystem_of(self.url)
        if self.has(name):
            stored = system.open_input_stream(f"{root}/{name}", compression=None)
            with stored as source, (folder / name).open("wb") as copy:
                shutil.copyfileobj(source, copy, 2**20)

    def delete(self, name: str) -> None:
        """Deletes a file, if there is one."""
        system, root = filesystem_of(self.url)
        if self.has(name):
            system.delete_file(f"{root}/{name}")


def _copy(path: Path, system: FileSystem, name: str) -> None:
    with path.open("rb") as source, system.open_output_stream(name, compression=None) as copy:
        shutil.copyfileobj(source, copy, 2**20)
