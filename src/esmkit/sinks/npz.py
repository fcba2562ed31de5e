"""npz: a zip of numpy arrays, named by id, that `numpy.load` opens without pickle."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from esmkit.sinks.format import Array, Format, Layout, Writer, duplicate_id, long_text, record_key
from esmkit.types import Result


def _member(archive: ZipFile, name: str) -> IO[bytes]:
    if name in archive.NameToInfo:
        raise duplicate_id(name.removesuffix(".npy"), FORMAT.name)
    # ZipInfo starts at 1980-01-01, so that equal runs give equal bytes; zip64 as numpy does it.
    return archive.open(ZipInfo(name), "w", force_zip64=True)


class _NpzWriter(Writer):
    def __init__(self, path: Path, layout: Layout) -> None:
        self._archive = ZipFile(path, "w", ZIP_STORED)
        self._layout = layout

    def _add(self, key: str, array: Array) -> None:
        with _member(self._archive, f"{key}.npy") as member:
            np.lib.format.write_array(member, array, allow_pickle=False)

    def write(self, result: Result) -> None:
        for key, array in self._layout.keyed_arrays(result):
            self._add(key, array)
        long = long_text(result)
        if long is not None:
            self._add(f"{record_key(result.id)}/long", np.asarray(long))

    def close(self) -> None:
        self._archive.close()


class _Npz(Format):
    """NumPy's npz, uncompressed."""

    name = "npz"
    suffixes = (".npz",)

    def open(self, path: Path, layout: Layout) -> Writer:
        return _NpzWriter(path, layout)

    def assemble(self, parts: Sequence[Path], path: Path, layout: Layout) -> None:
        with ZipFile(path, "w", ZIP_STORED) as whole:
            for part in parts:
                with ZipFile(part) as archive:
                    for info in archive.infolist():
                        with archive.open(info) as source, _member(whole, info.filename) as target:
                            shutil.copyfileobj(source, target, 2**20)


FORMAT = _Npz()
