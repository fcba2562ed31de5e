"""/metrics of the whole: one answer for all HTTP applications and all model replicas, whichever of them is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from esmkit.cluster.serve.client import RayQueue
from esmkit.cluster.serve.messages import FrontReport
from esmkit.server.metrics import Metrics


class WholeMetrics:
    """Counts of the queue summed over model replicas, counts of requests with the label `replica` of their application.

    Prometheus adds up what carries a label, and knows what to do when one of them goes.
    """

    def __init__(self, queue: RayQueue, metrics: Metrics) -> None:
        self._queue, self._metrics = queue, metrics
        self._replicas = CollectorRegistry()
        self._replicas.register(_Replicas(queue))
        queue.families = self._own

    async def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        requests: Any = _Given(labelled(await self._queue.fronts()))
        return b"".join(map(generate_latest, (self._metrics.queue, self._replicas, requests)))

    def _own(self) -> Sequence[Metric]:
        return list(self._metrics.registry.collect())


class _Given:
    """As much of a registry as `generate_latest` asks for."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Replicas(Collector):
    def __init__(self, queue: RayQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("esmkit_replicas", "Replicas that have the model loaded.", labels=["model"])
        for slug, number in self._queue.replicas().items():
            family.add_metric([slug], number)
        yield family


def labelled(reports: Iterable[FrontReport]) -> list[Metric]:
    """The families of all reports, each once, every sample with the label `replica`."""
    families: dict[str, Metric] = {}
    for report in reports:
        for family in report.families:
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                merged.samples.append(sample._replace(labels={**sample.labels, "replica": report.replica}))
    return list(families.values())
