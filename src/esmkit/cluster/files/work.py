"""What a run on Ray computes, and the values that travel between its processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from esmkit.engine.engine import Engine
from esmkit.sinks.manifest import FinishedShard
from esmkit.types import Column, Failure, Record, Result

Records = Callable[[], Iterator[Record | Failure]]
"""Opens the input from its start; it is pickled, and called on the machine that reads."""


class Meter(Protocol):
    """Is told how a computation goes on."""

    def tokens(self, done: int) -> None:
        """So many tokens were computed."""

    def record(self, length: int) -> None:
        """A record of so many residues was finished."""


class Computation(Protocol):
    """Models, loaded, and what is asked of them."""

    @property
    def engines(self) -> Sequence[Engine]:
        """The engines of its models."""

    def columns(self) -> list[Column]:
        """What every result holds."""

    def provenance(self) -> dict[str, Any]:
        """What makes the results; the same in every worker, or they do not belong together."""

    def asked(self) -> dict[str, Any]:
        """What changes the results, for the manifest."""

    def sizing(self) -> dict[str, Any]:
        """Where shards end: `shard_records`, `shard_residues` and `weigh` of `sinks.open_target`."""

    def results(self, records: Iterable[Record | Failure], meter: Meter) -> Iterator[Result | Failure]:
        """One answer per record, in order."""


Work = Callable[[], Computation]
"""Loads the models; it is pickled, and called in every worker."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the driver, which loads no model, has to know of a computation.

    Attributes:
        columns: see `Computation`; so are the next three.
        parameters: weights of all its models.
        notice: what is to be said about a model, if anything.
    """

    columns: list[Column]
    provenance: Mapping[str, Any]
    asked: Mapping[str, Any]
    sizing: Mapping[str, Any]
    parameters: int
    notice: str | None


@dataclass(frozen=True, slots=True)
class Piece:
    """The input of one shard.

    Attributes:
        number: of the shard.
        items: its records.
    """

    number: int
    items: list[Record | Failure]


@dataclass(frozen=True, slots=True)
class Seen:
    """A shard that the reader passed; see `sinks.manifest.Passed`."""

    number: int
    first: int
    records: int
    input_sha256: str


@dataclass(frozen=True, slots=True)
class End:
    """The reader is done.

    Attributes:
        number: shards of the input, or the number of the one in which it ended early.
        resumed: shards that were finished before.
        conflict: a shard that is not the one of the finished run; reading ended there.
        error: why reading ended early, if it is that.
    """

    number: int
    resumed: list[Seen]
    conflict: Seen | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece: a file and its entry, or an error."""

    number: int
    entry: FinishedShard | None = None
    failures: Sequence[Failure] = ()
    error: Exception | None = None
