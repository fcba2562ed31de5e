"""A model of replicas that come and go: requests, queues, and what becomes of both. `simulate_autoscaling` runs it.

Requests are Poisson at a rate that changes over the day. A replica works through its requests one after the other at a
constant number of tokens per second, which is what packing requests into batches comes to. Behind a Kubernetes service
a request goes to a random replica and stays there; Ray Serve takes the less loaded of two. With `room_tokens` a replica
takes no more than that, and what exceeds it waits for any that has room. A replica that is started costs from the
start, but takes requests only `start_s` later (node, image, weights); one that is stopped finishes first. Nothing is
refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

import numpy as np
import simpy

from benches.autoscaling_policies import Load, Policy

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Arrivals:
    """Requests of a run.

    Attributes:
        times_s: when each comes, ascending.
        tokens: what each costs.
        until_s: when the run ends for the count of GPU-hours.
    """

    times_s: Array
    tokens: Array
    until_s: float


def poisson(rates: Sequence[float] | Array, *, bin_s: float, mean_tokens: float, spread: float, seed: int) -> Arrivals:
    """Requests at so many per second in each stretch of `bin_s`, of log-normal (spread > 0) or constant cost."""
    random = np.random.default_rng(seed)
    counts = random.poisson(np.asarray(rates) * bin_s)
    starts = np.repeat(np.arange(len(rates)) * bin_s, counts)
    times = np.sort(starts + random.uniform(0, bin_s, len(starts)))
    tokens = random.lognormal(np.log(mean_tokens) - spread**2 / 2, spread, len(times))
    return Arrivals(times, tokens.round().astype(int), len(rates) * bin_s)


@dataclass(eq=False)
class Replica:
    """One GPU with a server on it."""

    started_s: float
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    tokens: int = 0
    computing: int = 0
    ready: bool = False
    stopping: bool = False
    wake: simpy.Event | None = None


class Cluster:
    """Replicas, what waits for them, and what became of it.

    Args:
        tokens_per_s: speed of a replica.
        start_s: from the decision to the first request.
        chooses: `random` or `less` (of two).
        room_tokens: what a replica takes before requests are held back.
    """

    def __init__(
        self,
        env: simpy.Environment,
        *,
        tokens_per_s: float,
        start_s: float,
        chooses: str = "random",
        room_tokens: float = inf,
        seed: int = 0,
    ) -> None:
        self.env, self._tokens_per_s, self._start_s = env, tokens_per_s, start_s
        self._choices, self._room = {"random": 1, "less": 2}[chooses], room_tokens
        self._random = Random(seed)  # noqa: S311 - no secret
        self.replicas: list[Replica] = []
        self.held: deque[tuple[float, int]] = deque()
        self.latencies_s: list[float] = []
        self.gpu_s = self.busy_s = 0.0
        self.history: list[tuple[float, int]] = []

    @property
    def size(self) -> int:
        """Replicas that are there or coming."""
        return sum(not replica.stopping for replica in self.replicas)

    def loads(self) -> list[Load]:
        """What each replica has to do that takes requests."""
        ready = (replica for replica in self.replicas if replica.ready and not replica.stopping)
        return [Load(replica.tokens - replica.computing, replica.computing > 0) for replica in ready]

    def scale(self, wanted: int) -> None:
        """Starts replicas, or stops the youngest."""
        for _ in range(wanted - self.size):
            replica = Replica(self.env.now)
            self.replicas.append(replica)
            self.env.process(self._serve(replica))
        for replica in [each for each in self.replicas if not each.stopping][wanted:]:
            replica.stopping = True
            self._wake(replica)
        self.history.append((self.env.now, len(self.replicas)))

    def accept(self, tokens: int) -> None:
        """Takes a request, or holds it back."""
        replica = self._choice()
        if replica is None:
            self.held.append((self.env.now, tokens))
        else:
            self._give(replica, (self.env.now, tokens))

    def _choice(self) -> Replica | None:
        open_ = [each for each in self.replicas if each.ready and not each.stopping and each.tokens < self._room]
        picked = self._random.sample(open_, min(self._choices, len(open_)))
        return min(picked, key=lambda each: each.tokens, default=None)

    def _give(self, replica: Replica, request: tuple[float, int]) -> None:
        replica.waiting.append(request)
        replica.tokens += request[1]
        self._wake(replica)

    def _wake(self, replica: Replica) -> None:
        if replica.wake is not None and not replica.wake.triggered:
            replica.wake.succeed()

    def _take_held(self, replica: Replica) -> None:
        while self.held and not replica.stopping and replica.tokens < self._room:
            request = self.held.popleft()
            self._give(replica, request)

    def _serve(self, replica: Replica) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(self._start_s if self.env.now else 0)  # those of the beginning are there
        replica.ready = True
        while True:
            self._take_held(replica)
            if replica.waiting:
                came_s, tokens = replica.waiting.popleft()
                replica.computing = tokens
                yield self.env.timeout(tokens / self._tokens_per_s)
                replica.tokens -= tokens
                replica.computing = 0
                self.busy_s += tokens / self._tokens_per_s
                self.latencies_s.append(self.env.now - came_s)
            elif replica.stopping:
                break
            else:
                replica.wake = self.env.event()
                yield replica.wake
        self.replicas.remove(replica)
        self.gpu_s += self.env.now - replica.started_s
        self.history.append((self.env.now, len(self.replicas)))


def simulate(arrivals: Arrivals, policy: Policy, *, first: int, **cluster_options: Any) -> Cluster:
    """Runs the policy over the arrivals, from `first` replicas on, and until the last answer."""
    env = simpy.Environment()
    cluster = Cluster(env, **cluster_options)

    def come() -> Generator[simpy.Event, Any, None]:
        for time_s, tokens in zip(arrivals.times_s.tolist(), arrivals.tokens.tolist(), strict=True):
            yield env.timeout(time_s - env.now)
            cluster.accept(tokens)

    def decide() -> Generator[simpy.Event, Any, None]:
        while True:
            wanted = policy.wanted(env.now, cluster.size, cluster.loads(), somebody_waits=bool(cluster.held))
            if wanted != cluster.size:
                cluster.scale(wanted)
            yield env.timeout(policy.period_s)

    cluster.scale(first)
    env.process(come())
    env.process(decide())
    env.run(until=arrivals.until_s)
    cluster.gpu_s += sum(env.now - replica.started_s for replica in cluster.replicas)
    return cluster
