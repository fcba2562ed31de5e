"""Parquet: one row per record, the default; one nested column per output, row groups of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmkit.sinks.format import Array, Format, Layout, Writer, long_text
from esmkit.types import Column, Dimension, Result

ROW_GROUP_BYTES = 2 * 2**20
"""Rows buffered per row group. Encoding and joining take several times as much again; larger groups are neither
smaller on disk nor more than a few per cent faster to write."""
_BYTES_PER_ROW = 600
_READ_BUFFER_BYTES = 2**16
_MAX_NESTING = 2
_PRIMITIVE = {np.float16: pa.float16(), np.float32: pa.float32(), np.int32: pa.int32(), np.str_: pa.string()}


def _nested_type(primitive: pa.DataType, shape: tuple[Dimension, ...]) -> pa.DataType:
    if not shape:
        return primitive
    element = pa.field("element", _nested_type(primitive, shape[1:]), nullable=False)
    return pa.list_(element, shape[0]) if isinstance(shape[0], int) else pa.list_(element)


def _is_flat(column: Column) -> bool:
    """More than two dimensions are stored as one list with the shape beside it: reading nested lists is slow."""
    return len(column.shape) > _MAX_NESTING


def _nested_shape(column: Column) -> tuple[Dimension, ...]:
    return ("*",) if _is_flat(column) else column.shape


def _row_group_bytes(layout: Layout) -> int:
    """Half as much for fp16: Arrow encodes it as byte strings, with a pointer for every value."""
    return ROW_GROUP_BYTES // 2 if layout.dtype == "float16" else ROW_GROUP_BYTES


def _schema(layout: Layout) -> pa.Schema:
    fields = [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("long", pa.string()),
    ]
    for column in layout.columns:
        primitive = _PRIMITIVE[layout.numpy_type(column)]
        fields.append(pa.field(column.name, _nested_type(primitive, _nested_shape(column)), nullable=False))
        if _is_flat(column):
            shape_type = _nested_type(pa.int32(), (len(column.shape),))
            fields.append(pa.field(f"{column.name}_shape", shape_type, nullable=False))
    return pa.schema(fields, metadata={"esmkit": layout.provenance_json})


def _nested_array(values: pa.Array, shapes: Array, kind: pa.DataType) -> pa.Array:
    """Wrap flat values in one list type per dimension, the innermost first.

    Args:
        values: all rows end to end.
        shapes: int64 [rows, dimensions].
        kind: the type of the result.
    """
    kinds = [kind]
    while len(kinds) < shapes.shape[1]:
        kinds.append(kinds[-1].value_type)
    for axis, axis_kind in reversed(list(enumerate(kinds))):
        if pa.types.is_fixed_size_list(axis_kind):
            values = pa.FixedSizeListArray.from_arrays(values, type=axis_kind)
        else:
            sizes = np.repeat(shapes[:, axis], shapes[:, :axis].prod(axis=1))
            offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))), pa.int32())
            values = pa.ListArray.from_arrays(offsets, values, type=axis_kind)
    return values


def _column_arrays(rows: list[Array], column: Column, kind: pa.DataType) -> list[pa.Array]:
    """The Arrow column of one output, and the column of its shapes where it is stored flat."""
    flat = np.concatenate([row.ravel() for row in rows])
    values = pa.array(flat.tolist(), pa.string()) if column.dtype == "str" else pa.array(flat)
    if not column.shape:
        return [values]
    shapes = np.array([row.shape for row in rows], dtype=np.int64)
    if not _is_flat(column):
        return [_nested_array(values, shapes, kind)]
    shape_kind = _nested_type(pa.int32(), (len(column.shape),))
    shape_values = pa.array(shapes.astype(np.int32).ravel())
    return [
        _nested_array(values, shapes.prod(axis=1)[:, None], kind),
        pa.FixedSizeListArray.from_arrays(shape_values, type=shape_kind),
    ]


def _open(path: Path, layout: Layout) -> pq.ParquetWriter:
    """Floats are split into byte streams before zstd: 15 % smaller than plain, and faster than zstd alone."""
    floats = [
        ".".join([column.name, *["list", "element"] * len(_nested_shape(column))])
        for column in layout.columns
        if column.dtype == "float"
    ]
    return pq.ParquetWriter(
        path,
        _schema(layout),
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        use_byte_stream_split=floats or False,
        write_statistics=["index", "id", "length"],
    )


class _ParquetWriter(Writer):
    def __init__(self, path: Path, layout: Layout) -> None:
        self._file = _open(path, layout)
        self._layout = layout
        self._full_bytes = _row_group_bytes(layout)
        self._clear()

    def _clear(self) -> None:
        self._keys: list[tuple[Any, ...]] = []
        self._rows: list[list[Array]] = [[] for _ in self._layout.columns]
        self._buffered_bytes = 0

    def write(self, result: Result) -> None:
        self._keys.append((result.index, result.id, result.meta["length"], long_text(result)))
        self._buffered_bytes += _BYTES_PER_ROW + len(result.id)
        for rows, (_, array) in zip(self._rows, self._layout.arrays(result), strict=True):
            # A view would keep the whole batch alive that it was cut from.
            rows.append(array if array.base is None else array.copy())
            self._buffered_bytes += array.nbytes
        if self._buffered_bytes >= self._full_bytes:
            self._flush()

    def _flush(self) -> None:
        schema = self._file.schema
        arrays = [
            pa.array(values, field.type) for values, field in zip(zip(*self._keys, strict=True), schema, strict=False)
        ]
        for column, rows in zip(self._layout.columns, self._rows, strict=True):
            arrays += _column_arrays(rows, column, schema.field(column.name).type)
            rows.clear()
        self._file.write_table(pa.Table.from_arrays(arrays, schema=schema))
        self._clear()

    def close(self) -> None:
        try:
            if self._keys:
                self._flush()
        finally:
            self._file.close()

    def abort(self) -> None:
        self._clear()
        super().abort()


class _Parquet(Format):
    """Apache Parquet."""

    name = "parquet"
    suffixes = (".parquet", ".pq")

    def open(self, path: Path, layout: Layout) -> Writer:
        return _ParquetWriter(path, layout)

    def assemble(self, parts: Sequence[Path], path: Path, layout: Layout) -> None:
        with _open(path, layout) as whole:
            for table in _row_groups(parts):
                whole.write_table(table)


def _row_groups(parts: Sequence[Path]) -> Iterator[pa.Table]:
    for part in parts:
        # Piece by piece: by default whole row groups are read ahead, by threads that keep memory of their own.
        with pq.ParquetFile(part, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, use_threads=False)


FORMAT = _Parquet()
