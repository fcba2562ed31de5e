"""Answers as numbers rather than text, chosen by `Accept`: Arrow stream, npz, safetensors; fp32 or fp16.

npz and safetensors name arrays `<item>/<array>`: `0/mean_33`. An Arrow stream has one row per item: a list per array,
and `<array>_shape` beside arrays of more than one dimension.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from esmkit.errors import InvalidConfigError
from esmkit.server.wire.base import Array

ARROW = "application/vnd.apache.arrow.stream"
NPZ = "application/x-npz"
SAFETENSORS = "application/x-safetensors"
Items = Sequence[Mapping[str, Array]]


@dataclass(frozen=True, slots=True)
class MediaType:
    """A binary type of answer and the float type in it."""

    name: str
    dtype: str = "float32"

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer."""
        return f"{self.name}; dtype={self.dtype}"


def accepted(accept: str) -> MediaType | None:
    """The binary type that an Accept header prefers; None means JSON, which is the answer to everything else.

    Raises:
        InvalidConfigError: the dtype asked for is neither float32 nor float16.

    Example:
        >>> accepted("application/x-npz; dtype=float16, application/json; q=0.5")
        MediaType(name='application/x-npz', dtype='float16')
    """
    choices: list[tuple[float, int, MediaType | None]] = []
    for order, part in enumerate(accept.split(",")):
        name, *options = (piece.strip() for piece in part.split(";"))
        values = dict(option.split("=", 1) for option in options if "=" in option)
        name = name.lower()
        media = MediaType(name, values.get("dtype", "float32").strip('"')) if name in _WRITERS else None
        if media is not None or name in ("application/json", "application/*", "*/*"):
            choices.append((-_quality(values.get("q", "1")), order, media))
    best = min(choices, key=lambda choice: choice[:2], default=(0.0, 0, None))[2]
    if best is not None and best.dtype not in ("float32", "float16"):
        raise InvalidConfigError(
            f"Accept asks for dtype {best.dtype[:20]!r}; choose float32 or float16", setting="dtype"
        )
    return best


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def write(media: MediaType, items: Items, about: Mapping[str, Any]) -> bytes | memoryview:
    """The body of an answer.

    Args:
        media: type and dtype.
        items: arrays by name, per item.
        about: what else the answer says, as JSON in the metadata of Arrow and safetensors, as `esmkit` in npz.

    Raises:
        InvalidConfigError: a value is too large for float16.
    """
    typed = [{name: _typed(array, media.dtype, name) for name, array in item.items()} for item in items]
    return _WRITERS[media.name](typed, json.dumps(about, sort_keys=True))


def _typed(array: Array, dtype: str, name: str) -> Array:
    """Floats as asked; a scalar stays fp32, as a summed log probability leaves the range of fp16."""
    if array.dtype.kind != "f":
        return array.astype(np.int32) if array.dtype.kind == "i" else array
    try:
        with np.errstate(over="raise"):
            return np.asarray(array, dtype=dtype if array.ndim else "float32", order="C")
    except FloatingPointError:
        raise InvalidConfigError(
            f"{name} holds a value beyond 65504, the largest that float16 can hold; ask for float32", setting="dtype"
        ) from None


def _arrow(items: Items, about: str) -> memoryview:
    import pyarrow as pa

    names = list(items[0])
    columns = {"index": pa.array(range(len(items)), pa.int32())}
    for name in names:
        rows = [item[name] for item in items]
        if rows[0].ndim == 0:
            columns[name] = pa.array(np.stack(rows))
            continue
        offsets = np.cumsum([0, *(row.size for row in rows)]).astype(np.int64)
        flat = pa.array(np.concatenate([row.ravel() for row in rows]))
        columns[name] = pa.LargeListArray.from_arrays(pa.array(offsets), flat)
        if rows[0].ndim > 1:
            columns[f"{name}_shape"] = pa.array([list(row.shape) for row in rows], pa.list_(pa.int32()))
    table = pa.table(columns).replace_schema_metadata({"esmkit": about})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return memoryview(sink.getvalue())  # not copied once more


def _npz(items: Items, about: str) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, esmkit=np.asarray(about), **_keyed(items))  # type: ignore[arg-type]
    return buffer.getvalue()


def _safetensors(items: Items, about: str) -> bytes:
    from safetensors.numpy import save

    return save(_keyed(items), {"esmkit": about})


def _keyed(items: Items) -> dict[str, Array]:
    return {f"{index}/{name}": array for index, item in enumerate(items) for name, array in item.items()}


_WRITERS: Mapping[str, Callable[[Items, str], bytes | memoryview]] = {
    ARROW: _arrow,
    NPZ: _npz,
    SAFETENSORS: _safetensors,
}
