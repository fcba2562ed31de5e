"""A day of bursty load on GPUs that come and go: latency and GPU-hours under several policies of scaling.

    python -m benches.simulate_autoscaling --plot docs/images/autoscaling.png      # needs simpy and matplotlib

It prints a table per day; equal seeds give equal numbers. What is modelled, and what is not, is said in `autoscaling`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benches.autoscaling import Arrivals, Cluster, poisson, simulate
from benches.autoscaling_policies import HOUR_S, Fixed, Hpa, Policy, RayServe, Scheduled
from benches.markdown import table

DAY_S = 24 * HOUR_S
BIN_S = 10.0
TOKENS = 2500  # of a request: eight proteins of the mean length in UniRef90
TARGET_TOKENS = 65_536
MOST = 4


def busy_day(seed: int) -> Arrivals:
    """Office hours between a quiet night, and twelve bursts of 5 to 15 minutes by whoever has a list of proteins."""
    random = np.random.default_rng(seed)
    seconds = np.arange(0, DAY_S, BIN_S)
    rates = 3.0 * np.exp(-(((seconds / HOUR_S - 13.5) / 3.5) ** 2))
    for start_s in random.uniform(6 * HOUR_S, 21 * HOUR_S, 12):
        length_s = random.uniform(300, 900)
        rates[(seconds >= start_s) & (seconds < start_s + length_s)] += random.uniform(10, 35)
    return poisson(rates, bin_s=BIN_S, mean_tokens=TOKENS, spread=0.7, seed=seed)


def rare_day(seed: int) -> Arrivals:
    """A model that somebody asks three times a day, for ten minutes."""
    random = np.random.default_rng(seed)
    seconds = np.arange(0, DAY_S, BIN_S)
    rates = np.zeros(len(seconds))
    for start_s in random.uniform(8 * HOUR_S, 18 * HOUR_S, 3):
        rates[(seconds >= start_s) & (seconds < start_s + 600)] = 4.0
    return poisson(rates, bin_s=BIN_S, mean_tokens=TOKENS, spread=0.7, seed=seed)


@dataclass(frozen=True)
class Run:
    """One policy over one day."""

    name: str
    start_s: float
    cluster: Cluster
    requests: int

    def row(self) -> list[str]:
        """Its line of the table."""
        p50, p95, p99 = np.percentile(self.cluster.latencies_s, [50, 95, 99])
        late = sum(latency > 10 for latency in self.cluster.latencies_s) / self.requests
        busy = self.cluster.busy_s / self.cluster.gpu_s
        seconds = [f"{each:,.2f}" if each < 10 else f"{each:,.0f}" for each in (p50, p95, p99)]
        start = f"{self.start_s:.0f} s" if self.start_s else ""
        return [self.name, start, *seconds, f"{late:.1%}", f"{self.cluster.gpu_s / HOUR_S:.1f}", f"{busy:.0%}"]


HEAD = ["policy", "start", "p50 (s)", "p95 (s)", "p99 (s)", "above 10 s", "GPU-hours", "of them busy"]


Choice = tuple[str, Callable[[], Policy], dict[str, Any], bool]


def policies() -> Iterator[Choice]:
    """Name, policy, how requests find a replica, whether replicas are started in mid-day."""
    for replicas in range(1, MOST + 1):
        yield f"fixed {replicas}", partial(Fixed, replicas), {}, False
    yield "scheduled 1, 3 by day", partial(Scheduled, day=3, night=1), {}, True
    yield f"HPA 1 to {MOST}", partial(Hpa, TARGET_TOKENS, least=1, most=MOST), {}, True
    ray = {"chooses": "less"}
    for least in (1, 0):
        yield f"Ray Serve {least} to {MOST}", partial(RayServe, TARGET_TOKENS, least=least, most=MOST), ray, True
    slow = partial(RayServe, TARGET_TOKENS, least=1, most=MOST, down_after_s=600)
    yield f"Ray Serve 1 to {MOST}, 600 s to leave", slow, ray, True


DAYS: dict[str, tuple[Callable[[int], Arrivals], tuple[str, ...]]] = {
    "Busy day": (busy_day, ("",)),
    "Rarely asked": (rare_day, ("fixed 1", "Ray Serve 0")),
}
"""Title, load, and how the names of policies begin that have something to say to it."""


def runs(
    chosen: Iterable[Choice], arrivals: Arrivals, *, tokens_per_s: float, starts_s: Sequence[float]
) -> Iterator[Run]:
    """Every policy, once for each time that a start may take."""
    for name, policy, way, starts in chosen:
        for start_s in starts_s if starts else (0.0,):
            fresh = policy()
            first = fresh.wanted(0.0, 1, [])
            cluster = simulate(arrivals, fresh, first=first, tokens_per_s=tokens_per_s, start_s=start_s, **way)
            yield Run(name, start_s, cluster, len(arrivals.times_s))


def plot(arrivals: Arrivals, done: list[Run], *, tokens_per_s: float, path: Path) -> None:
    """The load, and the replicas of each policy that moves, over the day; latency against cost beside it."""
    from matplotlib.figure import Figure

    slow = max(run.start_s for run in done)
    moving = [run for run in done if run.start_s == slow]
    figure = Figure(figsize=(11, 1.35 * (len(moving) + 1)), layout="constrained")
    grid = figure.add_gridspec(len(moving) + 1, 2, width_ratios=[3, 2])
    load = figure.add_subplot(grid[0, 0])
    edges = np.arange(0, DAY_S + 1, 60)
    asked = np.histogram(arrivals.times_s, edges, weights=arrivals.tokens)[0] / 60 / tokens_per_s
    load.fill_between(edges[:-1] / HOUR_S, asked, step="post", color="0.6")
    load.set(ylabel="work, GPUs", xlim=(0, 24), ylim=0)
    load.tick_params(labelbottom=False)
    for number, run in enumerate(moving, start=1):
        axes = figure.add_subplot(grid[number, 0], sharex=load)
        times, sizes = zip(*run.cluster.history, (DAY_S, len(run.cluster.replicas)), strict=True)
        axes.fill_between(np.array(times) / HOUR_S, sizes, step="post", color=f"C{number - 1}", alpha=0.7)
        axes.set(ylim=(0, MOST + 0.4), yticks=range(0, MOST + 1, 2), ylabel="GPUs")
        axes.set_title(f"{run.name}, {slow:.0f} s to start", fontsize=9, loc="left", pad=2)
        axes.tick_params(labelbottom=number == len(moving))
    axes.set(xlabel="hour of the day", xticks=range(0, 25, 4))
    cost = figure.add_subplot(grid[:, 1])
    colours = {run.name: f"C{number}" for number, run in enumerate(moving)}
    for run in done:
        hours, p99 = run.cluster.gpu_s / HOUR_S, float(np.percentile(run.cluster.latencies_s, 99))
        if run.name in colours:
            label = f"{run.name}, {run.start_s:.0f} s to start"
            fill = None if run.start_s == slow else "w"
            cost.plot(hours, p99, "o", color=colours[run.name], mfc=fill, ms=8, ls="", label=label)
        else:
            cost.plot(hours, p99, "s", color="0.3", ms=8)
            cost.annotate(run.name, (hours, p99), xytext=(7, 5), textcoords="offset points", fontsize=8)
    cost.legend(fontsize=8, loc="lower left")
    cost.set(
        xlabel="GPU-hours in the day", ylabel="99th percentile of latency, s", yscale="log", xlim=(0, 24 * MOST + 20)
    )
    cost.set_ylim(bottom=0.05)
    cost.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints the tables, and draws the busy day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens-per-s", type=float, default=30_000, help="of a replica; default: 30000")
    parser.add_argument("--start-s", type=float, nargs="+", default=[180.0, 30.0], help="of a replica; default: 180 30")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    for title, (day, shown) in DAYS.items():
        arrivals = day(arguments.seed)
        chosen = [each for each in policies() if each[0].startswith(shown)]
        done = list(runs(chosen, arrivals, tokens_per_s=arguments.tokens_per_s, starts_s=arguments.start_s))
        work = arrivals.tokens.sum() / arguments.tokens_per_s / HOUR_S
        print(f"### {title}\n\n{len(arrivals.times_s):,} requests, work for {work:.1f} GPU-hours.\n")
        print(table(HEAD, [run.row() for run in done]) + "\n")
        if arguments.plot and day is busy_day:
            plot(arrivals, done, tokens_per_s=arguments.tokens_per_s, path=arguments.plot)


if __name__ == "__main__":
    main()
