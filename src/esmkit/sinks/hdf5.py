"""HDF5 in UniProt's convention (per-protein.h5, per-residue.h5): one dataset per record, named by its id."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py

from esmkit.sinks.format import Format, Layout, Writer, duplicate_id, long_text, record_key
from esmkit.types import Result


class _Disk(io.FileIO):
    """The file below HDF5. It keeps the first failed write to itself, to be raised by `check`.

    HDF5 (2.0) tries again at exit what it could not write, and crashes the process.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        if self.error:
            raise self.error


class _Hdf5Writer(Writer):
    def __init__(self, path: Path, layout: Layout) -> None:
        self._disk = _Disk(path, "w+")
        self._file = h5py.File(self._disk, "w", track_order=True)
        self._file.attrs["esmkit"] = layout.provenance_json
        self._layout = layout

    def write(self, result: Result) -> None:
        name = record_key(result.id)
        if name in self._file:
            raise duplicate_id(result.id, FORMAT.name)
        for key, array in self._layout.keyed_arrays(result):
            if array.dtype.kind == "U":
                self._file.create_dataset(key, data=array.astype(object), dtype=h5py.string_dtype(), track_times=False)
            else:
                self._file.create_dataset(key, data=array, track_times=False)
        long = long_text(result)
        if long is not None:
            self._file[name].attrs["long"] = long
        self._disk.check()

    def copy_all(self, part: Path) -> None:
        """Append everything that another file holds."""
        with h5py.File(part, "r", locking=False) as source:  # the folder of the run is locked already
            for name in source:
                if name in self._file:
                    raise duplicate_id(name, FORMAT.name)
                source.copy(name, self._file, name)
                self._disk.check()

    def close(self) -> None:
        self._file.close()
        self._disk.close()
        self._disk.check()


class _Hdf5(Format):
    """HDF5."""

    name = "hdf5"
    suffixes = (".h5", ".hdf5")

    def open(self, path: Path, layout: Layout) -> Writer:
        return _Hdf5Writer(path, layout)

    def assemble(self, parts: Sequence[Path], path: Path, layout: Layout) -> None:
        with closing(_Hdf5Writer(path, layout)) as whole:
            for part in parts:
                whole.copy_all(part)


FORMAT = _Hdf5()
