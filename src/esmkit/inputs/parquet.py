"""Parquet as text: the names of the columns, then the cells of some or all, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esmkit.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_BATCH_ROWS = 1024
_BUFFER_BYTES = 1 << 18


@contextmanager
def opened_parquet(source: str) -> Iterator[pq.ParquetFile]:
    """The file; what goes wrong while it is read is the error of an input.

    Raises:
        InvalidInputError: it cannot be read, or a column is no text.
    """
    # pyarrow takes a tenth of a second to import, which readers of FASTA need not pay.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # With these two options a column is read piece by piece; by default a whole row group lies in memory.
        with pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise InvalidInputError(f"cannot read {source} as Parquet: {error}", source=source) from error


def text_rows(file: pq.ParquetFile, names: Sequence[str] | None = None) -> Iterator[list[str]]:
    """The cells of the named columns, or of all, as text; one that is null is empty, a number its text."""
    import pyarrow as pa

    for batch in file.iter_batches(_BATCH_ROWS, columns=names):
        columns = batch.columns if names is None else [batch.column(name) for name in names]
        for cells in zip(*(column.cast(pa.string()).to_pylist() for column in columns), strict=True):
            yield [cell or "" for cell in cells]
