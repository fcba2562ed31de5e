"""What a file format is, how formats are found, and the values that every format stores the same way."""

from __future__ import annotations

import importlib
import json
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from esmkit.errors import InvalidConfigError, InvalidRecordError, ModelExecutionError, UnsupportedOutputError
from esmkit.types import Column, Result

Array = np.ndarray[Any, Any]
FloatType = Literal["float32", "float16"]
RESERVED = ("index", "id", "length", "long")


@dataclass(frozen=True)
class Layout:
    """What a file holds: the columns, the stored type of floats, and the provenance to embed where a format can.

    A scalar float is fp32 whatever `dtype` says: a summed log probability leaves the range of fp16.
    """

    columns: tuple[Column, ...]
    dtype: FloatType
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len({*names, *RESERVED}) < len(names) + len(RESERVED):
            raise ValueError(f"column names must differ from each other and from {', '.join(RESERVED)}: {names}")

    @property
    def provenance_json(self) -> str:
        """The provenance as JSON with sorted keys, so that equal runs give equal files."""
        return json.dumps(self.provenance, sort_keys=True)

    def numpy_type(self, column: Column) -> type[np.generic]:
        """The numpy type in which values of `column` are stored."""
        if column.dtype == "str":
            return np.str_
        if column.dtype == "int":
            return np.int32
        return np.float16 if self.dtype == "float16" and column.shape else np.float32

    @cached_property
    def _stored_types(self) -> tuple[tuple[Column, np.dtype[Any]], ...]:
        return tuple((column, np.dtype(self.numpy_type(column))) for column in self.columns)

    def arrays(self, result: Result) -> Iterator[tuple[Column, Array]]:
        """The arrays of a result in the order of the columns, in their stored type.

        Raises:
            ModelExecutionError: an array is missing, or its shape is not the one that the column declares.
            InvalidConfigError: a value is too large for fp16.
        """
        for column, wanted in self._stored_types:
            value = result.arrays.get(column.name)
            if isinstance(value, np.ndarray) and value.dtype == wanted:
                array = value
            else:
                array = _converted(value, wanted, column, result)
            if value is None or (array.shape != column.shape and not _fits(array.shape, column)):
                raise ModelExecutionError(
                    f"record {result.id!r}: {column.name} should have the shape {column.shape}, found "
                    f"{'nothing' if value is None else array.shape}",
                    records=[result.id],
                )
            yield column, array

    def keyed_arrays(self, result: Result) -> Iterator[tuple[str, Array]]:
        """The arrays of a result by key: `<id>` when the run has one column, `<id>/<column>` when it has several."""
        key = record_key(result.id)
        for column, array in self.arrays(result):
            yield key if len(self.columns) == 1 else f"{key}/{column.name}", array


def _converted(value: Any, wanted: np.dtype[Any], column: Column, result: Result) -> Array:
    try:
        with np.errstate(over="raise"):
            return np.asarray(value, dtype=wanted)
    except FloatingPointError:
        raise InvalidConfigError(
            f"record {result.id!r}: {column.name} holds a value beyond 65504, the largest that float16 can store; "
            "use float32",
            setting="dtype",
        ) from None


def _fits(shape: tuple[int, ...], column: Column) -> bool:
    return len(shape) == len(column.shape) and all(
        isinstance(wanted, str) or wanted == found for wanted, found in zip(column.shape, shape, strict=True)
    )


def record_key(record_id: str) -> str:
    """The name of a record inside HDF5, npz and safetensors files; `urllib.parse.unquote` gives the id back.

    Only what would break such a name is written as in a URL: `%`, `/`, NUL, the name `.`, a final `.npy`.

    Raises:
        InvalidRecordError: the id is empty.

    Example:
        >>> record_key("sp|P69905|HBA_HUMAN"), record_key("chain A/B 50%")
        ('sp|P69905|HBA_HUMAN', 'chain A%2FB 50%25')
    """
    if not record_id:
        raise InvalidRecordError("a record without an id cannot be stored by id; give it one", record_id="")
    key = record_id.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    if key == "." or key.endswith(".npy"):
        stem, _, last = key.rpartition(".")
        key = f"{stem}%2E{last}"
    return key


def long_text(result: Result) -> str | None:
    """What a length policy did to the record, as text; None when it did nothing."""
    value = result.meta.get("long")
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)


