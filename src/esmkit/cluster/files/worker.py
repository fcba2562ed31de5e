"""A worker: loads the models once, then computes one shard after another and writes each itself."""

from __future__ import annotations

import gc
import os
import socket
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import ray

from esmkit.cluster.connection import ClusterError
from esmkit.cluster.files.place import Place
from esmkit.cluster.files.reading import as_row, of_row
from esmkit.cluster.files.tally import ShardMeter
from esmkit.cluster.files.work import Computation, Description, End, Outcome, Piece, Work
from esmkit.engine.budget import give_back_freed
from esmkit.errors import CapacityError, EsmkitError, InvalidConfigError
from esmkit.sinks.shard import Intake, Shard, Shards
from esmkit.types import Record

SHRINK = (1, 1, 2, 4)
"""Batches of the n-th attempt at a shard are smaller by this: a worker may die of others, twice suggests memory."""


def describe(work: Work) -> Description | Exception:
    """What the driver has to know; run as a task where a worker would run."""
    try:
        computation = work()
    except (EsmkitError, OSError) as error:
        return error
    engines = computation.engines
    return Description(
        columns=computation.columns(),
        provenance=computation.provenance(),
        asked=computation.asked(),
        sizing=computation.sizing(),
        parameters=sum(weight.numel() for engine in engines for weight in engine.runner.module.parameters()),
        notice=next((engine.loaded.notice for engine in engines if engine.loaded.notice), None),
    )


class ShardWorker:
    """What Ray Data makes an actor of, as many as the pool has; a row is a pickled Piece, its answer an Outcome.

    Args:
        work: loads the models.
        place: where shards go.
        shards: how they are written.
        provenance: what makes the results of this run.
        tally: the actor that counts.
    """

    def __init__(self, work: Work, place: Place, shards: Shards, provenance: Mapping[str, Any], tally: Any) -> None:
        self._work, self._place, self._shards, self._tally = work, place, shards, tally
        self._provenance = provenance
        self._computation: Computation | None = None
        self._batch_tokens: list[int] = []

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The outcome of a piece; whatever goes wrong is an answer too, for it concerns one shard only."""
        value = of_row(rows)
        return as_row(value if isinstance(value, End) else self._outcome(value))

    def _outcome(self, piece: Piece) -> Outcome:
        while (attempt := ray.get(self._tally.begin.remote(piece.number))) <= len(SHRINK):
            try:
                return self._computed(piece, SHRINK[attempt - 1])
            except MemoryError:
                self._release()
            except Exception as error:
                return Outcome(piece.number, error=_portable(error))
        return Outcome(piece.number, error=_too_often(piece))

    def _computed(self, piece: Piece, shrink: int) -> Outcome:
        computation = self._opened()
        for engine, tokens in zip(computation.engines, self._batch_tokens, strict=True):
            engine.batch_tokens = max(1, tokens // shrink)
        meter = ShardMeter(self._tally, piece.number)
        outcomes: list[Outcome] = []
        intake = Intake(piece.items[0], iter(piece.items[1:]), self._shards.size)
        writer = f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}".replace("-", "_").replace(".", "_")
        with self._place.shards(self._shards) as shards:
            shard = shards.open(
                piece.number,
                intake,
                iter(intake),
                lambda entry, failures: outcomes.append(Outcome(piece.number, entry, tuple(failures))),
                writer=writer,
            )
            _fill(shard, computation, meter)
        meter.tell()
        give_back_freed()
        return outcomes[0]

    def _opened(self) -> Computation:
        """The models, loaded with the first shard, so that dying of them counts as an attempt."""
        if self._computation is None:
            self._place.demand_visible()
            computation = self._work()
            if computation.provenance() != self._provenance:
                raise _stranger(computation.provenance(), self._provenance)
            self._batch_tokens = [engine.batch_tokens for engine in computation.engines]
            self._computation = computation
        return self._computation

    def _release(self) -> None:
        gc.collect()
        give_back_freed()


def _fill(shard: Shard, computation: Computation, meter: ShardMeter) -> None:
    try:
        for item in computation.results(shard.records, meter):
            shard.write(item)
        shard.commit()
    finally:
        shard.abort()


def _portable(error: Exception) -> Exception:
    """The error as another process can read it; what is not expected keeps its traceback as text."""
    if isinstance(error, EsmkitError | OSError):
        return error
    import traceback

    text = "".join(traceback.format_exception(error))
    return ClusterError(f"a worker on {socket.gethostname()} failed:\n{text}")


def _too_often(piece: Piece) -> CapacityError:
    records = [item for item in piece.items if isinstance(item, Record)]
    longest = max(records, key=lambda record: len(record.sequence), default=None)
    about = f", the longest {longest.id!r} with {len(longest.sequence)} residues" if longest else ""
    return ClusterError(
        f"shard {piece.number} ({len(piece.items)} records from {piece.items[0].id!r} on{about}) ended its worker "
        f"{len(SHRINK)} times, the last ones with smaller batches: most likely there is too little memory; use fewer "
        "workers per machine, a smaller --batch-tokens or --shard-residues, or a smaller model, and run it again"
    )


def _stranger(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> InvalidConfigError:
    changed = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    listed = "; ".join(f"{name} is {found.get(name, 'absent')}, not {wanted.get(name, 'absent')}" for name in changed)
    return InvalidConfigError(
        f"the worker on {socket.gethostname()} would give other results than the first one: {listed}; give all "
        "machines the same esmkit, weights and kind of device, or name --device and --attention",
        setting="ray",
    )
