"""A run on Ray: the driver. It loads no model and reads no record; it knows what is finished, and says so on disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset, read_datasource
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from esmkit.cluster.connection import ClusterError
from esmkit.cluster.files.pool import Pool
from esmkit.cluster.files.reading import Pieces, Reader, of_row
from esmkit.cluster.files.tally import REPORT_EVERY_S, Progress, Tally
from esmkit.cluster.files.target import Held, held
from esmkit.cluster.files.work import Description, End, Outcome, Records, Work
from esmkit.cluster.files.worker import ShardWorker, describe
from esmkit.errors import InternalError
from esmkit.sinks import Summary
from esmkit.sinks.format import FloatType
from esmkit.sinks.manifest import FinishedShard

FIRST_WORKER_S = 900.0
"""How long the first worker may take to find a machine and load the model; machines may have to be started."""


class Observer(Protocol):
    """Is told how a run goes on."""

    def described(self, description: Description) -> None:
        """The models were found."""

    def started(self, finished: Sequence[FinishedShard]) -> None:
        """Work begins; these shards are done already."""

    def progressed(self, total: Progress) -> None:
        """What all workers have done since then; called from a thread of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is computed, from where, to where.

    Attributes:
        work: loads the models in a worker.
        records: opens the input, where it is read.
        is_here: whether the input can only be read on this machine.
        out: a path that all machines share, or the URL of a folder.
        format: see `sinks.open_target`; so are the next two.
        dtype: of floats.
        overwrite: replace what is there.
    """

    work: Work
    records: Records
    is_here: bool
    out: str
    format: str | None = None
    dtype: FloatType = "float32"
    overwrite: bool = False


def run(request: Request, pool: Pool, observer: Observer) -> Summary:
    """Computes what is not yet finished, on the cluster that this process is connected to.

    Raises:
        EsmkitError: the first failure in the order of the input, under `--on-error stop`; an input or target that
            cannot be used; a shard that ended its worker again and again.
        ClusterError: the cluster went away, or has no room.
        OSError: shards cannot be written.
    """
    try:
        description = _described(request.work, pool)
        observer.described(description)
        with held(
            request.out,
            format=request.format,
            columns=description.columns,
            dtype=request.dtype,
            arguments=description.asked,
            provenance=description.provenance,
            overwrite=request.overwrite,
            **description.sizing,
        ) as place:
            observer.started(list(place.finished.values()))
            _Run(request, pool, description, place, observer).compute()
            summary = place.target.finish()
            place.publish()
            return summary
    except RayError as error:
        raise ClusterError(
            f"the Ray cluster failed ({type(error).__name__}: {str(error).splitlines()[0]}); finished shards are kept: "
            "run it again to go on"
        ) from error


def _described(work: Work, pool: Pool) -> Description:
    gpus = pool.first_gpus()
    pool.room(gpus)
    task = ray.remote(describe).options(num_cpus=pool.cpus, num_gpus=gpus)
    try:
        found = ray.get(task.remote(work), timeout=FIRST_WORKER_S)
    except GetTimeoutError as error:
        raise ClusterError(
            f"no machine had {pool.cpus} free CPUs and {gpus:g} GPUs within {FIRST_WORKER_S:.0f} s; see 'ray status'"
        ) from error
    if isinstance(found, Exception):
        raise found
    return found


@dataclass(slots=True)
class _Run:
    """One pass over the input.

    Attributes:
        done: numbers of the shards that are finished.
        failed: the first shard, in the order of the input, that has no answer.
        end: what the reader said last.
    """

    request: Request
    pool: Pool
    description: Description
    place: Held
    observer: Observer
    done: set[int] = field(default_factory=set)
    failed: Outcome | None = None
    end: End | None = None

    def compute(self) -> None:
        self.done = set(self.place.finished)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor: Any = ray.remote(Tally)
        tally = actor.options(num_cpus=0, scheduling_strategy=here).remote()
        with _watched(tally, self.observer), closing(_values(self._dataset(tally))) as values:
            for value in values:
                self._take(value)
                if self._is_decided():
                    break
        self.observer.progressed(ray.get(tally.total.remote()))
        self._conclude()

    def _dataset(self, tally: Any) -> Dataset:
        target, request, pool = self.place.target, self.request, self.pool
        reader = Reader(request.records, target.shards.size, self.place.finished, target.is_complete, target.overwrite)
        gpus = pool.gpu_share(self.description.parameters)
        most = max(pool.least, pool.most or pool.room(gpus))
        with _data_context():
            pieces = read_datasource(
                Pieces(reader),
                override_num_blocks=1,
                num_cpus=0,
                resources={_this_machine(): 0.001} if request.is_here else None,
            )
            outcomes: Dataset = pieces.map_batches(
                ShardWorker,
                batch_size=1,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(
                    min_size=pool.least,
                    max_size=most,
                    initial_size=max(pool.least, min(most, pool.room(gpus))),
                    max_tasks_in_flight_per_actor=2,
                ),
                num_cpus=pool.cpus,
                num_gpus=gpus,
                fn_constructor_args=(
                    request.work,
                    self.place.place,
                    target.shards,
                    self.description.provenance,
                    tally,
                ),
            )
            return outcomes

    def _take(self, value: Outcome | End) -> None:
        if isinstance(value, End):
            self.end = value
        elif value.entry is not None:
            self.place.target.enter(value.number, value.entry, value.failures)
            self.place.publish()
            self.done.add(value.number)
        elif self.failed is None or value.number < self.failed.number:
            self.failed = value

    def _is_decided(self) -> bool:
        """Whether no earlier shard can still fail; a single process would have stopped there."""
        return self.failed is not None and self.done.issuperset(range(self.failed.number))

    def _conclude(self) -> None:
        if self.failed is not None and self.failed.error is not None:
            raise self.failed.error
        if self.end is None:
            raise InternalError("the reader of the input did not reach its end")
        target = self.place.target
        for seen in self.end.resumed:
            target.is_resumed(seen.number, seen)
        if self.end.error is not None:
            raise self.end.error
        if self.end.conflict is not None:  # one of the two says what differs
            target.expect(self.end.number, self.end.conflict.first)
            target.is_resumed(self.end.number, self.end.conflict)
        target.end(self.end.number)


def _this_machine() -> str:
    """The resource that only this machine has."""
    return f"node:{ray.util.get_node_ip_address()}"  # type: ignore[no-untyped-call]


def _values(dataset: Dataset) -> Generator[Outcome | End]:
    """In the order in which they are ready."""
    batches: Iterable[Any] = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    for table in batches:
        for row in range(table.num_rows):
            yield of_row(table.slice(row, 1))


@contextmanager
def _data_context() -> Iterator[None]:
    """Ray Data without bars and banners, and a block for every row: each is the work of a minute."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    wanted = {"enable_progress_bars": False, "print_on_execution_start": False, "target_max_block_size": 1}
    kept = {name: getattr(context, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(context, name, value)
        yield
    finally:
        for name, value in kept.items():
            setattr(context, name, value)


@contextmanager
def _watched(tally: Any, observer: Observer) -> Iterator[None]:
    """Hands the tally on, now and then, while the block computes."""
    left = threading.Event()

    def watch() -> None:
        while not left.wait(REPORT_EVERY_S):
            try:
                observer.progressed(ray.get(tally.total.remote()))
            except RayError:
                return  # the run itself meets the same error and reports it

    thread = threading.Thread(target=watch, name="esmkit-tally", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
