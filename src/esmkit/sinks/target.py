"""Where a run writes to: a directory of shards, or one file assembled from shards; atomic and resumable."""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from esmkit.errors import InternalError, InvalidConfigError, InvalidInputError
from esmkit.sinks.failures import failure_lines, replace_failures
from esmkit.sinks.files import (
    FAILURES,
    MANIFEST,
    FolderLock,
    publish,
    refuse_foreign,
    sha256_of,
    shard_name,
    sweep,
    temporary,
)
from esmkit.sinks.format import FloatType, Format, Layout, choose_format
from esmkit.sinks.manifest import FinishedShard, Manifest, Passed, run_identity
from esmkit.sinks.place import Place
from esmkit.sinks.shard import Intake, Shard, Shards, ShardSize, intakes
from esmkit.types import Column, Failure, Record


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands on disk.

    Attributes:
        path: the file or directory.
        failures_path: the list of failed records, None when there is none.
        records: records of the input, the failed ones too.
        residues: residues of the results.
        failures: failed records.
        shards: finished shards.
        shards_resumed: those of them that an earlier run had finished; all of them when nothing was left to do.
    """

    path: Path
    failures_path: Path | None
    records: int
    residues: int
    failures: int
    shards: int
    shards_resumed: int


def open_target(
    out: Path,
    *,
    format: str | None = None,  # noqa: A002 - the name of the option
    columns: Sequence[Column],
    dtype: FloatType = "float32",
    arguments: Mapping[str, Any],
    provenance: Mapping[str, Any],
    shard_records: int,
    shard_residues: int,
    weigh: Callable[[int], int] | None = None,
    overwrite: bool = False,
) -> Target:
    """Open a new target, or one that an earlier run of the same arguments left, finished or not.

    Args:
        out: a file with the suffix of a format, or a directory.
        format: name of a format; by default that of the suffix, and parquet for a directory.
        columns: what every result holds.
        dtype: stored type of floats; scalars stay fp32.
        arguments: what the caller asked for, JSON values; only what changes the results.
        provenance: what makes the results (model, weights, versions), JSON values; embedded in the files.
        shard_records: a shard closes at this many records,
        shard_residues: or at this many residues, whatever comes first.
        weigh: what a record of so many residues counts for towards them; see `ShardSize`.
        overwrite: replace a finished run, one with other arguments, or a single file that is not ours. An
            unfinished run with the same arguments is continued all the same. A single file is replaced only when the
            new one is ready; shards in a directory are deleted at once.

    Raises:
        InvalidConfigError: the target holds a run with other arguments (named), or something that is no run, or is
            in use by another process; format unknown or at odds with the suffix.
        UnsupportedOutputError: the format cannot hold a column, or cannot be one file.

    Example:
        >>> import numpy as np, tempfile
        >>> from esmkit.types import Result
        >>> out = Path(tempfile.mkdtemp()) / "out.csv"
        >>> columns = [Column("score", "float", ())]
        >>> records = [Record(0, "a", "MKT"), Record(1, "b", "MK")]
        >>> with open_target(out, columns=columns, arguments={}, provenance={"model": "none"},
        ...                  shard_records=1000, shard_residues=10**6) as target:
        ...     for shard in target.pending(records):
        ...         for record in shard.records:
        ...             n = len(record.sequence)
        ...             shard.write(Result(record.index, record.id, {"score": n / 2}, {"length": n}))
        ...         shard.commit()
        ...     summary = target.finish()
        >>> summary.records, out.read_text()
        (2, 'index,id,length,long,score\\n0,a,3,,1.5\\n1,b,2,,1.0\\n')
    """
    if shard_records < 1 or shard_residues < 1:
        raise InvalidConfigError(
            f"a shard needs at least one record and one residue, not {shard_records} and {shard_residues}",
            setting="shard_records" if shard_records < 1 else "shard_residues",
        )
    out = out.resolve()
    form, single = choose_format(out, format)
    form.check(columns)
    identity = run_identity(
        arguments=arguments,
        provenance=provenance,
        format=form.name,
        dtype=dtype,
        columns=[asdict(column) for column in columns],
        shard_records=shard_records,
        shard_residues=shard_residues,
        **({"shards_by": "cost"} if weigh else {}),
    )
    place = Place(out, out.with_name(f".{out.name}.partial") if single else out, single)
    refuse_foreign(place.folder)
    lock = FolderLock(place.folder)
    try:
        manifest = place.claim(identity, overwrite=overwrite)
    except BaseException:
        place.leave(lock)
        raise
    size = ShardSize(shard_records, shard_residues, weigh)
    shards = Shards(place.folder, form.name, Layout(tuple(columns), dtype, provenance), size)
    return Target(place, form, shards, manifest, lock, overwrite=overwrite)


class Target:
    """An open target; use it as a context manager, which drops an uncommitted shard and lets go of the lock.

    Either `pending` hands out the shards that are to be written, one after another; or others write them, with
    `shards`, in any order, `enter` notes each, and `end` says that there are no more.

    Attributes:
        shards: what another process needs to write shards of this run.
        overwrite: whether shards of another input are replaced.
    """

    def __init__(
        self, place: Place, form: Format, shards: Shards, manifest: Manifest, lock: FolderLock, *, overwrite: bool
    ) -> None:
        self.shards, self.overwrite = shards, overwrite
        self._place, self._format = place, form
        self._manifest, self._lock = manifest, lock
        self._shard: Shard | None = None
        self._resumed = 0
        self._exhausted = False
        self._failed = [index for index, _ in failure_lines(place.failures)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is half done and release the lock; finished shards stay for the next run."""
        if not self._lock.released:
            if self._shard:
                self._shard.abort()
            sweep(self._place.folder, keep=self._manifest.files())
            self._place.leave(self._lock)

    @property
    def is_complete(self) -> bool:
        """Whether an earlier run reached the end of its input."""
        return self._manifest.complete

    @property
    def summary(self) -> Summary:
        """The counts at this moment; during `pending`, those of shards not yet reached are in it too."""
        counts = self._manifest.counts()
        path = self._place.sidecar(FAILURES) if counts["failures"] else None
        shards = len(self._manifest.shards)
        return Summary(self._place.out, path, **counts, shards=shards, shards_resumed=self._resumed)

    def pending(self, records: Iterable[Record | Failure]) -> Iterator[Shard]:
        """Cut the input into shards; skip those that are finished and intact, hand out the others in order.

        Args:
            records: the whole input, with indices 0, 1, 2 ...; read lazily.

        Raises:
            InvalidInputError: the input is not the one that a finished shard was made from.
            InternalError: a shard was not committed before the next was asked for.
        """
        number = -1
        for number, intake in enumerate(intakes(records, self.shards.size)):
            items = iter(intake)
            if self.is_intact(number):
                # Kept only where a changed shard is to be computed again.
                passed = deque(items, maxlen=None if self.overwrite else 0)
                if self.is_resumed(number, intake):
                    continue
                items = iter(passed)
            else:
                self.expect(number, intake.first)
            yield self._open(number, intake, items)
        if self._shard and not self._shard.committed:
            raise InternalError("commit the last shard before asking for the next")
        self.end(number + 1)

    def _open(self, number: int, intake: Intake, records: Iterator[Record | Failure]) -> Shard:
        if self._shard and not self._shard.committed:
            raise InternalError("commit a shard before asking for the next")
        self._shard = self.shards.open(number, intake, records, partial(self.enter, number))
        return self._shard

    def enter(self, number: int, entry: FinishedShard, failures: Sequence[Failure]) -> None:
        """Notes a shard whose file has its name."""
        stop = entry.first + entry.records
        replace_failures(self._place.failures, first=entry.first, stop=stop, failures=failures)
        self._manifest.shards[number] = entry
        self._manifest.complete = False
        self._manifest.write(self._place.manifest)

    @property
    def finished(self) -> dict[int, FinishedShard]:
        """What the manifest says, whatever is left of it."""
        return dict(self._manifest.shards)

    def intact(self) -> dict[int, FinishedShard]:
        """The shards that need not be computed again, as long as their input is the same."""
        return {number: shard for number, shard in self._manifest.shards.items() if self.is_intact(number)}

    def is_intact(self, number: int) -> bool:
        """Whether a shard is finished, and its file and failures are as they were written."""
        shard = self._manifest.shards.get(number)
        if shard is None:
            return False
        if self._manifest.sha256:  # assembled, and the whole file was compared when it was opened
            return True
        path = self._place.folder / shard.file
        failed = bisect_left(self._failed, shard.first + shard.records) - bisect_left(self._failed, shard.first)
        return failed == shard.failures and path.is_file() and sha256_of(path) == shard.sha256

    def is_resumed(self, number: int, intake: Passed) -> bool:
        """Counts an intact shard whose input is the same.

        Raises:
            InvalidInputError: its input has changed, and is not to be overwritten.
        """
        if self._manifest.shards[number].is_of(intake):
            self._resumed += 1
            return True
        self._forget(number, f"records {intake.first} to {intake.first + intake.records - 1} changed")
        return False

    def expect(self, number: int, first: int) -> None:
        """A shard that starts with record `first` is to be computed.

        Raises:
            InvalidInputError: the run was complete without it, and is not to be overwritten.
        """
        if self._manifest.complete and number >= len(self._manifest.shards):
            self._forget(number, f"records from {first} on are new")

    def _forget(self, number: int, change: str) -> None:
        """The input differs from shard `number` on: an error, or with `overwrite` the end of those shards."""
        if not self.overwrite:
            name = shard_name(number, self._format.suffixes[0])
            raise InvalidInputError(
                f"the input is not that of the run in {self._place.out}: in {name}, {change}; give the same input, "
                "choose another --out, or --overwrite",
                source=str(self._place.out),
            )
        self._manifest.forget_from(number)

    def end(self, count: int) -> None:
        """The input ended after so many shards, and all of them are finished.

        Raises:
            InvalidInputError: an earlier run had more of them, which are not to be overwritten.
            InternalError: one is not finished.
        """
        beyond = sorted(number for number in self._manifest.shards if number >= count)
        if beyond:
            self._forget(count, f"records from {self._manifest.shards[beyond[0]].first} on are missing")
        if len(self._manifest.shards) != count:
            raise InternalError(f"{len(self._manifest.shards)} of {count} shards are finished")
        self._exhausted = True

    def finish(self) -> Summary:
        """Complete the run, assemble a single file, and close.

        Raises:
            InternalError: `pending` did not reach the end of the input.
        """
        if not self._exhausted:
            raise InternalError("finish() comes after pending() has reached the end of the input")
        place, manifest = self._place, self._manifest
        if not manifest.complete:
            total = manifest.counts()["records"]
            replace_failures(place.failures, first=total, stop=None, failures=())
            if place.single:
                self._assemble()
            else:
                manifest.complete = True
                manifest.write(place.manifest)
        if place.single:
            place.clear()
        self.close()
        return self.summary

    def _assemble(self) -> None:
        """Make the single file and put it in place.

        The sidecars come first: a file is taken for ours by the digest in its manifest, so being killed between two
        steps never leaves a file that the next run takes for somebody else's.
        """
        place, shards = self._place, self._manifest.in_order()
        if len(shards) == 1:
            whole, digest = place.folder / shards[0].file, shards[0].sha256
        else:
            whole = temporary(place.folder / f"assembled{self._format.suffixes[0]}")
            self._format.assemble([place.folder / shard.file for shard in shards], whole, self.shards.layout)
            digest = sha256_of(whole)
        self._manifest = replace(self._manifest, complete=True, sha256=digest)
        self._manifest.write(place.sidecar(MANIFEST), temp=temporary(place.manifest))
        if place.failures.exists():
            temp = temporary(place.failures)
            shutil.copyfile(place.failures, temp)
            publish(temp, place.sidecar(FAILURES))
        else:
            place.sidecar(FAILURES).unlink(missing_ok=True)
        publish(whole, place.out)