def duplicate_id(result_key: str, format_name: str) -> InvalidRecordError:
    """The error for a second record of the same id in a format that finds records by id."""
    return InvalidRecordError(
        f"the id {result_key!r} occurs twice; {format_name} finds records by id: make ids unique or use parquet",
        record_id=result_key,
    )


class Writer(ABC):
    """One file being written; it keeps at most tens of MB in memory unless the format says otherwise."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Append one result."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left and complete the file."""

    def abort(self) -> None:
        """Let go of a file that nobody will read."""
        with suppress(Exception):
            self.close()


class Format(ABC):
    """One file format: a module of this package with a `FORMAT`. Writing the same results gives the same bytes.

    Attributes:
        name: what users choose it by.
        suffixes: file names that mean this format; the first names the shards.
        single_file: whether a whole run can be assembled into one file.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    single_file: ClassVar[bool] = True

    def refusal(self, column: Column) -> str | None:
        """Why the format cannot hold this column; None when it can."""
        return None

    def check(self, columns: Sequence[Column]) -> None:
        """Refuse columns that the format cannot hold.

        Raises:
            UnsupportedOutputError: names the column, the reason, and the formats that can hold every column.
        """
        for column in columns:
            reason = self.refusal(column)
            if reason:
                able = [f.name for f in formats().values() if not any(map(f.refusal, columns))]
                raise UnsupportedOutputError(
                    f"{self.name} cannot hold {column.name}: {reason}; use one of: {', '.join(able)}",
                    output=column.name,
                    choices=able,
                )

    @abstractmethod
    def open(self, path: Path, layout: Layout) -> Writer:
        """Start a new file at `path`."""

    def assemble(self, parts: Sequence[Path], path: Path, layout: Layout) -> None:
        """Join finished files of one run, in order, into a new file at `path`, in bounded memory.

        A format that cannot do this says so with `single_file = False`, and is never asked.
        """
        raise NotImplementedError(f"{self.name} declares single_file={self.single_file}")


@cache
def formats() -> dict[str, Format]:
    """Every format by name: the `FORMAT` of each module of this package.

    Example:
        >>> sorted(formats())
        ['csv', 'hdf5', 'jsonl', 'npz', 'parquet', 'safetensors']
    """
    package = __name__.rpartition(".")[0]
    modules = [
        importlib.import_module(f"{package}.{module.name}")
        for module in pkgutil.iter_modules([str(Path(__file__).parent)])
    ]
    found: list[Format] = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {form.name: form for form in found}


def _suffixes() -> str:
    return " ".join(suffix for known in formats().values() for suffix in known.suffixes)


def choose_format(out: Path, name: str | None) -> tuple[Format, bool]:
    """The format of a target, and whether the target is one file (else a directory of shards).

    A known suffix makes `out` a file; an existing directory, or a name without a suffix, is a directory.

    Raises:
        InvalidConfigError: unknown format; format and suffix disagree; `out` is neither file nor directory.
        UnsupportedOutputError: one file was asked of a format that only writes shards.
    """
    if name is not None and name not in formats():
        raise InvalidConfigError(
            f"no format is called {name!r}; choose one of: {', '.join(sorted(formats()))}", setting="format"
        )
    by_suffix = next((f for f in formats().values() if out.name.lower().endswith(f.suffixes)), None)
    if out.suffix and by_suffix is None and name is None and not out.exists():
        raise InvalidConfigError(
            f"{out.name} has the suffix of no format; choose one of {_suffixes()}, or name the format of a directory "
            "of shards with --format",
            setting="out",
        )
    if out.is_dir() or (by_suffix is None and not out.exists()):
        return formats()[name] if name else by_suffix or formats()["parquet"], False
    if by_suffix is None or not (out.is_file() or not out.exists()):
        raise InvalidConfigError(
            f"{out} is a file, but its name ends with none of: {_suffixes()}; choose another --out", setting="out"
        )
    if name not in (None, by_suffix.name):
        raise InvalidConfigError(
            f"{out.name} is the name of a {by_suffix.name} file, but the format is {name}; change one of them",
            setting="format",
        )
    if not by_suffix.single_file:
        raise UnsupportedOutputError(
            f"{by_suffix.name} files are written as shards only; give a directory: --out {out.stem} "
            f"--format {by_suffix.name}",
            output=by_suffix.name,
            choices=[f.name for f in formats().values() if f.single_file],
        )
    return by_suffix, True
