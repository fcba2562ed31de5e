"""Which rows run next: the requests that wait for one model, and the batches made of their rows.

Rows are made when a batch takes them, so that a masked scan of a long protein costs no memory while it waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from esmkit.engine.jobs import Chunk, Job, Plan
from esmkit.types import Row

BULK_PATIENCE_S = 2.0
"""Bulk work that waited so long since its last batch gets one, whatever interactive work there is."""
TURN_SHARE = 0.25
"""Part of a batch that one request fills before the next one has its turn."""
LOOK_AHEAD = 32
"""Requests whose next row does not fit any more, before the batch is considered full."""


@dataclass(slots=True, eq=False)
class Request:
    """Records of one caller that were accepted together.

    Attributes:
        chunk: its records and jobs.
        plan: what to compute for them.
        is_bulk: whether it stands back behind interactive requests.
        accepted_s: when it came, on the clock of the event loop.
        done: resolved when all rows are done, or with the error that ended it.
        on_start: called once, when a batch takes its first row.
        is_started: whether a batch has taken a row.
        streams: its rows that no batch has taken.
        rows_out: its rows that a batch has taken and that have no outcome yet.
    """

    chunk: Chunk
    plan: Plan
    is_bulk: bool
    accepted_s: float
    done: asyncio.Future[None]
    on_start: Callable[[], None] | None = None
    is_started: bool = False
    streams: list[Stream] = field(default_factory=list)
    rows_out: int = 0

    @property
    def is_over(self) -> bool:
        """Whether no row is waiting or on its way."""
        return not self.streams and not self.rows_out


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a batch, and where its outcome belongs."""

    request: Request
    job: Job
    row: Row


class Stream:
    """The rows of one request that need the same pass: the plain ones, or the masked ones."""

    def __init__(self, request: Request, plan: Plan) -> None:
        self.request, self.plan = request, plan
        self.num_tokens = sum(job.num_tokens(plan) for job in request.chunk.jobs.values())
        self._rows = request.chunk.rows(plan)
        self.next = next(self._rows, None)

    @property
    def next_tokens(self) -> int:
        """Tokens of the next row; 0 when there is none."""
        return 0 if self.next is None else len(self.next[1].tokens)

    def take(self, room: int, turn: float) -> Iterator[Member]:
        """Rows in order: as many as fit into `room` tokens, until `turn` tokens are reached."""
        used = 0
        while self.next is not None and used < turn and used + self.next_tokens <= room:
            job, row = self.next
            used += len(row.tokens)
            self.request.rows_out += 1
            self.next = next(self._rows, None)
            self.num_tokens = 0 if self.next is None else self.num_tokens - len(row.tokens)
            yield Member(self.request, job, row)


@dataclass(slots=True, eq=False)
class Batch:
    """Rows that run together.

    Attributes:
        faults: how often a runner died of it, or the model failed on all of it.
    """

    plan: Plan
    members: list[Member]
    faults: int = 0

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows."""
        return sum(len(member.row.tokens) for member in self.members)

    @property
    def requests(self) -> list[Request]:
        """Whose rows they are."""
        return list(dict.fromkeys(member.request for member in self.members))

    def by_request(self) -> list[Batch]:
        """The same rows, those of each request in a batch of their own."""
        apart: dict[Request, list[Member]] = {}
        for member in self.members:
            apart.setdefault(member.request, []).append(member)
        return [Batch(self.plan, members, self.faults) for members in apart.values()]


class Lane:
    """Streams of one priority. Plans take turns, and so do the streams of a plan; nobody is passed over for long."""

    def __init__(self) -> None:
        self._plans: dict[Plan, deque[Stream]] = {}
        self.num_tokens = 0

    def __bool__(self) -> bool:
        return bool(self._plans)

    def add(self, stream: Stream) -> None:
        """A stream joins the end of the line of its plan."""
        self._plans.setdefault(stream.plan, deque()).append(stream)
        self.num_tokens += stream.num_tokens

    def remove(self, stream: Stream) -> None:
        """A stream leaves before all its rows are taken."""
        self.num_tokens -= stream.num_tokens
        self._plans[stream.plan].remove(stream)
        if not self._plans[stream.plan]:
            del self._plans[stream.plan]

    def take(self, room: int) -> Batch:
        """Rows of the plan whose turn it is, longest first; a row of more than `room` tokens is a batch of its own."""
        plan = next(iter(self._plans))
        streams = self._plans.pop(plan)
        room = max(room, streams[0].next_tokens)
        turn = TURN_SHARE * room
        members: list[Member] = []
        passed: list[Stream] = []
        while streams and len(passed) < LOOK_AHEAD:
            stream = streams.popleft()
            before = stream.num_tokens
            taken = list(stream.take(room, turn))
            self.num_tokens -= before - stream.num_tokens
            room -= sum(len(member.row.tokens) for member in taken)
            members += taken
            if not taken:
                passed.append(stream)
            elif stream.next is not None:
                streams.append(stream)
            else:
                stream.request.streams.remove(stream)
        streams.extendleft(reversed(passed))  # they keep their places: the first of them begins the next batch
        if streams:
            self._plans[plan] = streams
        return Batch(plan, sorted(members, key=lambda member: -len(member.row.tokens)))


class Schedule:
    """All that waits for one model."""

    def __init__(self) -> None:
        self._again: deque[Batch] = deque()
        self._interactive, self._bulk = Lane(), Lane()
        self._bulk_served_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._again or self._interactive or self._bulk)

    @property
    def is_retrying(self) -> bool:
        """Whether the next batch was tried before."""
        return bool(self._again)

    @property
    def num_tokens(self) -> int:
        """Tokens that no batch has taken."""
        return self._interactive.num_tokens + self._bulk.num_tokens

    def add(self, request: Request) -> None:
        """Queues the rows of a request."""
        if request.is_bulk and not self._bulk:
            self._bulk_served_s = request.accepted_s
        for plan in request.plan.passes:
            stream = Stream(request, plan)
            if stream.next is not None:
                request.streams.append(stream)
                self._lane(request).add(stream)

    def drop(self, request: Request) -> None:
        """Forgets the rows of a request that no batch has taken."""
        for stream in request.streams:
            self._lane(request).remove(stream)
        request.streams.clear()

    def put_back(self, batch: Batch) -> None:
        """A batch that was taken and not computed goes first; one with faults goes request by request."""
        self._again.extend(batch.by_request() if batch.faults else [batch])

    def take(self, room: int, now_s: float) -> Batch | None:
        """The next batch, of at most `room` tokens unless one row alone is larger; None when nothing is left."""
        while self._again:
            batch = self._again.popleft()
            batch.members = [member for member in batch.members if not member.request.done.done()]
            if batch.members:
                return batch
        is_overdue = now_s - self._bulk_served_s >= BULK_PATIENCE_S
        if self._bulk and (is_overdue or not self._interactive):
            self._bulk_served_s = now_s
            return self._bulk.take(room)
        return self._interactive.take(room) if self._interactive else None

    def _lane(self, request: Request) -> Lane:
        return self._bulk if request.is_bulk else self._interactive
