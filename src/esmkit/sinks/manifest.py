"""The manifest of a run: what it was asked, what made it, and which shards are finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from esmkit.errors import InvalidConfigError
from esmkit.sinks.files import shard_number, write_whole

VERSION = 1
_VERSION_KEY = "esmkit_run"


class Passed(Protocol):
    """Input of a shard that was read."""

    @property
    def first(self) -> int:
        """Index of its first record."""

    @property
    def records(self) -> int:
        """How many."""

    @property
    def input_sha256(self) -> str:
        """Digest of their ids and sequences."""


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """One finished shard.

    Attributes:
        file: its name in the directory of the run.
        sha256: of that file.
        first: index of its first record.
        records: records of the input it covers, the failed ones too.
        residues: residues of its results.
        failures: its failed records.
        input_sha256: digest of the ids and sequences it was made from.
    """

    file: str
    sha256: str
    first: int
    records: int
    residues: int
    failures: int
    input_sha256: str

    def is_of(self, passed: Passed) -> bool:
        """Whether it was made from these records, at the same place of the input."""
        return (self.first, self.input_sha256) == (passed.first, passed.input_sha256)


@dataclass(slots=True)
class Manifest:
    """A run on disk.

    Attributes:
        identity: everything that a resumed run must have in common with the run it goes on with.
        shards: the finished shards by number; a run that is not complete may have gaps.
        complete: whether the whole input is done.
        sha256: of the single file that the shards were assembled into.
    """

    identity: Mapping[str, Any]
    shards: dict[int, FinishedShard] = field(default_factory=dict)
    complete: bool = False
    sha256: str | None = None

    def counts(self) -> dict[str, int]:
        """Sums over the finished shards."""
        names = ("records", "residues", "failures")
        return {name: sum(getattr(shard, name) for shard in self.shards.values()) for name in names}

    def in_order(self) -> list[FinishedShard]:
        """The finished shards in the order of the input."""
        return [self.shards[number] for number in sorted(self.shards)]

    def files(self) -> set[str]:
        """Names of the files of the finished shards."""
        return {shard.file for shard in self.shards.values()}

    def forget_from(self, number: int) -> None:
        """Shards from this one on no longer count, and the run is not complete."""
        self.shards = {at: shard for at, shard in self.shards.items() if at < number}
        self.complete = False

    def write(self, path: Path, *, temp: Path | None = None) -> None:
        """Replace the file at `path` in one step."""
        whole = {
            _VERSION_KEY: VERSION,
            "status": "complete" if self.complete else "running",
            **self.identity,
            "counts": self.counts(),
            **({"sha256": self.sha256} if self.sha256 else {}),
            "shards": [asdict(shard) for shard in self.in_order()],
        }
        write_whole(path, json.dumps(whole, indent=1, ensure_ascii=False) + "\n", temp=temp)

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """The manifest at `path`, None when there is no file.

        Raises:
            InvalidConfigError: the file is no manifest of esmkit, or of a version that this one does not know.
        """
        try:
            whole = json.loads(path.read_bytes())
            version = whole.pop(_VERSION_KEY)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidConfigError(
                f"{path} was not written by esmkit and stays as it is; choose another --out", setting="out"
            ) from None
        if version != VERSION:
            raise InvalidConfigError(
                f"{path} has version {version}, this esmkit writes {VERSION}; choose another --out", setting="out"
            )
        complete, sha256 = whole.pop("status") == "complete", whole.pop("sha256", None)
        listed = [FinishedShard(**shard) for shard in whole.pop("shards")]
        shards = {number: shard for shard in listed if (number := shard_number(shard.file)) is not None}
        del whole["counts"]
        return cls(whole, shards, complete, sha256)

    def demand_same(self, wanted: Mapping[str, Any], place: Path) -> None:
        """Refuse to mix two runs in one place.

        Raises:
            InvalidConfigError: names every argument that differs, its old and its new value.
        """
        old, new = dict(_flat(self.identity)), dict(_flat(wanted))
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if changed:
            listed = "; ".join(f"{n} was {old.get(n, 'absent')}, is {new.get(n, 'absent')}" for n in changed)
            raise InvalidConfigError(
                f"{place} holds a run with other arguments: {listed}; choose another --out, or --overwrite to "
                "replace that run",
                setting=changed[0],
            )


def run_identity(**values: Any) -> dict[str, Any]:
    """What identifies a run, as it reads back from JSON (so that tuples equal lists)."""
    loaded: dict[str, Any] = json.loads(json.dumps(values))
    return loaded


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, JSON) of every leaf; arguments and provenance are named without their heading, columns are shortened."""
    for name, value in values.items():
        if name == "columns" and not prefix:
            yield name, ", ".join(f"{column['name']} {column['dtype']}{column['shape']}" for column in value)
        elif isinstance(value, Mapping):
            inner = "" if name in ("arguments", "provenance") and not prefix else f"{prefix}{name}."
            yield from _flat(value, inner)
        else:
            yield prefix + name, json.dumps(value, ensure_ascii=False)
