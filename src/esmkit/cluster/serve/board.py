"""Where model replicas and HTTP applications tell once a second how they are, so that each knows of all."""

from __future__ import annotations

import time
from dataclasses import dataclass

from esmkit.cluster.serve.messages import FrontReport, ReplicaReport, View, total
from esmkit.engine.queue import ModelInfo, ModelStats

REPORT_S = 1.0
"""Seconds between reports."""
STALE_S = 10.0
"""Whoever has said nothing for so long is gone: killed, or cut off."""


@dataclass(slots=True)
class _Kept:
    report: ReplicaReport
    at_s: float


class Board:
    """Ray Serve deployment with one replica; one that starts anew is complete again after a second."""

    def __init__(self) -> None:
        self._replicas: dict[str, _Kept] = {}
        self._fronts: dict[str, tuple[FrontReport, float]] = {}

    async def report(self, report: ReplicaReport, *, is_last: bool = False) -> None:
        """Notes how a model replica is; `is_last` when it is about to go."""
        self._replicas[report.replica] = _Kept(report, float("-inf") if is_last else time.monotonic())

    async def exchange(self, report: FrontReport) -> View:
        """Notes what an HTTP application counted, and tells it of all model replicas."""
        now_s = time.monotonic()
        self._fronts[report.replica] = (report, now_s)
        infos: dict[str, list[ModelInfo]] = {}
        stats: dict[str, list[tuple[ModelStats, bool]]] = {}
        for kept in self._replicas.values():
            is_here = now_s - kept.at_s < STALE_S
            for slug, model in kept.report.models.items():
                stats.setdefault(slug, []).append((model.stats, is_here))
                if is_here and model.info is not None:
                    infos.setdefault(slug, []).append(model.info)
        return View(infos, {slug: total(each) for slug, each in stats.items()})

    async def fronts(self) -> list[FrontReport]:
        """The reports of all HTTP applications that run."""
        now_s = time.monotonic()
        return [report for report, at_s in self._fronts.values() if now_s - at_s < STALE_S]
