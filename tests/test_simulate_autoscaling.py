"""The simulation behind docs/scaling.md: its queues are those of theory, its policies those of Kubernetes and Ray."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("simpy", reason="the simulation needs simpy")

from benches.autoscaling import Arrivals, Cluster, poisson, simulate
from benches.autoscaling_policies import Fixed, Hpa, Load, RayServe
from benches.simulate_autoscaling import busy_day, policies, runs

SPEED = 10_000.0


def steady(load: float, *, servers: int, exponential: bool) -> Arrivals:
    """Requests of 1,000 tokens in the mean, 0.1 s each, that keep so many servers busy for `load` of the time."""
    rate = load * servers * SPEED / 1000
    arrivals = poisson([rate], bin_s=40_000 / rate, mean_tokens=1000, spread=0, seed=1)
    if not exponential:
        return arrivals
    tokens = np.random.default_rng(2).exponential(1000, len(arrivals.tokens)).round().astype(int)
    return Arrivals(arrivals.times_s, tokens, arrivals.until_s)


def mean_wait_s(arrivals: Arrivals, servers: int, **cluster: object) -> float:
    done = simulate(arrivals, Fixed(servers), first=servers, tokens_per_s=SPEED, start_s=0.0, **cluster)
    assert len(done.latencies_s) > 0.99 * len(arrivals.times_s) > 39_000
    return float(np.mean(done.latencies_s)) - 0.1


def erlang_c_wait_s(load: float, servers: int) -> float:
    """Mean wait in M/M/c, service 0.1 s."""
    offered, blocked = load * servers, 1.0
    for server in range(1, servers + 1):
        blocked = offered * blocked / (server + offered * blocked)
    return blocked / (1 - load * (1 - blocked)) * 0.1 / (servers * (1 - load))


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_replica_with_equal_requests_waits_as_in_m_d_1(load: float) -> None:
    wait_s = mean_wait_s(steady(load, servers=1, exponential=False), 1)
    assert wait_s == pytest.approx(load * 0.1 / (2 * (1 - load)), rel=0.06)


def test_a_service_that_picks_at_random_waits_as_m_m_1_and_one_that_holds_back_as_m_m_c() -> None:
    arrivals = steady(0.8, servers=3, exponential=True)
    random = mean_wait_s(arrivals, 3)
    less = mean_wait_s(arrivals, 3, chooses="less")
    held = mean_wait_s(arrivals, 3, chooses="less", room_tokens=1)  # only an idle replica has room: one queue for all
    assert random == pytest.approx(0.8 * 0.1 / (1 - 0.8), rel=0.1)
    assert held == pytest.approx(erlang_c_wait_s(0.8, 3), rel=0.1)
    assert held < less < 0.6 * random


def test_gpu_hours_of_a_fixed_number_are_that_number() -> None:
    arrivals = steady(0.5, servers=2, exponential=False)
    cluster = simulate(arrivals, Fixed(3), first=3, tokens_per_s=SPEED, start_s=60.0)
    assert cluster.gpu_s == pytest.approx(3 * arrivals.until_s)
    assert cluster.busy_s == pytest.approx(sum(arrivals.tokens) / SPEED, rel=0.001)


def test_hpa_sees_late_grows_by_its_limit_and_shrinks_after_its_window() -> None:
    policy, size, up = Hpa(1000, least=1, most=10), 1, []
    for step in range(10):
        size = policy.wanted(15 * step, size, [Load(8000, is_busy=True)])
        up.append(size)
    assert up[:2] == [1, 1]  # nothing was scraped yet
    assert (up[2], up[-1]) == (3, 8)
    down = [policy.wanted(150 + 15 * step, 8, [Load(0, is_busy=False)] * 8) for step in range(40)]
    assert down[:20] == [8] * 20
    assert down[-1] == 4  # at most half a minute


def test_ray_serve_starts_for_the_first_request_and_lets_the_last_replica_go_last() -> None:
    policy = RayServe(1000, least=0, most=4)
    assert policy.wanted(0, 0, [], somebody_waits=True) == 1
    size, said = 3, []
    for second in range(1, 600):
        size = policy.wanted(second, size, [Load(0, is_busy=False)] * size)
        said.append(size)
    assert [said.count(number) for number in (3, 1)] == pytest.approx([60, 300], abs=2)
    assert said[-1] == 0


def test_ray_serve_keeps_replicas_that_keep_the_queue_short() -> None:
    policy = RayServe(1000, least=1, most=4)
    assert {policy.wanted(second, 3, [Load(0, is_busy=True)] * 3) for second in range(300)} == {3}


def test_a_replica_that_is_stopped_answers_what_it_took() -> None:
    import simpy

    env = simpy.Environment()
    cluster = Cluster(env, tokens_per_s=SPEED, start_s=5.0)
    cluster.scale(1)
    env.run(until=1)
    for _ in range(3):
        cluster.accept(10_000)
    cluster.scale(0)
    env.run(until=10)
    assert cluster.latencies_s == pytest.approx([1, 2, 3])
    assert cluster.gpu_s == pytest.approx(4)


def test_every_policy_answers_every_request_of_equal_days_for_equal_seeds() -> None:
    day, again = busy_day(3), busy_day(3)
    assert np.array_equal(day.times_s, again.times_s)
    hour = day.times_s < 7 * 3600
    morning = Arrivals(day.times_s[hour], day.tokens[hour], 8 * 3600.0)
    for run in runs(policies(), morning, tokens_per_s=200_000, starts_s=(30.0,)):
        assert len(run.cluster.latencies_s) == len(morning.times_s), run.name
        assert len(run.row()) == 8
