"""Prometheus metrics: of requests as they end, of the queue as it is when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from esmkit.server.logs import Trace

if TYPE_CHECKING:
    from esmkit.engine.queue import ModelStats
    from esmkit.server.limits import Limiter
    from esmkit.server.services import Queue

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The metrics of one server process, in registries of their own: of its requests, and of the queue."""

    def __init__(self, queue: Queue, limiter: Limiter) -> None:
        self.registry, self.queue = CollectorRegistry(), CollectorRegistry()
        self.queue.register(_QueueMetrics(queue))
        self.in_flight = Gauge("esmkit_http_requests_in_flight", "Requests being answered.", registry=self.registry)
        shared = "Whether rates are counted where limits_storage_url says; 0 while that cannot be reached."
        Gauge("esmkit_limits_shared", shared, registry=self.registry).set_function(lambda: limiter.is_shared)
        self._requests = Counter(
            "esmkit_http_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "esmkit_request_seconds",
            "Time from the head of a request to the end of its answer, model calls only.",
            ["model", "action"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._residues = Counter("esmkit_residues", "Residues answered.", ["model", "action"], registry=self.registry)
        self._errors = Counter("esmkit_errors", "Failed requests by BioLM code.", ["code"], registry=self.registry)
        self.jobs = JobMetrics(self.registry)

    def count_request(self, trace: Trace, seconds: float) -> None:
        """Counts one finished request."""
        self._requests.labels(trace.route or "unmatched", str(trace.status)).inc()
        if trace.code is not None:
            self._errors.labels(trace.code).inc()
        if trace.model is not None and trace.action is not None:
            self._seconds.labels(trace.model, trace.action).observe(seconds)
            if trace.status == 200:
                self._residues.labels(trace.model, trace.action).inc(trace.residues or 0)

    async def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.queue) + generate_latest(self.registry)


class JobMetrics:
    """Of batch jobs; the first two are those of all servers that share the store, as of a few seconds ago.

    Attributes:
        kept: jobs that are not done, by state.
        residues_left: in them.
        ended: jobs that this server ended, by state.
        records: that this server finished.
        failures: those of them that have no answer.
        webhooks: tries of this server, by outcome.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.kept = Gauge("esmkit_jobs", "Batch jobs that are not done.", ["state"], registry=registry)
        self.residues_left = Gauge("esmkit_jobs_residues_left", "Residues that jobs have left.", registry=registry)
        self.ended = Counter("esmkit_jobs_ended", "Jobs ended by this server.", ["state"], registry=registry)
        self.records = Counter("esmkit_jobs_records", "Records of jobs finished by this server.", registry=registry)
        self.failures = Counter("esmkit_jobs_record_failures", "Of these, without an answer.", registry=registry)
        self.webhooks = Counter("esmkit_webhooks", "Tries to deliver a webhook.", ["outcome"], registry=registry)


_Gauge, _Count = GaugeMetricFamily, CounterMetricFamily
_PER_MODEL: Mapping[str, tuple[Any, str, Callable[[ModelStats], float]]] = {
    "esmkit_queue_tokens": (_Gauge, "Tokens accepted and not yet sent to the runner.", lambda m: m.queued_tokens),
    "esmkit_queue_requests": (_Gauge, "Requests accepted and not yet answered.", lambda m: m.queued_requests),
    "esmkit_tokens_per_second": (_Gauge, "Recent speed of the runner.", lambda m: m.tokens_per_s),
    "esmkit_batch_fill_ratio": (_Gauge, "Share of the token budget that batches used.", lambda m: m.batch_fill),
    "esmkit_batches": (_Count, "Batches run.", lambda m: m.batches),
    "esmkit_batch_tokens": (_Count, "Tokens in these batches.", lambda m: m.batch_tokens),
    "esmkit_computed_residues": (_Count, "Residues run through the model.", lambda m: m.residues),
    "esmkit_queue_wait_seconds": (_Count, "From acceptance to the first batch, summed.", lambda m: m.wait_s),
    "esmkit_run_seconds": (_Count, "Time in which the runner computed.", lambda m: m.run_s),
    "esmkit_overloaded": (_Count, "Requests refused because the queue was full.", lambda m: m.overloaded),
    "esmkit_expired": (_Count, "Requests that missed their deadline.", lambda m: m.expired),
    "esmkit_cancelled": (_Count, "Requests whose client went away.", lambda m: m.cancelled),
    "esmkit_loads": (_Count, "Times the model was loaded.", lambda m: m.loads),
    "esmkit_runner_restarts": (_Count, "Times the runner died and was started again.", lambda m: m.restarts),
}


class _QueueMetrics(Collector):
    """Reads the queue's own counts."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        stats = self._queue.stats()
        for name, (kind, help_, read) in _PER_MODEL.items():
            family = kind(name, help_, labels=["model"])
            for slug, model in stats.models.items():
                family.add_metric([slug], read(model))
            yield family
        cache = stats.cache
        yield CounterMetricFamily("esmkit_cache_hits", "Results found in the cache.", cache.hits)
        yield CounterMetricFamily("esmkit_cache_misses", "Results looked for in the cache in vain.", cache.misses)
        yield CounterMetricFamily("esmkit_cache_evictions", "Results pushed out of the cache.", cache.evictions)
        yield GaugeMetricFamily("esmkit_cache_bytes", "Memory of the cache.", cache.held_bytes)
