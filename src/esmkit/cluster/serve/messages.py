"""What HTTP applications, model replicas and the board say to each other through Ray.

Errors travel as values: Ray would wrap a raised one into an exception of its own making. Arrays lie in Ray's object
store and are read there, so those that come back are read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from prometheus_client.core import Metric

from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy
from esmkit.engine.queue import ModelInfo, ModelStats
from esmkit.engine.queue.front import Priority
from esmkit.errors import EsmkitError
from esmkit.outputs import OutputOptions
from esmkit.types import Failure, Record, Result

_GAUGES = ("queued_tokens", "queued_requests", "tokens_per_s")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a model, as `ServingQueue.submit` takes it; `deadline_s` counts from its arrival at the replica."""

    records: Sequence[Record]
    outputs: Sequence[str]
    options: OutputOptions
    residues: ResiduePolicy | None
    length: LengthPolicy | None
    priority: Priority
    deadline_s: float | None
    is_probe: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it.

    Attributes:
        outcome: one per record, or the error that ended the request.
        began_ago_s: when the model began with it; None if it never did.
    """

    outcome: list[Result | Failure] | EsmkitError
    began_ago_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model in one replica; without `info` it was there, and another one has taken its place."""

    info: ModelInfo | None
    stats: ModelStats


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """How a model replica is, by slug of its models."""

    replica: str
    models: Mapping[str, ModelReport]


@dataclass(frozen=True, slots=True)
class FrontReport:
    """What an HTTP application has counted."""

    replica: str
    families: Sequence[Metric]


@dataclass(frozen=True, slots=True)
class View:
    """All model replicas at one moment.

    Attributes:
        infos: per slug, of the replicas that run.
        stats: per slug, summed; counts of replicas that are gone stay in.
    """

    infos: Mapping[str, Sequence[ModelInfo]] = field(default_factory=dict)
    stats: Mapping[str, ModelStats] = field(default_factory=dict)


def total(parts: Iterable[tuple[ModelStats, bool]]) -> ModelStats:
    """Sums: of counts over all, as counts never fall; of what is queued over those that are still here."""
    summed = ModelStats()
    for stats, is_here in parts:
        for each in fields(ModelStats):
            if is_here or each.name not in _GAUGES:
                setattr(summed, each.name, getattr(summed, each.name) + getattr(stats, each.name))
    return summed
