"""safetensors: shards of named arrays that load fast and safely; the library needs a whole shard in memory."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import save_file

from esmkit.sinks.format import Array, Format, Layout, Writer, duplicate_id, long_text
from esmkit.types import Column, Result


class _SafetensorsWriter(Writer):
    def __init__(self, path: Path, layout: Layout) -> None:
        path.touch()  # a folder that cannot be written to is found out now, not after the last record
        self._path, self._mode = path, path.stat().st_mode
        self._layout = layout
        self._arrays: dict[str, Array] = {}
        self._long: dict[str, str] = {}

    def write(self, result: Result) -> None:
        for key, array in self._layout.keyed_arrays(result):
            if key in self._arrays:
                raise duplicate_id(result.id, FORMAT.name)
            self._arrays[key] = array.copy()  # a view would keep its batch alive; and order C is required
        long = long_text(result)
        if long is not None:
            self._long[result.id] = long

    def close(self) -> None:
        metadata = {"esmkit": self._layout.provenance_json, "long": json.dumps(self._long)}
        save_file(self._arrays, self._path, metadata)
        self._path.chmod(self._mode)  # the library makes files that nobody else can read
        self._arrays = {}

    def abort(self) -> None:
        self._arrays = {}


class _Safetensors(Format):
    """safetensors, one file per shard."""

    name = "safetensors"
    suffixes = (".safetensors",)
    single_file = False

    def refusal(self, column: Column) -> str | None:
        return "safetensors holds numbers only, no text" if column.dtype == "str" else None

    def open(self, path: Path, layout: Layout) -> Writer:
        return _SafetensorsWriter(path, layout)


FORMAT = _Safetensors()
